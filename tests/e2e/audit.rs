//! The audit log on standard output: one JSON object a line for everything done, refused and failed.

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::secrets::secret;
use gateway_tests::servers::{DeadEndpoint, configuration, remote};
use gateway_tests::{Era, Gateway, Session};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn gateway(server: &HttpFixture, dead: &DeadEndpoint) -> Result<Gateway> {
    let config = configuration(&[
        ("dead", remote(&dead.url()?)),
        ("live", remote(&server.url())),
    ]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "live__echo").await?;
    Ok(gateway)
}

fn is_call_of(event: &Value, tool: &str) -> bool {
    event.get("event_type").and_then(Value::as_str) == Some("tool_call")
        && event.get("tool").and_then(Value::as_str) == Some(tool)
}

#[tokio::test]
async fn a_call_is_recorded_with_who_what_and_under_which_revision() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dead = DeadEndpoint::reserve()?;
    let gateway = gateway(&server, &dead).await?;
    let in_force = gateway
        .wait_for_log(&["configuration in force", "revision="])
        .await?;
    // What a call's arguments are is nobody's business.
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        session
            .call_text(
                "live__slow",
                json!({ "ms": 1, "secret": secret("argument") }),
            )
            .await?;
    }
    let event = gateway
        .wait_for_audit(|event| is_call_of(event, "slow"))
        .await?;
    assert_eq!(event["mcp_server"], "live", "{event}");
    assert_eq!(event["result"], "ok", "{event}");
    assert_eq!(event["tenant_id"], "default", "{event}");
    assert_eq!(event["user_id"], "desktop-user", "{event}");
    assert!(event["timestamp"].is_string(), "{event}");
    assert!(event["metadata"]["event_id"].is_string(), "{event}");
    let revision = event["metadata"]["revision"].as_u64().unwrap();
    assert!(
        in_force.contains(&format!("revision={revision}")),
        "{event} under {in_force}"
    );

    let exit = gateway.stop().await?;
    let calls = exit
        .stdout
        .iter()
        .filter(|line| line.contains(r#""tool":"slow""#));
    assert_eq!(calls.count(), 2);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_recorded() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dead = DeadEndpoint::reserve()?;
    let gateway = gateway(&server, &dead).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    let refused = session.call("nobody__knows", json!({})).await?;
    assert_eq!(refused.error_code()?, -32602, "{}", refused.text());
    let event = gateway
        .wait_for_audit(|event| is_call_of(event, "nobody__knows"))
        .await?;
    assert_eq!(event["result"], "denied", "{event}");
    assert!(event["metadata"]["reason"].is_string(), "{event}");
    assert_eq!(server.calls(), 0);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_fails_is_recorded_with_who_failed() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dead = DeadEndpoint::reserve()?;
    let gateway = gateway(&server, &dead).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    session.call("live__fail", json!({})).await?;
    session.call("live__refuse", json!({})).await?;
    session.call("dead__echo", json!({})).await?;
    let failed = gateway
        .wait_for_audit(|event| is_call_of(event, "fail"))
        .await?;
    assert_eq!(failed["result"], "tool_error", "{failed}");
    let refused = gateway
        .wait_for_audit(|event| is_call_of(event, "refuse"))
        .await?;
    assert_eq!(refused["result"], "error", "{refused}");
    let unreachable = gateway
        .wait_for_audit(|event| is_call_of(event, "echo"))
        .await?;
    assert_eq!(unreachable["result"], "error", "{unreachable}");
    assert_eq!(unreachable["mcp_server"], "dead", "{unreachable}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_beginning_and_the_end_of_a_session_are_recorded() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dead = DeadEndpoint::reserve()?;
    let gateway = gateway(&server, &dead).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    for (event_type, result) in [
        ("session_start", "ok"),
        ("session_end", "ok"),
        ("session_end", "denied"),
    ] {
        if event_type == "session_end" {
            // The second time there is nothing to end any more.
            session.delete().await?;
        }
        let event = gateway
            .wait_for_audit(|event| event["event_type"] == event_type && event["result"] == result)
            .await?;
        let user = if result == "ok" {
            json!("desktop-user")
        } else {
            Value::Null
        };
        assert_eq!(event["user_id"], user, "{event}");
        assert!(event["metadata"]["revision"].is_u64(), "{event}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_call_is_recorded_before_its_answer_is_released() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dead = DeadEndpoint::reserve()?;
    let gateway = gateway(&server, &dead).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    for count in 1..=20 {
        session.call_text("live__slow", json!({ "ms": 0 })).await?;
        let recorded = || async {
            let events = gateway.audit().ok()?;
            let calls = events
                .iter()
                .filter(|event| is_call_of(event, "slow"))
                .count();
            (calls == count).then_some(())
        };
        gateway_tests::wait::until_some("the event", recorded).await?;
    }
    gateway.kill().await?;
    Ok(())
}
