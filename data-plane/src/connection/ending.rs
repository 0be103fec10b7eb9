//! How a connection ends with the gateway, so that nothing that a client has sent is lost.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a connection that was accepted last may take to bring its first request.
pub(crate) const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Whether clients had better go elsewhere. Asked with every answer, so it has no lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining(Arc<AtomicBool>);

impl Draining {
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// When a connection is to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// From then on an answer over HTTP/1 is the last one of its connection.
    pub(crate) draining: Draining,
    /// What is begun is finished then, and nothing more is taken.
    pub(crate) stop: CancellationToken,
}

/// What comes of `work`; once told to stop, of what is left of it within a moment.
pub(crate) async fn last_moment<T>(
    work: impl Future<Output = T>,
    stop: &CancellationToken,
) -> Option<T> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return Some(done),
        () = stop.cancelled() => {}
    }
    tokio::time::timeout(LAST_MOMENT, work).await.ok()
}
