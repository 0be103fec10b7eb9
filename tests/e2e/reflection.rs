//! The admin API as a stranger finds it: a client that has nothing but the server's reflection.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::Workspace;
use gateway_tests::planes::{ControlPlane, admin_token};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

#[tokio::test]
async fn a_client_made_of_reflection_alone_administers_tenants() -> Result<()> {
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let url = control.url();
    let address = url.strip_prefix("http://").unwrap_or(&url);
    let done = Command::new(tests.join(".venv/bin/python"))
        .arg(tests.join("clients/admin_by_reflection.py"))
        .arg(address)
        .env("MCP_GATEWAY_TOKEN", admin_token())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{said}{errors}");
    ensure!(said.lines().count() > 20, "{said}");
    control.process.stop().await
}
