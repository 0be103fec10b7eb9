//! The sessions that the gateway opens at servers which give them out: whose they are and when they end.

use anyhow::Result;
use gateway_tests::fixture::{Eras, Hang, HttpFixture, Options};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
/// The one that the gateway asks for lists in.
const OWN: usize = 1;

async fn start() -> Result<(HttpFixture, Gateway)> {
    let options = Options {
        era: Eras::Legacy,
        sessions: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    assert_eq!(server.sessions().await, OWN);
    Ok((server, gateway))
}

async fn called(gateway: &Gateway, era: Era) -> Result<Session> {
    let session = Session::open(era, &gateway.url("/mcp")).await?;
    session.call_text("echo", json!({})).await?;
    Ok(session)
}

async fn wait_for_sessions(server: &HttpFixture, count: usize) -> Result<()> {
    let what = format!("{count} sessions");
    wait::until(&what, || async { server.sessions().await == count }).await
}

#[tokio::test]
async fn every_legacy_client_has_one_of_its_own_until_it_ends() -> Result<()> {
    let (server, gateway) = start().await?;
    let one = called(&gateway, Era::Legacy).await?;
    let other = called(&gateway, Era::Legacy).await?;
    one.call_text("echo", json!({})).await?;
    assert_eq!(server.sessions().await, OWN + 2);
    one.delete().await?;
    wait_for_sessions(&server, OWN + 1).await?;
    other.call_text("echo", json!({})).await?;
    assert_eq!(server.sessions().await, OWN + 1);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn modern_clients_have_one_together() -> Result<()> {
    let (server, gateway) = start().await?;
    called(&gateway, Era::Modern).await?;
    called(&gateway, Era::Modern).await?;
    assert_eq!(server.sessions().await, OWN + 1);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn none_is_left_behind_when_the_gateway_ends() -> Result<()> {
    let (server, gateway) = start().await?;
    called(&gateway, Era::Legacy).await?;
    called(&gateway, Era::Modern).await?;
    gateway.stop().await?;
    assert_eq!(server.sessions().await, 0);
    Ok(())
}

#[tokio::test]
async fn none_is_left_behind_when_the_server_is_removed() -> Result<()> {
    let (server, gateway) = start().await?;
    called(&gateway, Era::Legacy).await?;
    gateway.apply_config("").await?;
    wait_for_sessions(&server, 0).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_is_moved_once_when_the_server_forgets_its_sessions() -> Result<()> {
    let (server, gateway) = start().await?;
    let session = called(&gateway, Era::Legacy).await?;
    server.forget_sessions().await;
    let calls = (0..8).map(|_| session.call_text("echo", json!({})));
    futures_util::future::try_join_all(calls).await?;
    assert_eq!(server.sessions().await, 1, "the client's own, opened once");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn no_call_reaches_a_new_one_before_the_log_level_is_set() -> Result<()> {
    let (server, gateway) = start().await?;
    server.hang(Some(Hang::Level));
    let other = called(&gateway, Era::Modern).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let level = json!({ "level": "error" });
    session.request("logging/setLevel", level).await?.result()?;
    let calls = (0..4).map(|_| session.call_text("echo", json!({})));
    let calls = futures_util::future::try_join_all(calls);
    let told = async {
        wait::until("the level to be set", || async {
            let seen = server.seen().await;
            seen.iter().any(|seen| seen.method == "logging/setLevel")
        })
        .await?;
        // What is let through meanwhile is there as soon as another client's call.
        other.call_text("echo", json!({})).await?;
        assert_eq!(server.calls(), 2, "both are the other client's");
        server.hang(None);
        anyhow::Ok(())
    };
    tokio::try_join!(calls, told)?;
    assert_eq!(server.calls(), 6);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_child_for_each_session_ends_with_it_and_is_replaced_when_it_dies() -> Result<()> {
    let mut child = fixture_on_stdio(BINARY, &[])?;
    child["isolation"] = json!("per-session");
    let config = configuration(&[("child", child)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let shared = gateway.children();
    let session = called(&gateway, Era::Legacy).await?;
    let own = |child: &gateway_tests::processes::Process| !shared.contains(child);
    let children = gateway.children();
    let first = children.iter().find(|child| own(child)).cloned();
    let first = anyhow::Context::context(first, "the session has no child of its own")?;

    gateway_tests::processes::kill(&first);
    wait::until("the dead child to be reaped", || async {
        gateway.zombies() == 0 && !gateway.children().contains(&first)
    })
    .await?;
    wait::until("another child to answer", || async {
        session.call_text("echo", json!({})).await.is_ok()
    })
    .await?;
    session.delete().await?;
    wait::until("the session's child to end", || async {
        gateway.children() == shared
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}
