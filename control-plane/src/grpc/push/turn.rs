//! Turns of replicas to which nearly everything has to be sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// For so long a turn can be held up by its replica; then the next one comes, and it goes on beside that.
const LONGEST: Duration = Duration::from_secs(5);

/// While a replica takes everything, what is on its way to it is in memory once more. So many take it at the same
/// time; who comes beyond that waits, and those that hold most of it already wait for nobody.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Turns(Arc<Semaphore>);

/// One replica's turn, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    until: Instant,
}

impl Turns {
    pub(in crate::grpc) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits for a turn.
    pub(super) async fn take(&self) -> Option<Turn> {
        // Nobody closes it.
        let place = Arc::clone(&self.0).acquire_owned().await.ok()?;
        Some(Turn {
            _place: place,
            until: Instant::now() + LONGEST,
        })
    }
}

/// Ends when a turn has taken too long; never where there is none.
pub(super) async fn overdue(turn: Option<&Turn>) {
    match turn {
        Some(turn) => tokio::time::sleep_until(turn.until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it comes to its end at once.
    async fn is_now<T>(future: impl Future<Output = T>) -> bool {
        let soon = Duration::from_millis(1);
        tokio::time::timeout(soon, future).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_held_up_ends_by_itself() {
        let turns = Turns::new(1);
        let mut first = turns.take().await;
        assert!(!is_now(turns.take()).await);
        overdue(first.as_ref()).await;
        first.take();
        assert!(is_now(turns.take()).await);
        assert!(!is_now(overdue(None)).await);
    }
}
