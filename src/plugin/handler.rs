//! A plugin's tools as rmcp serves them.

use std::sync::Arc;

use gateway_core::TraceContext;
use gateway_core::plugin::Telemetry;
use gateway_plugins::{Answer, PluginTools};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::chosen::Chosen;

/// How often a plugin was called, by tool and outcome, and how long it took.
const CALLS: &str = "mcp_gateway_plugin_calls";
const DURATION: &str = "mcp_gateway_plugin_call_duration_seconds";

/// One for each session, around the same plugin.
#[derive(Clone)]
pub(super) struct Handler(Arc<Served>);

struct Served {
    name: String,
    tools: Arc<PluginTools>,
    /// Their schemas take a while to make.
    listed: Vec<Tool>,
    telemetry: Arc<dyn Telemetry>,
}

impl Handler {
    pub(super) fn new(chosen: &Chosen) -> Self {
        Self(Arc::new(Served {
            name: format!("mcp-gateway-{}-{}", chosen.kind, chosen.name),
            listed: listed(&chosen.tools),
            tools: Arc::clone(&chosen.tools),
            telemetry: Arc::clone(&chosen.telemetry),
        }))
    }

    fn measure(&self, tool: &str, answer: &Answer, began: Instant) {
        let result = match answer {
            Answer::Done(_) => "ok",
            Answer::Failed { .. } => "failed",
            Answer::Invalid(_) => "invalid",
            // Whatever a client makes up is no label.
            Answer::Unknown => return,
        };
        let telemetry = &self.0.telemetry;
        telemetry.record_counter(CALLS, 1, &[("tool", tool), ("result", result)]);
        let seconds = began.elapsed().as_secs_f64();
        telemetry.record_histogram(DURATION, seconds, &[("tool", tool)]);
    }
}

fn listed(tools: &PluginTools) -> Vec<Tool> {
    let tools = tools.list().into_iter().map(|tool| {
        let mut listed = Tool::new(tool.name, tool.description, tool.input_schema);
        listed.output_schema = tool.output_schema.map(Arc::new);
        let annotations = ToolAnnotations::new().read_only(tool.is_read_only);
        listed.annotations = Some(annotations.destructive(false).idempotent(true));
        listed
    });
    tools.collect()
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let version = env!("CARGO_PKG_VERSION");
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(self.0.name.clone(), version))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.listed.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.listed.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let said = |name: &str| {
            let value = context.meta.get(name).and_then(Value::as_str);
            value.map(Arc::from)
        };
        let trace = TraceContext {
            traceparent: said("traceparent"),
            tracestate: said("tracestate"),
        };
        let arguments = request.arguments.unwrap_or_default();
        let began = Instant::now();
        let answer = self.0.tools.call(&request.name, arguments, trace).await;
        self.measure(&request.name, &answer, began);
        match answer {
            Answer::Done(given) => Ok(CallToolResult::structured(Value::Object(given)).into()),
            Answer::Failed { kind, message } => {
                let mut result = CallToolResult::error(vec![ContentBlock::text(message.clone())]);
                let error = json!({ "kind": kind.as_str(), "message": message });
                result.structured_content = Some(json!({ "error": error }));
                Ok(result.into())
            }
            Answer::Unknown => {
                let message = format!("there is no tool {}", request.name);
                Err(ErrorData::invalid_params(message, None))
            }
            Answer::Invalid(why) => Err(ErrorData::invalid_params(why, None)),
        }
    }
}
