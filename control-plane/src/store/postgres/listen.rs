//! Hears what PostgreSQL tells of changes that control planes have made.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgNotification};

use super::replicas;

/// As the schema's trigger has it.
const CHANNEL: &str = "mcp_gateway_store";

/// How long to wait before the next attempt to connect.
const RETRY: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The store was changed, and has this sequence now.
    Changed(u64),
    /// A control plane has told of its replicas.
    Replicas,
    /// Something may have been missed.
    Unknown,
}

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

    /// Waits for the next change. While PostgreSQL is away this waits for it. Not to be dropped before
    /// it has answered, except for good: an answer that was read halfway would be lost.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            let Some(connection) = &mut self.connection else {
                match self.connect().await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        return News::Unknown;
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
                Ok(Some(notification)) => return news(&notification),
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
        listener.listen_all([CHANNEL, replicas::CHANNEL]).await?;
        Ok(listener)
    }
}

fn news(notification: &PgNotification) -> News {
    match notification.channel() {
        replicas::CHANNEL => News::Replicas,
        _ => notification
            .payload()
            .parse()
            .map_or(News::Unknown, News::Changed),
    }
}
