//! An MCP client on rmcp that does what the official conformance suite's scenarios for clients want to see, as far as
//! they need no OAuth.

mod answers;
mod values;

use anyhow::{Context as _, ensure};
use clap::Args;
use rmcp::model::{
    CallToolRequestParams, GetPromptRequestParams, JsonObject, ProtocolVersion,
    ReadResourceRequestParams, Tool,
};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde::Deserialize;
use serde_json::Value;

use answers::Answers;

type Client = RunningService<RoleClient, Answers>;

/// What the suite says in the environment.
#[derive(Debug, Clone, Args)]
pub struct Scenario {
    #[arg(
        long = "scenario",
        env = "MCP_CONFORMANCE_SCENARIO",
        default_value = "tools_call"
    )]
    name: String,
    /// The version to open with.
    #[arg(
        long,
        env = "MCP_CONFORMANCE_PROTOCOL_VERSION",
        default_value = "2025-11-25"
    )]
    version: String,
    /// What this scenario wants in particular, as JSON.
    #[arg(long, env = "MCP_CONFORMANCE_CONTEXT", default_value = "{}")]
    context: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    /// The calls to make, instead of one of each tool.
    tool_calls: Vec<ToolCall>,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
    name: String,
    #[serde(default)]
    arguments: Option<JsonObject>,
}

/// Connects, uses what the server offers, and disconnects. That a call fails is told at the end, after the others.
pub async fn run(scenario: &Scenario, url: &str) -> anyhow::Result<()> {
    let context: Context =
        serde_json::from_str(&scenario.context).context("reading the scenario's context")?;
    let client = Answers
        .serve_with_lifecycle(
            StreamableHttpClientTransport::from_uri(url),
            lifecycle(&scenario.version)?,
        )
        .await
        .context("connecting")?;
    let mut failed = Vec::new();
    let tools = client.list_all_tools().await.context("listing tools")?;
    for call in calls(&scenario.name, context, &tools) {
        let mut params = CallToolRequestParams::new(call.name.clone());
        params.arguments = call.arguments;
        if let Err(error) = client.call_tool(params).await {
            failed.push(format!("{}: {error}", call.name));
        }
    }
    use_other_items(&client, &mut failed).await?;
    client.cancel().await?;
    ensure!(failed.is_empty(), "failed: {}", failed.join("; "));
    Ok(())
}

/// As clients of each era open: the suite's servers speak only one.
fn lifecycle(version: &str) -> anyhow::Result<ClientLifecycleMode> {
    let version: ProtocolVersion = serde_json::from_value(Value::from(version))?;
    Ok(
        if version.as_str() >= ProtocolVersion::V_2026_07_28.as_str() {
            ClientLifecycleMode::Discover {
                preferred_versions: vec![version],
            }
        } else {
            ClientLifecycleMode::Initialize
        },
    )
}

fn calls(scenario: &str, context: Context, tools: &[Tool]) -> Vec<ToolCall> {
    if !context.tool_calls.is_empty() {
        return context.tool_calls;
    }
    match scenario {
        // Their servers know no calls.
        "initialize" | "json-schema-ref-no-deref" => Vec::new(),
        "json-schema-2020-12-preservation" => echo_schema(tools).into_iter().collect(),
        _ => tools
            .iter()
            .map(|tool| ToolCall {
                name: tool.name.to_string(),
                arguments: Some(values::arguments(&tool.input_schema)),
            })
            .collect(),
    }
}

/// Shows which schema the other tool has, as it arrived here.
fn echo_schema(tools: &[Tool]) -> Option<ToolCall> {
    let shown = tools
        .iter()
        .find(|tool| tool.name == "json_schema_2020_12_tool")?;
    let schema = Value::Object((*shown.input_schema).clone());
    Some(ToolCall {
        name: "json_schema_echo".to_owned(),
        arguments: Some(JsonObject::from_iter([("schema".to_owned(), schema)])),
    })
}

async fn use_other_items(client: &Client, failed: &mut Vec<String>) -> anyhow::Result<()> {
    let offers = client.peer_info().map(|info| info.capabilities.clone());
    let offers = offers.unwrap_or_default();
    if offers.resources.is_some() {
        let resources = client.list_all_resources().await;
        for resource in resources.context("listing resources")? {
            let params = ReadResourceRequestParams::new(resource.uri.clone());
            if let Err(error) = client.read_resource(params).await {
                failed.push(format!("{}: {error}", resource.uri));
            }
        }
    }
    if offers.prompts.is_some() {
        let prompts = client.list_all_prompts().await;
        for prompt in prompts.context("listing prompts")? {
            let params = GetPromptRequestParams::new(prompt.name.clone());
            if let Err(error) = client.get_prompt(params).await {
                failed.push(format!("{}: {error}", prompt.name));
            }
        }
    }
    Ok(())
}
