//! What is recorded of those whom nobody knows: so much of each, and beyond that how much more there was. A flood of
//! wrong keys neither fills the audit log nor hides in it what known callers do.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gateway_core::plugin::{AuditEvent, AuditOutcome};
use gateway_core::{RequestId, Revision, TenantId};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::trail::Log;
use crate::error::Reason;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// How many of a tenant's events have nobody behind them: a second for long, and at once.
const PER_SECOND: u32 = 50;
const AT_ONCE: u32 = 200;

/// How often it is said how many more there were.
const SUMMARY: Duration = Duration::from_secs(10);

/// The type of the event that says it.
const EVENT_TYPE: &str = "refusals";

/// A tenant's budget for events without a caller, and what went beyond it.
#[derive(Debug)]
pub(crate) struct Strangers {
    began: Instant,
    /// When the budget is whole again, in nanoseconds since it began.
    whole_at: AtomicU64,
    beyond: Mutex<Beyond>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct Beyond {
    by_reason: BTreeMap<Reason, u64>,
    since: Option<Timestamp>,
}

impl Strangers {
    pub(crate) fn new(tasks: &TaskTracker, stopping: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            whole_at: AtomicU64::new(0),
            beyond: Mutex::default(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        })
    }

    /// Whether one more event is within the budget.
    fn admits(&self) -> bool {
        let each = Duration::from_secs(1) / PER_SECOND;
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(self.began.elapsed());
        let most = nanos(each * AT_ONCE);
        let one_more = |whole_at: u64| {
            let after = whole_at.max(now).saturating_add(nanos(each));
            (after.saturating_sub(now) <= most).then_some(after)
        };
        let relaxed = Ordering::Relaxed;
        self.whole_at
            .fetch_update(relaxed, relaxed, one_more)
            .is_ok()
    }

    /// Whether an event without a caller is written. If not, it is counted, and `log` is told how many there were.
    pub(super) fn take(
        self: &Arc<Self>,
        reason: Reason,
        log: &Log,
        (tenant, revision): (&TenantId, Option<Revision>),
    ) -> bool {
        if self.admits() {
            return true;
        }
        let is_first = {
            let mut beyond = self.lock();
            *beyond.by_reason.entry(reason).or_default() += 1;
            let before = beyond.since;
            beyond.since = before.or_else(|| Some(Timestamp::now()));
            before.is_none()
        };
        if is_first {
            let (strangers, log, tenant) = (Arc::clone(self), log.clone(), tenant.clone());
            drop(self.tasks.spawn(async move {
                let waiting = tokio::time::sleep(SUMMARY);
                strangers.stopping.run_until_cancelled(waiting).await;
                let event = strangers.summary(&tenant, revision);
                let request = RequestId::new(uuid::Uuid::now_v7().to_string());
                log.write(&tenant, &request, &event, None).await;
            }));
        }
        false
    }

    /// How many events went beyond the budget since the last time.
    fn summary(&self, tenant: &TenantId, revision: Option<Revision>) -> AuditEvent {
        let Beyond { by_reason, since } = mem::take(&mut *self.lock());
        let count: u64 = by_reason.values().sum();
        let mut metadata = BTreeMap::from([
            ("event_id".into(), uuid::Uuid::now_v7().to_string().into()),
            ("count".into(), count.into()),
            ("by_reason".into(), json!(by_reason)),
            ("since".into(), json!(since)),
        ]);
        if let Some(revision) = revision {
            metadata.insert("revision".into(), revision.0.into());
        }
        AuditEvent {
            timestamp: Timestamp::now(),
            event_type: EVENT_TYPE.into(),
            tenant_id: Some(tenant.clone()),
            user_id: None,
            mcp_server: None,
            tool: None,
            result: AuditOutcome::Denied,
            metadata,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Beyond> {
        self.beyond
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_a_budget_at_once_and_another_for_each_second() {
        let strangers = Strangers::new(&TaskTracker::new(), &CancellationToken::new());
        let admitted = || (0..1000).filter(|_| strangers.admits()).count();
        assert_eq!(admitted(), 200);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(admitted(), 50);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(admitted(), 200);
    }
}
