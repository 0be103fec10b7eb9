//! Which of the control planes that share a database makes the steps of rollouts: the one that holds an
//! advisory lock. PostgreSQL gives it to another one when its connection ends, however it ends.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::lease::limited;
use crate::store::StoreError;
use crate::store::sql::failed;

/// The lock: a number that means nothing else in the database of a gateway.
const LOCK: i64 = 0x6d63_705f_6777;

const DOING: &str = "asking who drives rollouts";

/// This process's claim.
#[derive(Debug)]
pub(super) struct Leadership {
    options: PgConnectOptions,
    /// The connection that holds the lock, if it is this process's.
    held: Mutex<Option<PgConnection>>,
}

impl Leadership {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            held: Mutex::new(None),
        }
    }

    /// Takes the lock if nobody has it, and says whether this process has it.
    pub(super) async fn hold(&self) -> Result<bool, StoreError> {
        let mut held = self.held.lock().await;
        if let Some(mut connection) = held.take() {
            // A connection that does not answer has lost the lock, or will.
            if let Ok(Ok(())) = limited(connection.ping()).await {
                *held = Some(connection);
                return Ok(true);
            }
        }
        let Ok(taken) = limited(self.take()).await else {
            return Ok(false);
        };
        *held = taken.map_err(failed(DOING))?;
        Ok(held.is_some())
    }

    async fn take(&self) -> Result<Option<PgConnection>, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await?;
        if taken {
            return Ok(Some(connection));
        }
        connection.close().await?;
        Ok(None)
    }

    /// Lets another process have the lock at once.
    pub(super) async fn give_up(&self) {
        if let Some(connection) = self.held.lock().await.take()
            && let Ok(Err(error)) = limited(connection.close()).await
        {
            tracing::debug!(%error, "the leader's connection did not close in good order");
        }
    }
}
