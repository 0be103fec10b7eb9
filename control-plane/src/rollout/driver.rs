//! Makes the steps of rollouts that nobody asks for: one control plane for all that share a store.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Rollout;
use crate::push::Hub;
use crate::store::{Store, StoreError, WriteError};

/// How often a rollout under way is looked at; sooner where a replica or the store says something.
const TICK: Duration = Duration::from_millis(500);

/// How long changes of the fleet are put together.
const GATHER: Duration = Duration::from_millis(50);

/// How long it takes until another control plane drives, where the one that did is gone.
const STANDBY: Duration = Duration::from_secs(2);

/// Drives for as long as it is held.
#[derive(Debug)]
pub(crate) struct Driver {
    task: TaskTracker,
    stop: CancellationToken,
}

impl Driver {
    pub(crate) fn start(store: &Arc<dyn Store>, hub: &Arc<Hub>) -> Self {
        let (task, stop) = (TaskTracker::new(), CancellationToken::new());
        let (store, hub) = (Arc::clone(store), Arc::clone(hub));
        let stopping = stop.clone();
        drop(task.spawn(async move {
            // A step is made or not: dropped within, it is at most not told yet, which the next
            // refresh does.
            tokio::select! {
                () = stopping.cancelled() => {}
                () = drive(store.as_ref(), &hub) => {}
            }
        }));
        task.close();
        Self { task, stop }
    }

    /// Ends driving, and with it every use of the store.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn drive(store: &dyn Store, hub: &Arc<Hub>) {
    let mut changes = hub.changes();
    let mut is_failing = false;
    loop {
        changes.mark_seen();
        if !hub.has_rollouts() {
            changes.next().await;
            continue;
        }
        match lead_once(store, hub).await {
            Ok(true) => {
                is_failing = false;
                // Whatever comes first.
                tokio::time::timeout(TICK, changes.next()).await.ok();
                tokio::time::sleep(GATHER).await;
            }
            Ok(false) => tokio::time::sleep(STANDBY).await,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "rollouts wait for the configuration store");
                }
                tokio::time::sleep(STANDBY).await;
            }
        }
    }
}

/// Makes the steps that it is time for; says whether it was for this process to make them.
async fn lead_once(store: &dyn Store, hub: &Arc<Hub>) -> Result<bool, StoreError> {
    if !store.lead().await? {
        return Ok(false);
    }
    let mut stepped = false;
    for rollout in store.active_rollouts().await? {
        stepped |= step(store, hub, &rollout).await?;
    }
    if stepped {
        hub.refresh(store).await?;
    }
    Ok(true)
}

async fn step(store: &dyn Store, hub: &Arc<Hub>, rollout: &Rollout) -> Result<bool, StoreError> {
    let seen = hub.seen(&rollout.tenant);
    let Some(step) = rollout.next(&seen, Timestamp::now()) else {
        return Ok(false);
    };
    let (stage, reason) = (step.stage, step.reason.clone());
    match store.step_rollout(step).await {
        Ok(()) => {
            let (tenant, revision) = (&rollout.tenant, rollout.revision);
            if reason.is_empty() {
                tracing::info!(tenant.id = %tenant, %revision, stage = stage.as_str(), "a rollout goes on");
            } else {
                tracing::warn!(tenant.id = %tenant, %revision, stage = stage.as_str(), reason, "a rollout is halted");
            }
            Ok(true)
        }
        // Somebody has decided, or another control plane has made it.
        Err(WriteError::Conflict { .. } | WriteError::Repeated) => Ok(true),
        Err(WriteError::Store(error)) => Err(error),
    }
}
