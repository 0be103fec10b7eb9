//! Makes the steps of rollouts that nobody asks for: one control plane for all that share a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::TenantId;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Rollout, Seen, Stage};
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

/// For how long a canary may be away before it counts as gone. A control plane that was restarted, or
/// has just begun to drive, knows only who has come back by then.
const ABSENCE: Duration = Duration::from_secs(15);

/// The canaries that are away, and since when that is known here.
#[derive(Debug, Default)]
struct Absences(BTreeMap<(TenantId, String), Instant>);

impl Absences {
    /// Looks who of a rollout's canaries is away; whether one of them may still come back.
    fn look(&mut self, rollout: &Rollout, seen: &[Seen], now: Instant) -> bool {
        let is_there = |name: &str| seen.iter().any(|seen| seen.replica == name);
        let mut may_come_back = false;
        for canary in rollout.canaries.iter() {
            let key = (rollout.tenant.clone(), canary.clone());
            if is_there(canary) {
                self.0.remove(&key);
                continue;
            }
            let since = self.0.entry(key).or_insert(now);
            may_come_back |= now.duration_since(*since) < ABSENCE;
        }
        may_come_back
    }

    /// Forgets all of rollouts that are over.
    fn keep(&mut self, active: &[Rollout]) {
        self.0
            .retain(|(tenant, _), _| active.iter().any(|rollout| rollout.tenant == *tenant));
    }
}

async fn drive(store: &dyn Store, hub: &Arc<Hub>) {
    let mut changes = hub.changes();
    let mut absences = Absences::default();
    let mut is_failing = false;
    loop {
        changes.mark_seen();
        if !hub.has_rollouts() {
            changes.next().await;
            continue;
        }
        match lead_once(store, hub, &mut absences).await {
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
async fn lead_once(
    store: &dyn Store,
    hub: &Arc<Hub>,
    absences: &mut Absences,
) -> Result<bool, StoreError> {
    if !store.lead().await? {
        return Ok(false);
    }
    let mut stepped = false;
    let active = store.active_rollouts().await?;
    absences.keep(&active);
    for rollout in &active {
        stepped |= step(store, hub, rollout, absences).await?;
    }
    if stepped {
        hub.refresh(store).await?;
    }
    Ok(true)
}

async fn step(
    store: &dyn Store,
    hub: &Arc<Hub>,
    rollout: &Rollout,
    absences: &mut Absences,
) -> Result<bool, StoreError> {
    let seen = hub.seen(&rollout.tenant);
    let may_come_back = absences.look(rollout, &seen, Instant::now());
    let Some(step) = rollout.next(&seen, Timestamp::now()) else {
        return Ok(false);
    };
    // What those who are there have said against it counts at once.
    if may_come_back && !(step.stage == Stage::Halted && step.lost == rollout.lost) {
        return Ok(false);
    }
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
