//! Several audit sinks as one: each of them gets every event.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use gateway_core::plugin::{AuditEvent, AuditSink, Reservation};
use gateway_core::{CallContext, PluginError};

/// Hands every event to all sinks at the same time, so that one that hangs does not keep it from
/// the others. Fails when one fails; the event then comes again to all.
pub(crate) struct EverySink {
    sinks: Vec<(String, Arc<dyn AuditSink>)>,
}

impl EverySink {
    pub(crate) fn new(sinks: Vec<(String, Arc<dyn AuditSink>)>) -> Self {
        Self { sinks }
    }
}

#[async_trait]
impl AuditSink for EverySink {
    async fn log_event(
        &self,
        context: &CallContext,
        event: &AuditEvent,
    ) -> Result<(), PluginError> {
        self.log_events(context, std::slice::from_ref(event)).await
    }

    async fn reserve(&self, context: &CallContext) -> Result<Reservation, PluginError> {
        let mut reserved = Vec::with_capacity(self.sinks.len());
        for (_, sink) in &self.sinks {
            reserved.push(sink.reserve(context).await?);
        }
        Ok(Reservation::holding(reserved))
    }

    async fn log_events(
        &self,
        context: &CallContext,
        events: &[AuditEvent],
    ) -> Result<(), PluginError> {
        let calls = self.sinks.iter().map(async |(name, sink)| {
            let outcome = match events {
                [event] => sink.log_event(context, event).await,
                events => sink.log_events(context, events).await,
            };
            (name.as_str(), outcome)
        });
        let outcomes = join_all(calls).await;
        let mut failed = outcomes
            .into_iter()
            .filter_map(|(name, outcome)| Some((name, outcome.err()?)));
        let Some((name, error)) = failed.next() else {
            return Ok(());
        };
        let mut message = format!("audit sink `{name}` failed");
        for (name, error) in failed {
            message.push_str(&format!("; `{name}` too: {error}"));
        }
        Err(PluginError::with_cause(error.kind(), message, error))
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::{Deadline, ErrorKind, RequestId, TenantId};
    use tokio::sync::mpsc;

    use super::*;
    use crate::suite::audit_event;

    struct Taking(mpsc::UnboundedSender<String>);

    #[async_trait]
    impl AuditSink for Taking {
        async fn log_event(&self, _: &CallContext, event: &AuditEvent) -> Result<(), PluginError> {
            self.0.send(event.metadata["event_id"].to_string()).unwrap();
            Ok(())
        }
    }

    struct Failing;

    #[async_trait]
    impl AuditSink for Failing {
        async fn log_event(&self, _: &CallContext, _: &AuditEvent) -> Result<(), PluginError> {
            Err(PluginError::new(
                ErrorKind::ResourceExhausted,
                "the disk is full",
            ))
        }
    }

    #[tokio::test]
    async fn one_failing_sink_fails_the_call_and_the_others_get_the_event() {
        let (taken, mut events) = mpsc::unbounded_channel();
        let sink = EverySink::new(vec![
            ("local".into(), Arc::new(Failing)),
            ("copy".into(), Arc::new(Failing)),
            ("remote".into(), Arc::new(Taking(taken))),
        ]);
        let deadline = Deadline::after(std::time::Duration::from_secs(60));
        let context = CallContext::new(TenantId::default(), deadline, RequestId::new("r1"));
        let error = sink
            .log_event(&context, &audit_event("e1"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(
            error.to_string(),
            "audit sink `local` failed; `copy` too: the disk is full"
        );
        assert_eq!(events.try_recv().unwrap(), "\"e1\"");
    }
}
