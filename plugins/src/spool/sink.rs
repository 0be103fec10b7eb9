//! A configured audit sink whose events go through a spool.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use gateway_core::config::{AuditDurability, AuditOverflow};
use gateway_core::plugin::{AuditEvent, AuditSink, Reservation};
use gateway_core::{CallContext, ErrorKind, PluginError};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

use super::Spool;

/// What is promised for one event; few take more.
const PROMISE: u64 = 1024;

/// What one event seldom takes more than.
const USUAL_BYTES: usize = 512;

/// What a configuration promises of its sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promises {
    pub(crate) durability: AuditDurability,
    pub(crate) on_overflow: AuditOverflow,
}

/// Logs to a spool, as long as it is configured.
pub(crate) struct SpoolSink {
    pub(super) spool: Arc<Spool>,
    promises: Promises,
    /// Where the spool is to deliver to.
    target: Arc<dyn AuditSink>,
}

/// Space for one event.
struct Promise(Arc<Spool>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.space.keep_promise(PROMISE);
    }
}

impl SpoolSink {
    pub(super) fn new(spool: Arc<Spool>, target: Arc<dyn AuditSink>, promises: Promises) -> Self {
        spool.users.fetch_add(1, Ordering::SeqCst);
        Self {
            spool,
            promises,
            target,
        }
    }

    /// Has the spool deliver to this sink from now on, with what waits in it; so many spools share the tenant's quota.
    pub(crate) fn take_over(&self, spools: usize) {
        let spool = &self.spool;
        spool.space.share_among(spools as u64);
        let to_disk = self.promises.durability == AuditDurability::Disk;
        spool.to_disk.store(to_disk, Ordering::SeqCst);
        spool.target.store(Some(Arc::new(Arc::clone(&self.target))));
        spool.note_health(None);
        spool.nudge.notify_one();
        spool.wake.notify_one();
    }

    fn may_drop(&self) -> bool {
        self.promises.on_overflow == AuditOverflow::Drop
    }

    fn error(&self, kind: ErrorKind, what: &str) -> PluginError {
        PluginError::new(kind, format!("the audit sink `{}` {what}", self.spool.sink))
    }

    fn full(&self) -> PluginError {
        self.error(
            ErrorKind::ResourceExhausted,
            "has no space left for events that wait",
        )
    }

    /// Whether events that are so long have to be dropped.
    fn must_drop(&self, bytes: usize, count: u64) -> bool {
        let spool = &self.spool;
        if !self.may_drop() || spool.space.has(bytes as u64) {
            return false;
        }
        self.drop_events(count, &"its spool is full");
        true
    }

    fn drop_events(&self, count: u64, why: &dyn std::fmt::Display) {
        let spool = &self.spool;
        spool.count("mcp_gateway_audit_dropped", count);
        // Once, and not for each of very many.
        if spool.dropped.fetch_add(count, Ordering::Relaxed) == 0 {
            error!(tenant = %spool.tenant, sink = spool.sink, error = %why, "audit events are dropped");
        }
    }

    async fn write(
        &self,
        context: &CallContext,
        lines: Vec<u8>,
        count: u64,
    ) -> Result<(), PluginError> {
        let spool = &self.spool;
        if self.must_drop(lines.len(), count) {
            return Ok(());
        }
        let deadline = Instant::from_std(context.deadline.instant());
        let late = || self.error(ErrorKind::DeadlineExceeded, "did not take an event in time");
        let written = timeout_at(deadline, spool.append(lines, count));
        let number = match written.await {
            Ok(Ok(number)) => number,
            Ok(Err(error)) if self.may_drop() => {
                self.drop_events(count, &error);
                return Ok(());
            }
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(_) => return Err(late()),
        };
        if spool.dropped.load(Ordering::Relaxed) > 0 {
            let dropped = spool.dropped.swap(0, Ordering::Relaxed);
            info!(tenant = %spool.tenant, sink = spool.sink, dropped, "audit events are kept again");
        }
        match self.promises.durability {
            AuditDurability::Process => Ok(()),
            AuditDurability::Disk => match timeout_at(deadline, spool.sync(number)).await {
                Ok(synced) => synced.map_err(|error| self.failed(error)),
                Err(_) => Err(late()),
            },
            AuditDurability::Sink => match timeout_at(deadline, self.acknowledged(number)).await {
                Ok(acknowledged) => acknowledged,
                Err(_) => Err(late()),
            },
        }
    }

    fn failed(&self, error: io::Error) -> PluginError {
        let message = format!(
            "events of the audit sink `{}` cannot be kept",
            self.spool.sink
        );
        PluginError::with_cause(ErrorKind::Unavailable, message, error)
    }

    /// Waits until the sink has everything before event `number`, for as long as it takes events at all. Of one that
    /// is known to take none nothing is waited for: what it does not have yet it gets, and nothing is let in meanwhile.
    async fn acknowledged(&self, number: u64) -> Result<(), PluginError> {
        let spool = &self.spool;
        let mut problem = spool.problem.subscribe();
        if problem.borrow_and_update().is_some() {
            return Ok(());
        }
        let mut acknowledged = spool.acknowledged.subscribe();
        tokio::select! {
            biased;
            _ = acknowledged.wait_for(|acknowledged| *acknowledged >= number) => Ok(()),
            _ = problem.wait_for(Option::is_some) => {
                Err(self.error(ErrorKind::Unavailable, "has not acknowledged an event; it is sent again"))
            }
        }
    }
}

#[async_trait]
impl AuditSink for SpoolSink {
    async fn reserve(&self, _: &CallContext) -> Result<Reservation, PluginError> {
        if self.may_drop() {
            return Ok(Reservation::NONE);
        }
        let spool = &self.spool;
        if !spool.space.promise(PROMISE) {
            // Perhaps somebody has taken away what the sink refused.
            spool.wake.notify_one();
            return Err(self.full());
        }
        let promise = Promise(Arc::clone(spool));
        if let Err(error) = spool.make_room().await {
            let kind = ErrorKind::ResourceExhausted;
            return Err(PluginError::with_cause(
                kind,
                self.full().to_string(),
                error,
            ));
        }
        let waits = self.promises.durability == AuditDurability::Sink;
        if waits && let Some(problem) = spool.problem.borrow().clone() {
            let message = self
                .error(ErrorKind::Unavailable, "takes no events")
                .to_string();
            let problem = problem.to_string();
            return Err(PluginError::with_cause(
                ErrorKind::Unavailable,
                message,
                problem,
            ));
        }
        Ok(Reservation::holding(promise))
    }

    async fn log_event(
        &self,
        context: &CallContext,
        event: &AuditEvent,
    ) -> Result<(), PluginError> {
        self.log_events(context, std::slice::from_ref(event)).await
    }

    async fn log_events(
        &self,
        context: &CallContext,
        events: &[AuditEvent],
    ) -> Result<(), PluginError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::with_capacity(events.len().saturating_mul(USUAL_BYTES));
        for event in events {
            serde_json::to_writer(&mut lines, event).map_err(|error| {
                let message = "the audit event has no JSON form";
                PluginError::with_cause(ErrorKind::Internal, message, error)
            })?;
            lines.push(b'\n');
        }
        self.write(context, lines, events.len() as u64).await
    }
}

impl Drop for SpoolSink {
    fn drop(&mut self) {
        self.spool.users.fetch_sub(1, Ordering::SeqCst);
        // Once it is empty, nobody needs the spool.
        self.spool.wake.notify_one();
    }
}
