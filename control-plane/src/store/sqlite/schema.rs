//! Brings a database file to the form that this program reads, or says why it cannot.

use std::io;
use std::path::Path;

use sqlx::SqlitePool;

use super::OpenError;
use crate::store::sql::Steps;

/// Every step of the schema, oldest first. A released step is never edited.
const STEPS: [(i64, &str, &str); 6] = [
    (
        1,
        "documents",
        include_str!("../../../migrations/sqlite/0001_documents.sql"),
    ),
    (
        2,
        "calls",
        include_str!("../../../migrations/sqlite/0002_calls.sql"),
    ),
    (
        3,
        "requests",
        include_str!("../../../migrations/sqlite/0003_requests.sql"),
    ),
    (
        4,
        "tokens",
        include_str!("../../../migrations/sqlite/0004_tokens.sql"),
    ),
    (
        6,
        "hosts",
        include_str!("../../../migrations/sqlite/0006_hosts.sql"),
    ),
    (
        7,
        "rollouts",
        include_str!("../../../migrations/sqlite/0007_rollouts.sql"),
    ),
];

/// Checks the file, runs the steps that it has not seen, and reads the store's id.
pub(super) async fn prepare(pool: &SqlitePool, path: &Path) -> Result<String, OpenError> {
    let open_error = |error| open_error(path, error);
    let finding: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(pool)
        .await
        .map_err(open_error)?;
    if finding != "ok" {
        return Err(OpenError::Corrupt {
            place: place(path),
            finding,
        });
    }
    let steps = Steps(&STEPS);
    let migrated = steps.migrator().run(pool).await;
    migrated.map_err(|error| steps.open_error(place(path), error, open_error))?;
    sqlx::query_scalar("SELECT id FROM store")
        .fetch_one(pool)
        .await
        .map_err(open_error)
}

/// The file, as a message names it.
pub(super) fn place(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn not_writable(path: &Path, error: io::Error) -> OpenError {
    OpenError::NotWritable {
        place: place(path),
        source: error.into(),
    }
}

/// Sorts the database's own errors by what their reader can do about them.
pub(super) fn open_error(path: &Path, error: sqlx::Error) -> OpenError {
    const BUSY: i32 = 5;
    const READ_ONLY: i32 = 8;
    const CORRUPT: i32 = 11;
    const CANNOT_OPEN: i32 = 14;
    const NOT_A_DATABASE: i32 = 26;

    let place = place(path);
    let database_error = error.as_database_error();
    let code = database_error
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok());
    // The low byte of an extended code is the primary one.
    match code.map(|code| code & 0xff) {
        Some(BUSY) => OpenError::InUse {
            place,
            source: error.into(),
        },
        Some(READ_ONLY | CANNOT_OPEN) => OpenError::NotWritable {
            place,
            source: error.into(),
        },
        Some(CORRUPT | NOT_A_DATABASE) => OpenError::Corrupt {
            place,
            finding: database_error.map_or_else(String::new, |error| error.message().to_owned()),
        },
        _ => OpenError::Failed {
            place,
            source: error.into(),
        },
    }
}
