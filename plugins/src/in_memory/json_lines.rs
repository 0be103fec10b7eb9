//! Audit `stdout`, `stderr` and `file`: one JSON object a line, one line an event.

use async_trait::async_trait;
use gateway_core::plugin::{AuditEvent, AuditSink, Reservation};
use gateway_core::{CallContext, ErrorKind, PluginError};
use tokio::time::{Instant, timeout_at};

use super::LineWriter;

/// What one event seldom takes more than.
const USUAL_BYTES: usize = 512;

/// Writes events as lines. An event whose call was dropped or timed out may still be written:
/// twice is better than never, and its `event_id` tells.
#[derive(Debug)]
pub(crate) struct JsonLines {
    writer: LineWriter,
}

impl JsonLines {
    pub(crate) fn new(writer: LineWriter) -> Self {
        Self { writer }
    }

    async fn write(&self, context: &CallContext, lines: Vec<u8>) -> Result<(), PluginError> {
        let name = self.writer.name();
        if context.deadline.has_passed() {
            let message = format!("no time was left to write the audit event to {name}");
            return Err(PluginError::new(ErrorKind::DeadlineExceeded, message));
        }
        let deadline = Instant::from_std(context.deadline.instant());
        match timeout_at(deadline, self.writer.write(lines)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let message = format!("the audit event could not be written to {name}");
                Err(PluginError::with_cause(
                    ErrorKind::Unavailable,
                    message,
                    error,
                ))
            }
            Err(_) => {
                let message =
                    format!("{name} did not take the audit event in time: its reader is stuck");
                Err(PluginError::new(ErrorKind::Unavailable, message))
            }
        }
    }
}

#[async_trait]
impl AuditSink for JsonLines {
    async fn reserve(&self, context: &CallContext) -> Result<Reservation, PluginError> {
        let deadline = Instant::from_std(context.deadline.instant());
        let room = timeout_at(deadline, self.writer.make_room()).await;
        let full = format!(
            "{} has no room for further audit events",
            self.writer.name()
        );
        match room {
            Ok(Ok(())) => Ok(Reservation::NONE),
            Ok(Err(error)) => Err(PluginError::with_cause(
                ErrorKind::ResourceExhausted,
                full,
                error,
            )),
            Err(_) => Err(PluginError::new(ErrorKind::ResourceExhausted, full)),
        }
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
        let mut lines = Vec::with_capacity(events.len().saturating_mul(USUAL_BYTES));
        for event in events {
            serde_json::to_writer(&mut lines, event).map_err(|error| {
                let message = "the audit event has no JSON form";
                PluginError::with_cause(ErrorKind::Internal, message, error)
            })?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.write(context, lines).await
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use futures_util::future::poll_immediate;
    use gateway_core::{Deadline, RequestId, TenantId};

    use super::*;
    use crate::suite::audit_event;

    fn context(wait: Duration) -> CallContext {
        CallContext::new(
            TenantId::default(),
            Deadline::after(wait),
            RequestId::new("r1"),
        )
    }

    #[tokio::test]
    async fn a_blocked_pipe_fails_the_call_at_its_deadline_and_nothing_else() {
        let (reader, writer) = io::pipe().unwrap();
        let sink = JsonLines::new(LineWriter::start("test", writer).unwrap());
        // More than any pipe holds, so the writer is stuck with it until somebody reads.
        let mut large = audit_event("large");
        large
            .metadata
            .insert("padding".into(), "x".repeat(2 << 20).into());
        let patient = context(Duration::from_secs(60));
        assert!(
            poll_immediate(sink.log_event(&patient, &large))
                .await
                .is_none()
        );
        let error = sink
            .log_event(
                &context(Duration::from_millis(200)),
                &audit_event("waiting"),
            )
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);

        let read = tokio::task::spawn_blocking(|| io::read_to_string(reader));
        sink.log_event(&context(Duration::from_secs(60)), &audit_event("after"))
            .await
            .unwrap();
        drop(sink);
        let text = read.await.unwrap().unwrap();
        let ids: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|event| event["metadata"]["event_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids, ["large", "waiting", "after"]);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        let sink = JsonLines::new(LineWriter::start("test", writer).unwrap());
        drop(reader);
        let error = sink
            .log_event(&context(Duration::from_secs(60)), &audit_event("lost"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(
            error.to_string(),
            "the audit event could not be written to test"
        );
    }
}
