//! Brings a database file to the form that this program reads, or says why it cannot.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr as _, SqlitePool};

use super::OpenError;

/// Every step of the schema, oldest first. A released step is never edited.
const STEPS: [(i64, &str, &str); 3] = [
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
        "tokens",
        include_str!("../../../migrations/sqlite/0003_tokens.sql"),
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
            path: path.to_owned(),
            finding,
        });
    }
    let migrated = migrator().run(pool).await;
    migrated.map_err(|error| migrate_error(path, error))?;
    sqlx::query_scalar("SELECT id FROM store")
        .fetch_one(pool)
        .await
        .map_err(open_error)
}

fn migrator() -> Migrator {
    let steps = STEPS.into_iter().map(|(version, name, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(steps.collect())
}

fn migrate_error(path: &Path, error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(found) => OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known: STEPS.last().map_or(0, |(version, ..)| *version),
        },
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            open_error(path, source)
        }
        other => OpenError::Failed {
            path: path.to_owned(),
            source: other.into(),
        },
    }
}

/// Sorts the database's own errors by what their reader can do about them.
pub(super) fn open_error(path: &Path, error: sqlx::Error) -> OpenError {
    const BUSY: i32 = 5;
    const READ_ONLY: i32 = 8;
    const CORRUPT: i32 = 11;
    const CANNOT_OPEN: i32 = 14;
    const NOT_A_DATABASE: i32 = 26;

    let path = path.to_owned();
    let database_error = error.as_database_error();
    let code = database_error
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok());
    // The low byte of an extended code is the primary one.
    match code.map(|code| code & 0xff) {
        Some(BUSY) => OpenError::InUse {
            path,
            source: error.into(),
        },
        Some(READ_ONLY | CANNOT_OPEN) => OpenError::NotWritable {
            path,
            source: error.into(),
        },
        Some(CORRUPT | NOT_A_DATABASE) => OpenError::Corrupt {
            path,
            finding: database_error.map_or_else(String::new, |error| error.message().to_owned()),
        },
        _ => OpenError::Failed {
            path,
            source: error.into(),
        },
    }
}
