//! `control.sock`: what the user of a gateway reaches it by, and any server behind such a socket.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway::Gateway;
use gateway_tests::session::{Era, Session};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn serving(endpoint: &str) -> String {
    format!("servers:\n  fixture: {{ type: remote, endpoint: '{endpoint}' }}\n")
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_is_served_in_both_eras() -> Result<()> {
    let fixture = HttpFixture::start(Options::default()).await?;
    let inner = Gateway::builder(BINARY)
        .config(serving(&fixture.url()))
        .start()
        .await?;
    let socket = inner.workspace.data().join("control.sock");
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let outer = Gateway::builder(BINARY)
        .config(serving(&format!("unix://{}", socket.display())))
        .start()
        .await?;
    for era in [Era::Legacy, Era::Modern] {
        let session = Session::open(era, &outer.url("/mcp")).await?;
        session.wait_for_tool("echo").await?;
        let said = session.call_text("echo", json!({ "text": "hi" })).await?;
        assert!(said.contains("hi"), "{said}");
    }
    outer.stop().await?;
    inner.stop().await?;
    assert!(!socket.exists(), "it is gone with the gateway");
    Ok(())
}
