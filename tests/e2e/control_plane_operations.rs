//! The operations listener of a control plane: whether it lives and is ready, and what it measures.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, acme};
use gateway_tests::postgres::{Durability, Postgres};
use gateway_tests::{Workspace, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn metrics(control: &ControlPlane) -> Result<String> {
    let answer = control.operations("/metrics").await?;
    let kind = answer.header("content-type").context("a content type")?;
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    Ok(answer.text())
}

async fn wait_for(control: &ControlPlane, lines: &[&str]) -> Result<()> {
    wait::until(&format!("the metrics to say {lines:?}"), || async {
        let text = metrics(control).await.unwrap_or_default();
        lines
            .iter()
            .all(|line| text.lines().any(|found| found == *line))
    })
    .await
}

#[tokio::test]
async fn changes_and_data_planes_are_counted() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = ControlPlane::start(BINARY, &Arc::new(Workspace::new("")?)).await?;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(control.operations(path).await?.status, 200, "{path}");
    }
    assert_eq!(control.operations("/other").await?.status, 404);
    let idle = [
        "mcp_gateway_control_replicas 0",
        "mcp_gateway_control_store_sequence 0",
        "# EOF",
    ];
    wait_for(&control, &idle).await?;

    let data = DataPlane::start(BINARY, &control).await?;
    let stranger = DataPlane::start_with(BINARY, &control, "0123456789abcdef", &[]).await?;
    data.wait_until_ready().await?;
    let good = acme(&server).to_string();
    control.apply(&good).await?;
    control.apply(&good).await?;
    let lines = [
        "mcp_gateway_control_replicas 1",
        "mcp_gateway_control_store_sequence 1",
        r#"mcp_gateway_control_streams_total{result="joined"} 1"#,
        r#"mcp_gateway_control_changes_total{action="apply",result="made"} 1"#,
        r#"mcp_gateway_control_changes_total{action="apply",result="unchanged"} 1"#,
        // The first is of nothing.
        r#"mcp_gateway_control_answers_total{result="in_force"} 2"#,
        "mcp_gateway_control_batch_documents_count 2",
        "mcp_gateway_control_batch_documents_sum 1.0",
        "mcp_gateway_control_settling_seconds_count 1",
        r#"mcp_gateway_control_tenant_revision{tenant="acme"} 1"#,
        r#"mcp_gateway_control_tenant_replicas{tenant="acme",state="in_force"} 1"#,
        r#"mcp_gateway_control_tenant_replicas{tenant="acme",state="refused"} 0"#,
    ];
    wait_for(&control, &lines).await?;
    let text = metrics(&control).await?;
    assert!(
        text.contains(r#"streams_total{result="refused"}"#),
        "{text}"
    );

    let program = r#""servers":{"two":{"type":"command","command":"none"},"#;
    control
        .apply(&good.replace(r#""servers":{"#, program))
        .await?;
    control
        .apply("tenant: acme\nprofiles: { p: { servers: [none] } }\n")
        .await?;
    let lines = [
        r#"mcp_gateway_control_answers_total{result="refused"} 1"#,
        r#"mcp_gateway_control_tenant_revision{tenant="acme"} 2"#,
        r#"mcp_gateway_control_tenant_replicas{tenant="acme",state="in_force"} 0"#,
        r#"mcp_gateway_control_tenant_replicas{tenant="acme",state="refused"} 1"#,
    ];
    wait_for(&control, &lines).await?;
    stranger.process.stop().await?;
    data.process.stop().await?;
    wait_for(&control, &["mcp_gateway_control_replicas 0"]).await?;
    control.process.stop().await
}

#[tokio::test]
async fn a_control_plane_without_its_store_lives_and_is_not_ready() -> Result<()> {
    let mut postgres = Postgres::start(Durability::None)?;
    let url = postgres.url(&postgres.database()?);
    let workspace = Arc::new(Workspace::new("")?);
    let control = ControlPlane::start_on(BINARY, &workspace, &url).await?;
    assert_eq!(control.operations("/readyz").await?.status, 200);
    postgres.pause()?;
    let answer = control.operations("/readyz").await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(
        answer.text().contains("configuration store"),
        "{}",
        answer.text()
    );
    assert_eq!(control.operations("/healthz").await?.status, 200);
    postgres.resume()?;
    wait::until("the control plane to be ready again", || async {
        let answer = control.operations("/readyz").await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await?;
    control.process.stop().await
}
