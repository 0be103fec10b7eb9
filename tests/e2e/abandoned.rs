//! Clients that go away without a word: what was theirs at the gateway and at its servers ends.

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use gateway_tests::fixture::{Eras, HttpFixture, Options};
use gateway_tests::processes::{descriptors, memory};
use gateway_tests::raw::{ACCEPT, RawClient, Stream};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SESSIONS: usize = 1_000;
/// How many clients are there at the same time.
const WAVE: usize = 100;
/// The session that the gateway asks for lists in.
const OWN: usize = 1;
/// Connections to servers that are kept for the next request, and what the runtime opens when it is busy.
const SPARE_DESCRIPTORS: usize = 64;
/// What may stay behind for each session. An allocator keeps some of what is returned to it.
const MOST_BYTES: u64 = 24 * 1024;

async fn start(server: Value) -> Result<Gateway> {
    let config = configuration(&[("server", server)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    Ok(gateway)
}

/// A client that has used its server and listens for more.
async fn client(gateway: &Gateway) -> Result<(Session, Stream)> {
    let url = gateway.url("/mcp");
    let session = Session::open(Era::Legacy, &url).await?;
    assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    let id = session.id().context("no session")?;
    let headers = [ACCEPT, ("mcp-session-id", id)];
    let stream = RawClient::default()
        .stream(Method::GET, &url, &headers, "")
        .await?;
    assert_eq!(stream.status, StatusCode::OK);
    Ok((session, stream))
}

/// So many clients, some at a time, each of which goes away without ending its session.
async fn abandon(gateway: &Gateway, sessions: usize) -> Result<()> {
    for _ in 0..sessions / WAVE {
        try_join_all((0..WAVE).map(|_| client(gateway))).await?;
    }
    Ok(())
}

async fn wait_for_descriptors(gateway: &Gateway, most: usize) -> Result<()> {
    wait::until(&format!("no more than {most} descriptors"), || async {
        descriptors(gateway.process_id()).is_ok_and(|open| open <= most)
    })
    .await
}

#[tokio::test]
async fn a_thousand_sessions_leave_no_memory_descriptors_or_sessions_behind() -> Result<()> {
    let options = Options {
        era: Eras::Legacy,
        sessions: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let mut configured = remote(&server.url());
    configured["idle_timeout"] = json!("1s");
    let gateway = start(configured).await?;
    let few = descriptors(gateway.process_id())? + SPARE_DESCRIPTORS;
    // What is allocated once, and never again, is not what the sessions cost.
    abandon(&gateway, WAVE).await?;
    wait_for_descriptors(&gateway, few).await?;
    let before = memory(gateway.process_id())?;

    abandon(&gateway, SESSIONS).await?;
    wait_for_descriptors(&gateway, few).await?;
    wait::until("their sessions at the server to end", || async {
        server.sessions().await == OWN
    })
    .await?;
    let grown = memory(gateway.process_id())?.saturating_sub(before);
    let each = grown / SESSIONS as u64;
    assert!(each <= MOST_BYTES, "{each} bytes stay for each session");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_children_of_abandoned_sessions_end() -> Result<()> {
    let mut server = fixture_on_stdio(BINARY, &[])?;
    server["isolation"] = json!("per-session");
    server["idle_timeout"] = json!("1s");
    let gateway = start(server).await?;
    let (own, few) = (
        gateway.children(),
        descriptors(gateway.process_id())? + SPARE_DESCRIPTORS,
    );
    let clients = try_join_all((0..10).map(|_| client(&gateway))).await?;
    assert!(gateway.children().len() > own.len());
    drop(clients);
    wait::until("their children to end", || async {
        gateway.children() == own && gateway.zombies() == 0
    })
    .await?;
    wait_for_descriptors(&gateway, few).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_that_was_idle_is_used_again() -> Result<()> {
    let options = Options {
        era: Eras::Legacy,
        sessions: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let mut configured = remote(&server.url());
    configured["idle_timeout"] = json!("100ms");
    let gateway = start(configured).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    session.call_text("echo", json!({})).await?;
    wait::until("its session at the server to end", || async {
        server.sessions().await == OWN
    })
    .await?;
    assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    gateway.stop().await?;
    Ok(())
}
