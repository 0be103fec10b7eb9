//! Keeps the hub at what other control planes have changed in the same store, and at what replicas they
//! have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Hub;
use super::exchange::Exchange;
use crate::store::{Listener, News, Store};

/// How often the store is read without having been told: what the network has swallowed is found by
/// then. Reading that nothing changed costs the store next to nothing.
const POLL: Duration = Duration::from_secs(5);

/// How long it may take to say goodbye.
const LEAVING: Duration = Duration::from_secs(2);

/// Follows for as long as it is held.
#[derive(Debug)]
pub(crate) struct Follower {
    task: TaskTracker,
    stop: CancellationToken,
}

impl Follower {
    /// Follows a store that others may change, too; any other needs nobody. How long changes take is
    /// measured with each.
    pub(crate) fn start(store: &Arc<dyn Store>, hub: &Arc<Hub>) -> Self {
        let (task, stop) = (TaskTracker::new(), CancellationToken::new());
        let (measured, stopping) = (Arc::clone(hub), stop.clone());
        drop(task.spawn(async move {
            stopping
                .run_until_cancelled(measured.measure_settling())
                .await
        }));
        if let Some(listener) = store.listener() {
            let following = Following {
                store: Arc::clone(store),
                hub: Arc::clone(hub),
                bell: Arc::new(Notify::new()),
                is_failing: AtomicBool::new(false),
            };
            let stopping = stop.clone();
            drop(task.spawn(async move {
                // Each goes on for ever, so dropping them ends nothing halfway but at the end.
                let mut exchange = following.exchange();
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = following.listen(listener) => {}
                    () = following.poll() => {}
                    () = following.run(&mut exchange) => {}
                }
                following.leave(&exchange).await;
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
    /// Rung when another control plane has told of its replicas.
    bell: Arc<Notify>,
    /// Said once when it begins, and once when it ends.
    is_failing: AtomicBool,
}

impl Following {
    async fn listen(&self, mut listener: Listener) {
        loop {
            match listener.next().await {
                // What this process has written itself, it knows.
                News::Changed(sequence) if sequence <= self.hub.sequence() => {}
                News::Changed(_) => self.refresh().await,
                News::Replicas => self.bell.notify_one(),
                News::Unknown => {
                    self.bell.notify_one();
                    self.refresh().await;
                }
            }
        }
    }

    fn exchange(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.hub), Arc::clone(&self.bell))
    }

    async fn run(&self, exchange: &mut Exchange) {
        match self.store.replica_store() {
            Some(store) => exchange.run(store).await,
            None => std::future::pending().await,
        }
    }

    async fn leave(&self, exchange: &Exchange) {
        if let Some(store) = self.store.replica_store() {
            let left = tokio::time::timeout(LEAVING, exchange.leave(store)).await;
            if left.is_err() {
                tracing::debug!("the other control planes are not told that this one has gone");
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
