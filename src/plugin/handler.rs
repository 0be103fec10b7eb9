//! A plugin's tools as rmcp serves them.

use std::sync::Arc;

use gateway_core::TraceContext;
use gateway_plugins::{Answer, PluginTools};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};

/// One for each session, around the same plugin.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    name: Arc<str>,
    tools: Arc<PluginTools>,
}

impl Handler {
    pub(super) fn new(name: &str, tools: Arc<PluginTools>) -> Self {
        Self {
            name: name.into(),
            tools,
        }
    }

    fn listed(&self) -> Vec<Tool> {
        let tools = self.tools.list().into_iter().map(|tool| {
            let mut listed = Tool::new(tool.name, tool.description, tool.input_schema);
            listed.output_schema = tool.output_schema.map(Arc::new);
            let annotations = ToolAnnotations::new().read_only(tool.is_read_only);
            listed.annotations = Some(annotations.destructive(false).idempotent(true));
            listed
        });
        tools.collect()
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let version = env!("CARGO_PKG_VERSION");
        ServerConfig::new(capabilities).with_server_info(Implementation::new(&*self.name, version))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.listed()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.listed().into_iter().find(|tool| tool.name == name)
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
        let answer = self.tools.call(&request.name, arguments, trace).await;
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
