//! Hears what PostgreSQL tells of changes that control planes have made.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;

/// As the schema's trigger has it.
const CHANNEL: &str = "mcp_gateway_store";

/// How long to wait before the next attempt to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Hears of changes, the own ones included, for as long as it is asked.
pub(crate) struct Listener {
    pool: PgPool,
    /// `None`: there is no connection yet, or it was lost.
    connection: Option<PgListener>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl Listener {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            connection: None,
        }
    }

    /// Waits for the next change and gives its sequence; `None` where changes may have been missed.
    /// While PostgreSQL is away this waits for it. Not to be dropped before it has answered, except
    /// for good: an answer that was read halfway would be lost.
    pub(crate) async fn next(&mut self) -> Option<u64> {
        loop {
            let Some(connection) = &mut self.connection else {
                match self.connect().await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        return None;
                    }
                    Err(error) => {
                        // Whoever reads the store says so aloud; nothing else is wrong here.
                        tracing::debug!(%error, "not listening for changes");
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
            };
            match connection.try_recv().await {
                Ok(Some(notification)) => return notification.payload().parse().ok(),
                Ok(None) => self.connection = None,
                Err(error) => {
                    tracing::debug!(%error, "not listening for changes any more");
                    self.connection = None;
                }
            }
        }
    }

    async fn connect(&self) -> sqlx::Result<PgListener> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        // It is `next` that connects again, so that it knows of what may have been missed.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}
