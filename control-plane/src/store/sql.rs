//! What the stores on SQL databases share. The statements themselves are in the files below `sql/`,
//! which `sqlite.rs` and `postgres.rs` each compile for the connections of their database.

use std::str::FromStr;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use super::{OpenError, StoreError};

/// Every step of a schema, oldest first, with its version and name.
pub(super) struct Steps(pub(super) &'static [(i64, &'static str, &'static str)]);

impl Steps {
    pub(super) fn migrator(&self) -> Migrator {
        let steps = self.0.iter().map(|(version, name, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
        });
        Migrator::with_migrations(steps.collect())
    }

    /// Why they could not be taken; `database_error` sorts the database's own errors.
    pub(super) fn open_error(
        &self,
        place: String,
        error: MigrateError,
        database_error: impl FnOnce(sqlx::Error) -> OpenError,
    ) -> OpenError {
        match error {
            MigrateError::VersionMissing(found) => OpenError::NewerSchema {
                place,
                found,
                known: self.0.last().map_or(0, |(version, ..)| *version),
            },
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                database_error(source)
            }
            other => OpenError::Failed {
                place,
                source: other.into(),
            },
        }
    }
}

pub(super) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database {
        doing,
        source: source.into(),
    }
}

/// Databases count with signed numbers. What does not fit is beyond every number that they have.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(what: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Unreadable {
        what,
        value: number.to_string(),
    })
}

pub(super) fn parsed<T: FromStr>(what: &'static str, text: String) -> Result<T, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Unreadable { what, value: text })
}
