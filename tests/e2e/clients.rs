//! Every official client, in every mode, lists and calls the tools of three official servers through the gateway.

use anyhow::{Context as _, Result, ensure};
use gateway_tests::Gateway;
use gateway_tests::clients::OfficialClient;
use gateway_tests::servers::{self, Everything};
use gateway_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

#[tokio::test]
async fn typescript_1_uses_every_server() -> Result<()> {
    uses_every_server(OfficialClient::TS_V1).await
}

#[tokio::test]
async fn typescript_2_uses_every_server_as_a_legacy_client() -> Result<()> {
    uses_every_server(OfficialClient::TS_V2_LEGACY).await
}

#[tokio::test]
async fn typescript_2_uses_every_server_when_it_asks_for_the_era() -> Result<()> {
    uses_every_server(OfficialClient::TS_V2_AUTO).await
}

#[tokio::test]
async fn typescript_2_uses_every_server_as_a_modern_client() -> Result<()> {
    uses_every_server(OfficialClient::TS_V2_PINNED).await
}

#[tokio::test]
async fn python_uses_every_server_as_a_legacy_client() -> Result<()> {
    uses_every_server(OfficialClient::PYTHON_LEGACY).await
}

#[tokio::test]
async fn python_uses_every_server_when_it_asks_for_the_era() -> Result<()> {
    uses_every_server(OfficialClient::PYTHON_AUTO).await
}

#[tokio::test]
async fn python_uses_every_server_as_a_modern_client() -> Result<()> {
    uses_every_server(OfficialClient::PYTHON_PINNED).await
}

async fn uses_every_server(client: OfficialClient) -> Result<()> {
    let everything = Everything::start().await?;
    let workspace = Arc::new(Workspace::new("")?);
    let folder = workspace.folder("served")?;
    std::fs::write(folder.join("note.txt"), "read through the gateway")?;
    workspace.replace_config(&servers::configuration(&[
        ("everything", servers::remote(&everything.url())),
        ("files", servers::filesystem(&folder)?),
        ("time", servers::time()?),
    ]))?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    for tool in [
        "everything__echo",
        "files__read_text_file",
        "time__get_current_time",
    ] {
        gateway.wait_for_tool("/mcp", tool).await?;
    }

    uses_all_together(client, &gateway, &folder).await?;
    uses_each_alone(client, &gateway, &folder).await?;
    ensure!(
        gateway.stop().await?.code == Some(0),
        "the gateway did not end in peace"
    );
    Ok(())
}

async fn uses_all_together(client: OfficialClient, gateway: &Gateway, folder: &Path) -> Result<()> {
    let calls = [
        ("everything__echo", json!({ "message": "hello" })),
        ("everything__get-sum", json!({ "a": 2, "b": 3 })),
        (
            "files__read_text_file",
            json!({ "path": folder.join("note.txt") }),
        ),
        ("time__get_current_time", json!({ "timezone": "UTC" })),
        ("files__read_text_file", json!({ "path": "/etc/hostname" })),
        ("nobody__knows", json!({})),
    ];
    let report = client.run(&gateway.url("/mcp"), &calls).await?;
    ensure!(
        field(&report, "/protocol_version") == client.best_version(),
        "{report}"
    );
    let names: Vec<&str> = tools(&report);
    for (tool, _) in &calls[..4] {
        ensure!(names.contains(tool), "{tool} is not listed: {report}");
    }
    ensure!(text(&report, 0)? == "Echo: hello", "{report}");
    ensure!(text(&report, 1)?.contains('5'), "{report}");
    ensure!(
        text(&report, 2)?.contains("read through the gateway"),
        "{report}"
    );
    ensure!(text(&report, 3)?.contains("UTC"), "{report}");
    ensure!(
        report.pointer("/calls/4/is_error") == Some(&json!(true)),
        "{report}"
    );
    ensure!(
        report.pointer("/calls/5/error/code") == Some(&json!(-32602)),
        "{report}"
    );
    Ok(())
}

async fn uses_each_alone(client: OfficialClient, gateway: &Gateway, folder: &Path) -> Result<()> {
    let calls = [
        (
            "everything",
            "echo",
            json!({ "message": "hello" }),
            "Echo: hello",
        ),
        (
            "files",
            "list_directory",
            json!({ "path": folder }),
            "note.txt",
        ),
        (
            "time",
            "get_current_time",
            json!({ "timezone": "UTC" }),
            "UTC",
        ),
    ];
    for (server, tool, arguments, expected) in calls {
        let url = gateway.url(&format!("/s/{server}/mcp"));
        let report = client.run(&url, &[(tool, arguments)]).await?;
        ensure!(
            tools(&report).contains(&tool),
            "{tool} is not listed: {report}"
        );
        ensure!(
            !tools(&report).iter().any(|name| name.contains("__")),
            "renamed: {report}"
        );
        ensure!(text(&report, 0)?.contains(expected), "{report}");
    }
    Ok(())
}

fn tools(report: &Value) -> Vec<&str> {
    let tools = report.get("tools").and_then(Value::as_array);
    tools
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn field<'a>(report: &'a Value, pointer: &str) -> &'a str {
    report
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The text that call number `call` answered.
fn text(report: &Value, call: usize) -> Result<&str> {
    let text = report
        .pointer(&format!("/calls/{call}/content/0/text"))
        .and_then(Value::as_str);
    text.with_context(|| format!("call {call} has no text: {report}"))
}
