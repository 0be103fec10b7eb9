//! Rollouts over control planes that end: whichever of them makes the steps, another one goes on.

use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, acme, join_token};
use gateway_tests::postgres::{Durability, Postgres};
use gateway_tests::{Exit, Workspace, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn says(exit: &Exit, part: &str) -> bool {
    let mut lines = exit.stdout.iter().chain(&exit.stderr);
    lines.any(|line| line.contains(part))
}

async fn apply(control: &ControlPlane, document: &Value, flags: &[&str]) -> Result<Exit> {
    std::fs::write(control.path("acme.yaml"), document.to_string())?;
    let arguments = [&["apply", "-f", "acme.yaml"], flags].concat();
    control.admin(&arguments).await
}

/// What each data plane has in force, as a control plane says it of all.
async fn in_force(control: &ControlPlane) -> Result<Vec<u64>> {
    let shown = control.admin(&["status", "-o", "json"]).await?;
    let rows: Vec<Value> = serde_json::from_str(&shown.stdout.join("\n"))?;
    let revisions = rows.iter().filter_map(|row| row.get("in_force")?.as_u64());
    Ok(revisions.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_on_whichever_control_plane_is_gone() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let postgres = Postgres::start(Durability::None)?;
    let url = postgres.url(&postgres.database()?);
    let workspace = Arc::new(Workspace::new("")?);
    let (mut one, mut two) = tokio::try_join!(
        ControlPlane::start_on(BINARY, &workspace, &url),
        ControlPlane::start_on(BINARY, &workspace, &url),
    )?;
    let urls = [one.url(), two.url()];
    let token = [("MCP_GATEWAY_JOIN_TOKEN", join_token())];
    let token = token
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let mut data = Vec::new();
    for name in ["a", "b"] {
        let flags = [&LOOPBACK[..], &["--name", name]].concat();
        data.push(DataPlane::start_at(BINARY, &workspace, &urls, &token, &flags).await?);
    }
    for plane in &data {
        plane.wait_until_ready().await?;
    }
    let mut document = acme(&server);
    ensure!(apply(&one, &document, &[]).await?.code == Some(0));

    for revision in [2, 3] {
        let servers = document.pointer_mut("/servers/one");
        let Some(server) = servers else { continue };
        server["timeout"] = json!(format!("{revision}0s"));
        let flags = ["--canary", "50%", "--bake", "4s"];
        let begun = apply(&two, &document, &flags).await?;
        ensure!(begun.code == Some(0), "{:?}", begun.stderr);
        ensure!(says(&begun, "bakes on"), "{:?}", begun.stderr);
        // Killed is one of the two, then the other: one of them has made the steps so far.
        let killed = one.kill().await?;
        let over = two.admin(&["rollout", "status", "acme", "--wait"]).await?;
        ensure!(over.code == Some(0) && says(&over, "complete"), "{over:?}");
        wait::until("both data planes to have it", || async {
            in_force(&two)
                .await
                .is_ok_and(|found| found == [revision, revision])
        })
        .await?;
        one = killed.start().await?;
        std::mem::swap(&mut one, &mut two);
    }
    for plane in data {
        plane.process.stop().await?;
    }
    one.process.stop().await?;
    two.process.stop().await
}
