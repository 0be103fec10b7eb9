//! An audit sink with `on_overflow: drop`: what it does not take is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::plugin::{AuditEvent, AuditSink};
use gateway_core::{CallContext, Deadline, PluginError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

/// How long a request waits for the sink before its event is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a sink that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands events to a sink, and lets requests go on when it takes none.
pub(crate) struct Dropping {
    name: String,
    sink: Arc<dyn AuditSink>,
    dropped: AtomicU64,
    /// Until when the sink is not asked.
    rests: watch::Sender<Option<Instant>>,
}

impl Dropping {
    pub(crate) fn new(name: String, sink: Arc<dyn AuditSink>) -> Self {
        Self {
            name,
            sink,
            dropped: AtomicU64::new(0),
            rests: watch::Sender::new(None),
        }
    }

    fn count(&self, events: &[AuditEvent]) -> u64 {
        let further = events.len() as u64;
        self.dropped.fetch_add(further, Ordering::Relaxed) + further
    }
}

#[async_trait]
impl AuditSink for Dropping {
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
        let now = Instant::now();
        if self.rests.borrow().is_some_and(|until| now < until) {
            self.count(events);
            return Ok(());
        }
        let context = CallContext {
            deadline: context.deadline.min(Deadline::after(PATIENCE)),
            ..context.clone()
        };
        let asked = timeout_at(now + PATIENCE, self.sink.log_events(&context, events));
        let problem = match asked.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it did not answer in time".to_owned()),
        };
        match problem {
            None => {
                let dropped = self.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    info!(
                        sink = self.name,
                        dropped, "the audit sink takes events again"
                    );
                }
            }
            Some(error) => {
                let dropped = self.count(events);
                error!(sink = self.name, error, dropped, "audit events are dropped");
                self.rests.send_replace(Some(Instant::now() + PAUSE));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use gateway_core::{ErrorKind, RequestId, TenantId};

    use super::*;
    use crate::suite::audit_event;

    #[derive(Default)]
    struct Failing {
        works: AtomicBool,
        asked: AtomicU64,
    }

    #[async_trait]
    impl AuditSink for Failing {
        async fn log_event(&self, _: &CallContext, _: &AuditEvent) -> Result<(), PluginError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.works.load(Ordering::SeqCst) {
                true => Ok(()),
                false => Err(PluginError::new(ErrorKind::Unavailable, "the disk is full")),
            }
        }
    }

    #[tokio::test]
    async fn a_sink_that_fails_is_left_alone_and_asked_again() {
        let sink = Arc::new(Failing::default());
        let dropping = Dropping::new("local".into(), Arc::clone(&sink) as _);
        let deadline = Deadline::after(Duration::from_secs(60));
        let context = CallContext::new(TenantId::default(), deadline, RequestId::new("r1"));
        for _ in 0..3 {
            dropping.reserve(&context).await.unwrap();
            dropping
                .log_event(&context, &audit_event("e"))
                .await
                .unwrap();
        }
        assert_eq!(sink.asked.load(Ordering::SeqCst), 1);
        assert_eq!(dropping.dropped.load(Ordering::SeqCst), 3);
        sink.works.store(true, Ordering::SeqCst);
        // As if the pause were over.
        dropping.rests.send_replace(None);
        dropping
            .log_event(&context, &audit_event("e"))
            .await
            .unwrap();
        assert_eq!(dropping.dropped.load(Ordering::SeqCst), 0);
    }
}
