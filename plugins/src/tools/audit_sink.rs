//! `log_event` and `log_events`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::{AuditEvent, AuditOutcome, AuditSink};
use gateway_core::{ServerName, TenantId, UserId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Call, Object, Refused, Tool, Tools, schema};

const ONE: &str = "log_event";
const SEVERAL: &str = "log_events";

pub(super) struct Serve(pub(super) Arc<dyn AuditSink>);

/// What happened.
#[derive(Deserialize, JsonSchema)]
struct Event {
    /// When, as RFC 3339 has it.
    #[schemars(with = "String")]
    timestamp: Timestamp,
    /// What kind of request it was, such as `tool_call`.
    event_type: String,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    user_id: Option<UserId>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    mcp_server: Option<ServerName>,
    #[serde(default)]
    tool: Option<String>,
    /// `ok` where it is left out; else `tool_error`, `denied` or `error`.
    #[serde(default)]
    result: Ended,
    /// `event_id`, which tells one that comes again, and what else belongs to the event.
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

#[derive(Deserialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Ended {
    #[default]
    Ok,
    ToolError,
    Denied,
    Error,
}

#[derive(Deserialize, JsonSchema)]
struct Events {
    /// In the order in which they happened.
    events: Vec<Event>,
}

impl From<Event> for AuditEvent {
    fn from(event: Event) -> Self {
        let metadata = event.metadata.into_iter();
        Self {
            timestamp: event.timestamp,
            event_type: event.event_type.into(),
            tenant_id: event.tenant_id,
            user_id: event.user_id,
            mcp_server: event.mcp_server,
            tool: event.tool,
            result: match event.result {
                Ended::Ok => AuditOutcome::Ok,
                Ended::ToolError => AuditOutcome::ToolError,
                Ended::Denied => AuditOutcome::Denied,
                Ended::Error => AuditOutcome::Error,
            },
            metadata: metadata.map(|(name, value)| (name.into(), value)).collect(),
        }
    }
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![
            Tool {
                name: ONE,
                description: "Records an event. It is safe once this is answered.",
                input_schema: schema::<Event>(),
                output_schema: None,
                is_read_only: false,
            },
            Tool {
                name: SEVERAL,
                description: "Records events, in order. They are safe once this is answered.",
                input_schema: schema::<Events>(),
                output_schema: None,
                is_read_only: false,
            },
        ]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        let events: Vec<AuditEvent> = match name {
            ONE => vec![call.read::<Event>()?.into()],
            SEVERAL => {
                let Events { events } = call.read()?;
                events.into_iter().map(AuditEvent::from).collect()
            }
            _ => return Ok(None),
        };
        let tenant = events.first().and_then(|event| event.tenant_id.clone());
        let context = call.context(tenant);
        // A sink that has no room says so before it takes anything.
        let _room = self.0.reserve(&context).await?;
        match events.as_slice() {
            [event] => self.0.log_event(&context, event).await?,
            events => self.0.log_events(&context, events).await?,
        }
        Ok(Some(Object::new()))
    }
}
