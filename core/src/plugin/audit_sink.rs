//! Audit: the record of what was done, refused and failed.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CallContext, PluginError, ServerName, TenantId, UserId};

/// How an audited request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was answered.
    Ok,
    /// The server answered that its tool failed.
    ToolError,
    /// It was refused: not authenticated, not allowed, not found.
    Denied,
    /// It could not be carried out.
    Error,
}

/// One thing that happened, in the form of the `log_event` tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When the request ended.
    pub timestamp: Timestamp,
    /// What kind of request it was, such as `tool_call`.
    pub event_type: Cow<'static, str>,
    /// The tenant whose endpoint was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// Who asked; absent when the caller was not authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The configured server, where one was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_server: Option<ServerName>,
    /// The tool under its original name; for an unknown one, the name that the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// How it ended.
    pub result: AuditOutcome,
    /// `event_id` (stable over repeated delivery), `revision`, `request_id`, `reason`,
    /// `duration_ms` and what else belongs to this type of event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Cow<'static, str>, serde_json::Value>,
}

/// Room for one event, held until that is logged. Dropped, it is given back.
#[derive(Default)]
pub struct Reservation {
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Reservation {
    /// Of a sink that keeps no account of its room.
    pub const NONE: Self = Self { _held: None };

    /// One that is given back when `held` is dropped.
    pub fn holding(held: impl Any + Send + Sync) -> Self {
        let held: Box<dyn Any + Send + Sync> = Box::new(held);
        Self { _held: Some(held) }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").finish_non_exhaustive()
    }
}

/// Takes audit events. MCP tools: `log_event`, optionally `log_events`.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Finds room for a request's event before the request is carried out. Not a tool: what cannot
    /// say so beforehand has room.
    ///
    /// # Errors
    /// An error means that the request must not be carried out. `ResourceExhausted`: there is no room
    /// for an event of its refusal either.
    async fn reserve(&self, _context: &CallContext) -> Result<Reservation, PluginError> {
        Ok(Reservation::NONE)
    }

    /// Takes one event. When it returns, the event is as safe as this sink makes it. The same
    /// event may come again after an error; its `event_id` tells.
    ///
    /// # Errors
    /// An error means that the event may be lost if it is not sent again.
    async fn log_event(&self, context: &CallContext, event: &AuditEvent)
    -> Result<(), PluginError>;

    /// Takes several events in order. An error leaves open how many were taken; all are sent again.
    ///
    /// # Errors
    /// As for [`log_event`](Self::log_event).
    async fn log_events(
        &self,
        context: &CallContext,
        events: &[AuditEvent],
    ) -> Result<(), PluginError> {
        for event in events {
            self.log_event(context, event).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_fields_of_the_log_event_tool() {
        let event = AuditEvent {
            timestamp: "2026-11-22T10:00:00Z".parse().unwrap(),
            event_type: "tool_call".into(),
            tenant_id: Some(TenantId::default()),
            user_id: "ada".parse().ok(),
            mcp_server: "files".parse().ok(),
            tool: Some("read".into()),
            result: AuditOutcome::ToolError,
            metadata: BTreeMap::from([("revision".into(), 7.into())]),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<AuditEvent>(&text).unwrap(), event);
        insta::assert_snapshot!(text, @r#"{"timestamp":"2026-11-22T10:00:00Z","event_type":"tool_call","tenant_id":"default","user_id":"ada","mcp_server":"files","tool":"read","result":"tool_error","metadata":{"revision":7}}"#);
    }
}
