//! Shows what the conformance fixture does beyond what the official suite looks at.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into a JSON value gives null where there is nothing"
)]

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::Eras;
use gateway_tests::raw::ACCEPT;
use gateway_tests::session::{initialize_message, modern_message, modern_meta};
use gateway_tests::wait::{self, PATIENCE};
use gateway_tests::{Era, Session};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

/// An answer that is read while it comes, and given up when this is dropped.
struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Self> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let body = client.request(request).await?.into_body();
        Ok(Self {
            body,
            text: String::new(),
        })
    }

    async fn wait_for(&mut self, part: &str) -> Result<()> {
        let read = async {
            while !self.text.contains(part) {
                let Some(frame) = self.body.frame().await else {
                    bail!("the stream ended");
                };
                if let Some(data) = frame?.data_ref() {
                    self.text.push_str(std::str::from_utf8(data)?);
                }
            }
            Ok(())
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.map_err(anyhow::Error::from)
            .flatten()
            .with_context(|| format!("waiting for {part:?} in {:?}", self.text))
    }
}

async fn cancellations(session: &Session) -> Result<String> {
    let read = json!({ "uri": "test://cancellations" });
    let result = session.request("resources/read", read).await?.result()?;
    let text = result["contents"][0]["text"].as_str();
    Ok(text.context("no count")?.to_owned())
}

#[tokio::test]
async fn serves_only_the_era_that_it_was_told() -> Result<()> {
    let legacy = ConformanceServer::start(Eras::Legacy).await?;
    let session = Session::open(Era::Legacy, &legacy.url()).await?;
    assert!(
        session
            .call_text("test_simple_text", json!({}))
            .await
            .is_ok()
    );
    let refused = Session::open(Era::Modern, &legacy.url())
        .await?
        .request("server/discover", json!({}))
        .await?;
    // Nothing that names an era, as a server that knows no other.
    assert_eq!(
        (refused.status.as_u16(), refused.error_code()?),
        (400, -32000)
    );

    let modern = ConformanceServer::start(Eras::Modern).await?;
    let session = Session::open(Era::Modern, &modern.url()).await?;
    assert!(
        session
            .call_text("test_simple_text", json!({}))
            .await
            .is_ok()
    );
    let client = gateway_tests::raw::RawClient::default();
    let refused = client
        .post(&modern.url(), &[], initialize_message("2025-11-25"))
        .await?;
    assert_eq!(refused.error_code()?, -32022);
    Ok(())
}

#[tokio::test]
async fn tells_legacy_sessions_what_changes() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let session = Session::open(Era::Legacy, &server.url()).await?;
    let id = session.id().context("no session")?;
    let headers = [
        ACCEPT,
        ("mcp-session-id", id),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let mut news = Stream::open(Method::GET, &server.url(), &headers, String::new()).await?;

    let before = session.tool_names().await?.len();
    session
        .call("test_trigger_tool_change", json!({}))
        .await?
        .result()?;
    news.wait_for("notifications/tools/list_changed").await?;
    assert_eq!(session.tool_names().await?.len(), before + 1);

    let update = json!({ "uri": "test://watched-resource" });
    session
        .call(
            "test_trigger_resource_update",
            json!({ "uri": "test://static-text" }),
        )
        .await?;
    session
        .request("resources/subscribe", update.clone())
        .await?
        .result()?;
    session.call("test_trigger_resource_update", update).await?;
    news.wait_for("test://watched-resource").await?;
    assert!(!news.text.contains("test://static-text"), "{}", news.text);
    Ok(())
}

#[tokio::test]
async fn counts_the_calls_that_clients_take_back() -> Result<()> {
    let server = ConformanceServer::start(Eras::Both).await?;
    let (url, session) = (
        server.url(),
        Session::open(Era::Legacy, &server.url()).await?,
    );
    let id = session.id().context("no session")?;
    let call = json!({ "name": "test_cancellation", "_meta": { "progressToken": "p" } });
    let request = json!({ "jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": call });
    let headers = [
        ("content-type", "application/json"),
        ACCEPT,
        ("mcp-session-id", id),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let mut running = Stream::open(Method::POST, &url, &headers, request.to_string()).await?;
    running.wait_for("notifications/progress").await?;
    let cancel = json!({
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": { "requestId": 77 },
    });
    Stream::open(Method::POST, &url, &headers, cancel.to_string()).await?;
    wait::until("the legacy call to be cancelled", || async {
        cancellations(&session)
            .await
            .is_ok_and(|count| count == "1")
    })
    .await?;

    let mut meta = modern_meta();
    meta["progressToken"] = json!("p");
    let call = modern_message(
        "tools/call",
        json!({ "name": "test_cancellation", "_meta": meta }),
    );
    let headers = [
        ("content-type", "application/json"),
        ACCEPT,
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "test_cancellation"),
    ];
    let mut running = Stream::open(Method::POST, &url, &headers, call).await?;
    running.wait_for("notifications/progress").await?;
    drop(running);
    wait::until("the modern call to be cancelled", || async {
        cancellations(&session)
            .await
            .is_ok_and(|count| count == "2")
    })
    .await
}
