//! A connection of the pool for one piece of work, within a time limit.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::time::error::Elapsed;

use super::Connection;
use crate::store::StoreError;

/// How long PostgreSQL may take over one piece of work before it is given up. PostgreSQL gives up a
/// statement before (`schema.rs`); this is for a network that swallows what is sent.
const LIMIT: Duration = Duration::from_secs(30);

/// A connection that goes back to the pool only from work that came to an end. From work that was
/// abandoned, or took too long, it may be in any state and is closed; PostgreSQL rolls back.
#[derive(Debug)]
pub(super) struct Lease {
    connection: PoolConnection<Postgres>,
    ended: bool,
}

impl Lease {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self {
            connection,
            ended: false,
        }
    }

    /// Gives the connection back, and the outcome. `late` says what becomes of work that took too long.
    pub(super) fn end<T, E: From<StoreError>>(
        mut self,
        outcome: Result<Result<T, E>, Elapsed>,
        late: impl FnOnce(Elapsed) -> StoreError,
    ) -> Result<T, E> {
        self.ended = outcome.is_ok();
        outcome.unwrap_or_else(|elapsed| Err(late(elapsed).into()))
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// Waits for the work, for as long as it may take.
pub(super) async fn limited<T>(work: impl Future<Output = T>) -> Result<T, Elapsed> {
    tokio::time::timeout(LIMIT, work).await
}

/// Of work that changes nothing.
pub(super) fn late(doing: &'static str) -> impl FnOnce(Elapsed) -> StoreError {
    move |elapsed| StoreError::Database {
        doing,
        source: elapsed.into(),
    }
}

/// Of work that may have been committed, as far as anybody here knows.
pub(super) fn uncertain<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    doing: &'static str,
) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::Uncertain {
        doing,
        source: error.into(),
    }
}
