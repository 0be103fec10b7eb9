//! Calls that end without an answer: the client goes away, or the server takes too long.

use anyhow::Result;
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const DEADLINE_EXCEEDED: i64 = 1002;

/// A gateway in front of one server, and a call of its tool `wait` that the client walks away from.
async fn walk_away(era: Era, server: &HttpFixture, meta: Value) -> Result<Gateway> {
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "wait").await?;
    let session = Session::open(era, &gateway.url("/mcp")).await?;
    let params = json!({ "name": "wait", "arguments": {}, "_meta": meta });
    tokio::select! {
        answered = session.request("tools/call", params) => panic!("it was answered: {answered:?}"),
        begun = wait::until("the call", || async { server.waiting() == 1 }) => begun?,
    }
    drop(session);
    Ok(gateway)
}

async fn event(gateway: &Gateway) -> Result<Value> {
    gateway
        .wait_for_audit(|event| event["tool"] == "wait")
        .await
}

fn forms() -> impl Iterator<Item = (Options, Value)> {
    let options = |answer| Options {
        era: Eras::Legacy,
        answer,
        ..Options::default()
    };
    let progress = json!({ "progressToken": 1 });
    [
        (options(AnswerForm::Json), json!({})),
        (options(AnswerForm::Sse), json!({})),
        // With a first message before the answer, so that the answer is a stream.
        (options(AnswerForm::Sse), progress),
    ]
    .into_iter()
}

#[tokio::test]
async fn a_legacy_client_that_goes_away_does_not_cancel_its_call() -> Result<()> {
    for (options, meta) in forms() {
        let server = HttpFixture::start(options).await?;
        let gateway = walk_away(Era::Legacy, &server, meta.clone()).await?;
        // Answered by the same server after the gateway has noticed that the connection is gone.
        let other = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
        other.call_text("slow", json!({ "ms": 100 })).await?;
        assert_eq!((server.waiting(), server.cancelled()), (1, 0), "{meta}");
        server.open_gate();
        let event = event(&gateway).await?;
        assert_eq!(event["result"], "ok", "{event}");
        assert_eq!(server.cancelled(), 0);
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_modern_client_that_goes_away_cancels_its_call_and_that_is_recorded() -> Result<()> {
    for (options, meta) in forms() {
        let server = HttpFixture::start(options).await?;
        let gateway = walk_away(Era::Modern, &server, meta).await?;
        wait::until("the server to be told", || async { server.waiting() == 0 }).await?;
        let event = event(&gateway).await?;
        assert_eq!(event["result"], "error", "{event}");
        let reason = &event["metadata"]["reason"];
        assert_eq!(reason, "cancelled by the client", "{event}");
        assert_eq!(event["mcp_server"], "server", "{event}");
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_ended_at_both_ends() -> Result<()> {
    for era in Era::BOTH {
        for (options, meta) in forms() {
            let server = HttpFixture::start(options).await?;
            let mut entry = remote(&server.url());
            entry["timeout"] = json!("300ms");
            let config = configuration(&[("server", entry)]);
            let gateway = Gateway::builder(BINARY).config(config).start().await?;
            gateway.wait_for_tool("/mcp", "wait").await?;
            let session = Session::open(era, &gateway.url("/mcp")).await?;
            let params = json!({ "name": "wait", "arguments": {}, "_meta": meta });
            let answer = session.request("tools/call", params).await?;
            assert_eq!(answer.error_code()?, DEADLINE_EXCEEDED, "{}", answer.text());
            assert!(answer.text().contains("`server`"), "{}", answer.text());
            wait::until("the server to be told", || async { server.waiting() == 0 }).await?;
            let event = event(&gateway).await?;
            assert_eq!(event["result"], "error", "{event}");
            let reason = event["metadata"]["reason"].as_str().unwrap_or_default();
            assert_eq!(reason.matches("in time").count(), 1, "{event}");
            gateway.stop().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_takes_too_long_leaves_the_child_to_the_others() -> Result<()> {
    let mut child = fixture_on_stdio(BINARY, &[])?;
    child["timeout"] = json!("1s");
    let gateway = Gateway::builder(BINARY).config(configuration(&[("child", child)]));
    let gateway = gateway.start().await?;
    gateway.wait_for_tool("/mcp", "wait").await?;
    let children = gateway.children();
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    let late = session.call("wait", json!({})).await?;
    assert_eq!(late.error_code()?, DEADLINE_EXCEEDED, "{}", late.text());
    session.call_text("echo", json!({})).await?;
    assert_eq!(gateway.children(), children);
    gateway.stop().await?;
    Ok(())
}
