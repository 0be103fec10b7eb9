//! A desktop serves the one tenant that its file names, whatever the file said before.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::raw::RawClient;
use gateway_tests::servers::{command, configuration, remote};
use gateway_tests::session::initialize_message;
use gateway_tests::{Gateway, Workspace, wait};
use http::StatusCode;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn of_tenant(tenant: &str, config: &str) -> String {
    format!("tenant: {tenant}\n{config}")
}

async fn status(gateway: &Gateway, path: &str) -> Result<StatusCode> {
    let message = initialize_message("2025-11-25");
    let client = RawClient::default();
    Ok(client.post(&gateway.url(path), &[], message).await?.status)
}

#[tokio::test]
async fn an_edit_that_renames_the_tenant_leaves_nothing_of_the_old_name() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let servers = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(of_tenant("old", &servers));
    let gateway = gateway.start().await?;
    gateway.wait_for_tool("/t/old/mcp", "echo").await?;
    assert_eq!(status(&gateway, "/mcp").await?, StatusCode::NOT_FOUND);

    gateway.apply_config(&of_tenant("new", &servers)).await?;
    gateway.wait_for_tool("/t/new/mcp", "echo").await?;
    wait::until("the old name to be gone", || async {
        status(&gateway, "/t/old/mcp").await.ok() == Some(StatusCode::NOT_FOUND)
    })
    .await?;

    gateway.apply_config(&of_tenant("old", &servers)).await?;
    gateway.wait_for_tool("/t/old/mcp", "echo").await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_rename_leaves_the_old_name_in_force() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let servers = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(of_tenant("old", &servers));
    let gateway = gateway.start().await?;
    let missing =
        "servers: { a: { type: command, command: x, env: { K: { from_file: /no/such } } } }\n";
    gateway.edit_config(&of_tenant("new", missing))?;
    gateway
        .wait_for_log(&["configuration refused", "servers.a.env.K", "/no/such"])
        .await?;
    gateway.wait_for_tool("/t/old/mcp", "echo").await?;
    assert_eq!(status(&gateway, "/t/new/mcp").await?, StatusCode::NOT_FOUND);
    gateway.stop().await?;
    Ok(())
}

/// A server that leaves a trace of every start, and never answers.
fn tracing_server(trace: &Path) -> serde_json::Value {
    let script = format!("echo started >>'{}'; cat >&2", trace.display());
    command(Path::new("sh"), &["-c", &script])
}

#[tokio::test]
async fn what_the_file_does_not_name_any_more_is_not_started_again() -> Result<()> {
    let workspace = Arc::new(Workspace::new("")?);
    let trace = workspace.path().join("trace");
    let old = configuration(&[("old", tracing_server(&trace))]);
    workspace.overwrite_config(&of_tenant("old", &old))?;
    let first = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    wait::until("the server to start", || async { trace.exists() }).await?;
    first.stop().await?;

    // Once under another tenant, and once more under that one with other servers.
    for (servers, path) in [(&old, "/t/new/mcp"), (&String::new(), "/t/new/mcp")] {
        std::fs::remove_file(&trace)?;
        workspace.overwrite_config(&of_tenant("new", servers))?;
        let gateway = Gateway::builder(BINARY)
            .workspace(&workspace)
            .start()
            .await?;
        assert_eq!(status(&gateway, path).await?, StatusCode::OK);
        assert_eq!(status(&gateway, "/t/old/mcp").await?, StatusCode::NOT_FOUND);
        let expected = usize::from(!servers.is_empty());
        if expected > 0 {
            wait::until("the server to start", || async { trace.exists() }).await?;
        }
        gateway.stop().await?;
        let starts = std::fs::read_to_string(&trace).unwrap_or_default();
        assert_eq!(starts.lines().count(), expected, "{servers}");
    }
    Ok(())
}
