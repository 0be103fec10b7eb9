//! What all areas use to declare tools and to read a call of one.

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    ErrorData, InputResponses, JsonObject, ProtocolVersion, Tool,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};

pub(super) type Answer = Result<CallToolResponse, ErrorData>;

/// One call of a tool, or one round of it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: JsonObject,
    pub(super) input_responses: InputResponses,
    pub(super) request_state: Option<String>,
    pub(super) context: RequestContext<RoleServer>,
}

impl Call {
    pub(super) fn new(request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Self {
        Self {
            name: request.name.into_owned(),
            arguments: request.arguments.unwrap_or_default(),
            input_responses: request.input_responses.unwrap_or_default(),
            request_state: request.request_state,
            context,
        }
    }

    /// An argument that is text; empty where there is none.
    pub(super) fn text(&self, argument: &str) -> &str {
        self.arguments
            .get(argument)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn capabilities(&self) -> ClientCapabilities {
        self.context.client_capabilities().unwrap_or_default()
    }

    /// Whether the request belongs to a version in which servers ask nothing by themselves.
    pub(super) fn is_modern(&self) -> bool {
        self.context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
    }

    /// The error for a client that has not declared what the call needs; legacy versions have no code for it.
    pub(super) fn undeclared(&self, required: ClientCapabilities) -> ErrorData {
        if self.is_modern() {
            return ErrorData::missing_required_client_capability(required);
        }
        let data = json!({ "requiredCapabilities": required });
        ErrorData::invalid_request("the client has not declared a capability", Some(data))
    }
}

pub(super) fn tool(name: &'static str, description: &'static str, input_schema: Value) -> Tool {
    Tool::new(name, description, object(input_schema))
}

/// A tool that takes no arguments.
pub(super) fn plain(name: &'static str, description: &'static str) -> Tool {
    tool(
        name,
        description,
        json!({ "type": "object", "properties": {} }),
    )
}

/// Empty for what is not an object.
pub(super) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

pub(super) fn text_result(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

pub(super) fn text(text: impl Into<String>) -> Answer {
    Ok(text_result(text).into())
}

/// What a tool says when it ran and did not succeed.
pub(super) fn failure(text: impl Into<String>) -> Answer {
    Ok(CallToolResult::error(vec![ContentBlock::text(text)]).into())
}
