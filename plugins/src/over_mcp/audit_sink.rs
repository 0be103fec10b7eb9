//! Audit at an MCP server: `log_events` where there is one, else `log_event`.

use async_trait::async_trait;
use gateway_core::plugin::{AuditEvent, AuditSink};
use gateway_core::{CallContext, PluginError};
use serde::Serialize;

use super::answer::Answer;
use super::server::{PluginServer, Repeat};

const ONE: &str = "log_event";
const SEVERAL: &str = "log_events";

/// Has a server record what happened. What it has not acknowledged may come again, under the same
/// `event_id`.
#[derive(Debug)]
pub(crate) struct AuditSinkServer(PluginServer);

#[derive(Serialize)]
struct Events<'a> {
    events: &'a [AuditEvent],
}

impl AuditSinkServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[ONE];

    pub(crate) fn new(server: PluginServer) -> Self {
        Self(server)
    }

    async fn tell(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &(impl Serialize + Sync),
    ) -> Result<(), PluginError> {
        match self.0.call(context, tool, arguments, Repeat::Safe).await? {
            Answer::Given(_) => Ok(()),
            Answer::Failed(refusal) => Err(refusal.into_error(self.0.plugin())),
        }
    }
}

#[async_trait]
impl AuditSink for AuditSinkServer {
    async fn log_event(
        &self,
        context: &CallContext,
        event: &AuditEvent,
    ) -> Result<(), PluginError> {
        self.tell(context, ONE, event).await
    }

    async fn log_events(
        &self,
        context: &CallContext,
        events: &[AuditEvent],
    ) -> Result<(), PluginError> {
        let connection = self.0.connection(self.0.deadline(context)).await?;
        let takes_several = connection.has_tool(SEVERAL);
        drop(connection);
        if takes_several {
            return self.tell(context, SEVERAL, &Events { events }).await;
        }
        for event in events {
            self.log_event(context, event).await?;
        }
        Ok(())
    }
}
