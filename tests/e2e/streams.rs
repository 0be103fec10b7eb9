//! Streams of both eras: what is cancelled, resumed, and told to clients that listen.

use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::raw::{ACCEPT, RawClient, Stream};
use gateway_tests::servers::{configuration, remote};
use gateway_tests::session::modern_meta;
use gateway_tests::{Era, Gateway, Session, wait};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const CANCELLED: i64 = 1009;
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

async fn gateway(server: &HttpFixture) -> Result<Gateway> {
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "wait").await?;
    Ok(gateway)
}

async fn legacy_get(gateway: &Gateway, session: &Session, last: Option<&str>) -> Result<Stream> {
    let mut headers = vec![
        ACCEPT,
        ("mcp-session-id", session.id().context("no session")?),
    ];
    headers.extend(last.map(|id| ("last-event-id", id)));
    RawClient::default()
        .stream(Method::GET, &gateway.url("/mcp"), &headers, "")
        .await
}

async fn listen(gateway: &Gateway, filter: Value) -> Result<Stream> {
    let headers = [
        ACCEPT,
        ("content-type", "application/json"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    let message = json!({
        "jsonrpc": "2.0", "id": "listen:0", "method": "subscriptions/listen",
        "params": { "notifications": filter, "_meta": modern_meta() },
    });
    let client = RawClient::default();
    client
        .stream(
            Method::POST,
            &gateway.url("/mcp"),
            &headers,
            message.to_string(),
        )
        .await
}

/// A second server in the configuration, by which every list changes.
async fn add_server(gateway: &Gateway, server: &HttpFixture) -> Result<()> {
    let servers = [
        ("server", remote(&server.url())),
        ("second", remote(&server.url())),
    ];
    gateway.apply_config(&configuration(&servers)).await?;
    Ok(())
}

#[tokio::test]
async fn a_cancelled_call_ends_at_the_server_and_is_recorded() -> Result<()> {
    for answer in [AnswerForm::Json, AnswerForm::Sse] {
        let options = Options {
            era: Eras::Legacy,
            answer,
            ..Options::default()
        };
        let server = HttpFixture::start(options).await?;
        let gateway = gateway(&server).await?;
        let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
        let id = session.id().context("no session")?;
        let headers = [("mcp-session-id", id)];
        let (client, url) = (RawClient::default(), gateway.url("/mcp"));
        let call = json!({
            "jsonrpc": "2.0", "id": "c-1", "method": "tools/call", "params": { "name": "wait" },
        });
        let cancel = async {
            wait::until("the call to be under way", || async {
                server.waiting() == 1
            })
            .await?;
            let message = json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": "c-1", "reason": "no longer wanted" },
            });
            client.post(&url, &headers, message.to_string()).await
        };
        let (called, cancelled) =
            tokio::join!(client.post(&url, &headers, call.to_string()), cancel);
        assert_eq!(cancelled?.status, StatusCode::ACCEPTED);
        assert_eq!(called?.error_code()?, CANCELLED);
        wait::until("the server to be told", || async {
            server.cancelled() == 1
        })
        .await?;
        let event = gateway
            .wait_for_audit(|event| event["tool"] == "wait")
            .await?;
        assert_eq!(
            event["metadata"]["reason"], "cancelled by the client",
            "{event}"
        );
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_lost_its_stream_comes_back_to_it() -> Result<()> {
    let options = Options {
        era: Eras::Legacy,
        answer: AnswerForm::Sse,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let gateway = gateway(&server).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let id = session.id().context("no session")?;
    let headers = [
        ACCEPT,
        ("content-type", "application/json"),
        ("mcp-session-id", id),
    ];
    let call = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "wait", "_meta": { "progressToken": "p" } },
    });
    let client = RawClient::default();
    let url = gateway.url("/mcp");
    let mut stream = client
        .stream(Method::POST, &url, &headers, call.to_string())
        .await?;
    let progress = stream.next_of("notifications/progress").await?;
    drop(stream);
    server.open_gate();
    let last = progress.id.context("an event without an id")?;
    let mut resumed = legacy_get(&gateway, &session, Some(&last)).await?;
    let answer = resumed.next().await?.context("no answer")?;
    assert_eq!(answer.message["id"], 7);
    assert_eq!(
        answer.message["result"]["content"][0]["text"],
        "the gate is open"
    );
    assert!(
        resumed.next().await?.is_none(),
        "the answer ends the stream"
    );

    let other = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let foreign = legacy_get(&gateway, &other, Some(&last)).await?;
    assert_eq!(
        foreign.status,
        StatusCode::NOT_FOUND,
        "another session's stream"
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn listeners_of_both_eras_hear_of_another_configuration() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = gateway(&server).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let mut standing = legacy_get(&gateway, &session, None).await?;
    assert_eq!(standing.status, StatusCode::OK);
    let mut subscription = listen(&gateway, json!({ "toolsListChanged": true })).await?;
    let first = subscription.next().await?.context("no acknowledgment")?;
    assert_eq!(first.message["method"], ACKNOWLEDGED, "{first:?}");
    assert_eq!(
        first.message["params"]["notifications"],
        json!({ "toolsListChanged": true })
    );

    add_server(&gateway, &server).await?;
    standing.next_of(TOOLS_CHANGED).await?;
    standing.next_of(PROMPTS_CHANGED).await?;
    let told = subscription.next().await?.context("nothing told")?;
    assert_eq!(
        told.message["method"], TOOLS_CHANGED,
        "only what was asked for"
    );
    let id = &told.message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!(id, "listen:0");
    gateway.stop().await?;
    // Both end with the gateway, the subscription with its result.
    loop {
        let event = subscription.next().await?.context("no result at the end")?;
        if event.message.get("result").is_some() {
            assert_eq!(event.message["id"], "listen:0");
            break;
        }
    }
    Ok(())
}

/// Whether a notification comes within a second.
async fn heard_soon(stream: &mut Stream, method: &str) -> Result<bool> {
    let heard = tokio::time::timeout(Duration::from_secs(1), stream.next_of(method)).await;
    heard.map_or(Ok(false), |event| event.map(|_| true))
}

#[tokio::test]
async fn what_servers_say_of_their_lists_reaches_listeners_of_both_eras() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let server = ConformanceServer::start(eras).await?;
        let config = configuration(&[("server", remote(&server.url()))]);
        let gateway = Gateway::builder(BINARY).config(config).start().await?;
        gateway
            .wait_for_tool("/mcp", "test_trigger_prompt_change")
            .await?;
        let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
        let mut standing = legacy_get(&gateway, &session, None).await?;
        let mut subscription = listen(&gateway, json!({ "promptsListChanged": true })).await?;
        subscription.next_of(ACKNOWLEDGED).await?;
        // The gateway may still be subscribing at the server itself.
        let change = || session.call("test_trigger_prompt_change", json!({}));
        let trigger = async {
            change().await?;
            while !heard_soon(&mut standing, PROMPTS_CHANGED).await? {
                change().await?;
            }
            anyhow::Ok(())
        };
        let (heard, told) = tokio::join!(trigger, subscription.next_of(PROMPTS_CHANGED));
        heard?;
        told?;
        gateway.stop().await?;
    }
    Ok(())
}
