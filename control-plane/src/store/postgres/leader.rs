//! Rollouts, and which of the control planes that share a database makes their steps: the one that holds an
//! advisory lock. PostgreSQL gives it to another one when its connection ends, however it ends.

use async_trait::async_trait;
use gateway_core::TenantId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::lease::{late, limited, uncertain};
use super::{BEGIN_WRITING, Connection, PostgresStore, rollouts};
use crate::rollout::{Rollout, RolloutStep};
use crate::store::sql::failed;
use crate::store::{RolloutStore, StoreError, WriteError};

const STEPPING: &str = "keeping a step of a rollout";
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

#[async_trait]
impl RolloutStore for PostgresStore {
    async fn rollout(&self, tenant: &TenantId) -> Result<Option<Rollout>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(rollouts::last(&mut lease, tenant)).await;
        lease.end(read, late("reading rollouts"))
    }

    async fn active_rollouts(&self) -> Result<Vec<Rollout>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(rollouts::active(&mut lease)).await;
        lease.end(read, late("reading rollouts"))
    }

    async fn step_rollout(&self, step: RolloutStep) -> Result<(), WriteError> {
        let mut lease = self.lease().await?;
        let made = limited(step_rollout(&mut lease, step)).await;
        lease.end(made, uncertain(STEPPING))
    }

    async fn lead(&self) -> Result<bool, StoreError> {
        self.leadership.hold().await
    }
}

async fn step_rollout(connection: &mut Connection, step: RolloutStep) -> Result<(), WriteError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(STEPPING))?;
    rollouts::step(&mut transaction, step).await?;
    transaction.commit().await.map_err(uncertain(STEPPING))?;
    Ok(())
}
