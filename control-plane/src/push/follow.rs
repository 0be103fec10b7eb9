//! Keeps the hub at what other control planes have changed in the same store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Hub;
use crate::store::{Listener, Store};

/// How often the store is read without having been told: what the network has swallowed is found by
/// then. Reading that nothing changed costs the store next to nothing.
const POLL: Duration = Duration::from_secs(5);

/// Follows for as long as it is held.
#[derive(Debug)]
pub(crate) struct Follower {
    task: TaskTracker,
    stop: CancellationToken,
}

impl Follower {
    /// Follows a store that others may change, too; any other needs nobody.
    pub(crate) fn start(store: &Arc<dyn Store>, hub: &Arc<Hub>) -> Self {
        let (task, stop) = (TaskTracker::new(), CancellationToken::new());
        if let Some(listener) = store.listener() {
            let following = Following {
                store: Arc::clone(store),
                hub: Arc::clone(hub),
                is_failing: AtomicBool::new(false),
            };
            let stopping = stop.clone();
            drop(task.spawn(async move {
                // Each goes on for ever, so dropping them ends nothing halfway but at the end.
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = following.listen(listener) => {}
                    () = following.poll() => {}
                }
            }));
        }
        task.close();
        Self { task, stop }
    }

    /// Ends following, and with it every use of the store.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Following {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    /// Said once when it begins, and once when it ends.
    is_failing: AtomicBool,
}

impl Following {
    async fn listen(&self, mut listener: Listener) {
        loop {
            let sequence = listener.next().await;
            // What this process has written itself, it knows.
            if sequence.is_none_or(|sequence| sequence > self.hub.sequence()) {
                self.refresh().await;
            }
        }
    }

    async fn poll(&self) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        match self.hub.refresh(self.store.as_ref()).await {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the configuration store answers again");
                }
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "data planes go on with what they have");
                }
            }
        }
    }
}
