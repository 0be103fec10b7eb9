//! Every official client, in every mode, lists and calls the tools of three official servers through the gateway.

use anyhow::{Result, ensure};
use gateway_tests::Gateway;
use gateway_tests::clients::{OfficialClient, Step};
use gateway_tests::servers::{self, Everything};
use gateway_tests::workspace::Workspace;
use serde_json::json;
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
    let mut visits = vec![(gateway.url("/mcp"), all_together(&folder))];
    let alone = one_by_one(&folder).map(|(server, steps)| {
        let url = gateway.url(&format!("/s/{server}/mcp"));
        (url, steps)
    });
    visits.extend(alone);
    client.visit(client.best_version(), &visits).await?;
    ensure!(
        gateway.stop().await?.code == Some(0),
        "the gateway did not end in peace"
    );
    Ok(())
}

fn all_together(folder: &Path) -> Vec<Step> {
    let read = |path: &Path| Step::call("files__read_text_file", json!({ "path": path }));
    vec![
        Step::list("tools")
            .lists("everything__echo")
            .lists("everything__get-sum")
            .lists("files__read_text_file")
            .lists("time__get_current_time"),
        Step::call("everything__echo", json!({ "message": "hello" })).says("Echo: hello"),
        Step::call("everything__get-sum", json!({ "a": 2, "b": 3 })).says("5"),
        read(&folder.join("note.txt")).says("read through the gateway"),
        Step::call("time__get_current_time", json!({ "timezone": "UTC" })).says("UTC"),
        read(Path::new("/etc/hostname")).has("/isError", json!(true)),
        Step::call("nobody__knows", json!({})).fails_with(-32602),
    ]
}

fn one_by_one(folder: &Path) -> [(&'static str, Vec<Step>); 3] {
    let steps = |tool: &str, arguments, says: &str| {
        vec![
            Step::list("tools").lists(tool).lists_nothing_with("__"),
            Step::call(tool, arguments).says(says),
        ]
    };
    [
        (
            "everything",
            steps("echo", json!({ "message": "hello" }), "Echo: hello"),
        ),
        (
            "files",
            steps("list_directory", json!({ "path": folder }), "note.txt"),
        ),
        (
            "time",
            steps("get_current_time", json!({ "timezone": "UTC" }), "UTC"),
        ),
    ]
}
