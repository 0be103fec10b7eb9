//! What `/metrics` says: requests by what they were, and the servers as they are.

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::raw::RawClient;
use gateway_tests::servers::{DeadEndpoint, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use http::Method;
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn metrics(gateway: &Gateway) -> Result<String> {
    let url = gateway.operations_url("/metrics").await?;
    let answer = RawClient::default()
        .send(Method::GET, &url, &[], "")
        .await?;
    let kind = answer.header("content-type").context("a content type")?;
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    Ok(text)
}

#[tokio::test]
async fn requests_and_servers_are_measured_under_configured_names_only() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dead = DeadEndpoint::reserve()?;
    let config = json!({
        "plugins": { "telemetry": { "provider": "in-memory", "implementation": "prometheus" } },
        "servers": { "live": remote(&server.url()), "dead": remote(&dead.url()?) },
    });
    let gateway = Gateway::builder(BINARY)
        .config(config.to_string())
        .start()
        .await?;
    gateway.wait_for_tool("/mcp", "live__echo").await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        session.call_text("live__echo", json!({})).await?;
        session.call("live__fail", json!({})).await?;
        session.call("made-up-by-a-client", json!({})).await?;
    }
    let text = metrics(&gateway).await?;
    for line in [
        r#"mcp_gateway_requests_total{event_type="tool_call",result="ok",server="live",tenant="default"} 2"#,
        r#"mcp_gateway_requests_total{event_type="tool_call",result="tool_error",server="live",tenant="default"} 2"#,
        r#"mcp_gateway_requests_total{event_type="tool_call",result="denied",server="",tenant="default"} 2"#,
        r#"mcp_gateway_request_duration_seconds_count{event_type="tool_call",server="live",tenant="default"} 4"#,
        r#"mcp_gateway_server_state{tenant="default",server="live",state="ready"} 1"#,
        "mcp_gateway_live_sessions{} 1",
        r#"mcp_gateway_revision{tenant="default"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains("made-up-by-a-client"), "{text}");
    wait::until("the dead server to be known", || async {
        let text = metrics(&gateway).await.unwrap_or_default();
        text.contains(r#"mcp_gateway_server_state{tenant="default",server="dead",state="down"} 1"#)
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn without_telemetry_the_servers_are_still_shown() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let config = json!({ "servers": { "live": remote(&server.url()) } });
    let gateway = Gateway::builder(BINARY)
        .config(config.to_string())
        .start()
        .await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let text = metrics(&gateway).await?;
    assert!(text.contains("mcp_gateway_server_state"), "{text}");
    assert!(!text.contains("mcp_gateway_requests"), "{text}");
    gateway.stop().await?;
    Ok(())
}
