//! Two users at the same time on one server that keeps state: what is for one never reaches the other.

use anyhow::{Context as _, Result};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::crossing::{Client, Load};
use gateway_tests::fixture::Eras;
use gateway_tests::principals::{ADA, BOB, open, start};
use gateway_tests::servers::{conformance_on_stdio, remote, with};
use gateway_tests::{Era, Gateway};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

async fn client(gateway: &Gateway, era: Era, (_, key): (&str, &str)) -> Result<Client> {
    let name = if key == ADA.1 { "ada" } else { "bob" };
    Client::open(gateway, era, name, Some(key)).await
}

/// Both at once, with the same ids and progress tokens; `hears_logs`: whether the server says for
/// whom its log messages are.
async fn interleave(gateway: &Gateway, era: Era, hears_logs: bool) -> Result<()> {
    let session = open(gateway, era, ADA).await?;
    session.wait_for_tool("test_sampling").await?;
    let ada = client(gateway, era, ADA).await?;
    let bob = client(gateway, era, BOB).await?;
    let load = Load {
        questions: 6,
        progress: 4,
        logs: 2,
        hears_logs,
    };
    let other = Load { logs: 5, ..load };
    tokio::try_join!(ada.bear(load), bob.bear(other))?;
    Ok(())
}

#[tokio::test]
async fn users_of_a_server_over_http_do_not_cross() -> Result<()> {
    for (eras, era) in [(Eras::Legacy, Era::Legacy), (Eras::Modern, Era::Modern)] {
        let server = ConformanceServer::start(eras).await?;
        let gateway = start(BINARY, "web", remote(&server.url()), &[]).await?;
        interleave(&gateway, era, true).await?;
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn users_of_a_server_on_stdio_do_not_cross() -> Result<()> {
    for (name, era) in [("legacy", Era::Legacy), ("modern", Era::Modern)] {
        let child = conformance_on_stdio(BINARY, name)?;
        let gateway = start(BINARY, "child", child, &[]).await?;
        interleave(&gateway, era, era == Era::Legacy).await?;
        gateway.stop().await?;
    }
    Ok(())
}

/// With a token each, every client that can be asked has a child or session of its own as well.
#[tokio::test]
async fn users_with_credentials_do_not_cross() -> Result<()> {
    let stored = [("ada", "ada-1"), ("bob", "bob-1")];
    let child = with(
        conformance_on_stdio(BINARY, "legacy")?,
        "credentials",
        "required",
    );
    let gateway = start(BINARY, "child", child, &stored).await?;
    interleave(&gateway, Era::Legacy, true).await?;
    gateway.stop().await?;

    let server = ConformanceServer::start(Eras::Legacy).await?;
    let web = with(remote(&server.url()), "credentials", "required");
    let gateway = start(BINARY, "web", web, &stored).await?;
    interleave(&gateway, Era::Legacy, true).await?;
    gateway.stop().await?;
    Ok(())
}

/// What comes on a standing stream until a list of this kind changes, which a call of `tool` brings about.
async fn heard_before(client: &Client, tool: &str, change: &str) -> Result<Vec<Value>> {
    let mut standing = client.standing().await?;
    let params = json!({ "name": tool });
    client
        .request("change".into(), "tools/call", params)
        .await?;
    let mut heard = Vec::new();
    loop {
        let event = standing.next().await?.context("the stream ended")?;
        let method = event.message.get("method").cloned().unwrap_or_default();
        if method == change {
            return Ok(heard);
        }
        heard.push(method);
    }
}

#[tokio::test]
async fn a_user_hears_of_no_change_in_another_users_child() -> Result<()> {
    let child = conformance_on_stdio(BINARY, "legacy")?;
    let child = with(child, "isolation", "per-user");
    let gateway = start(BINARY, "child", child, &[]).await?;
    let mut clients = Vec::new();
    for user in [ADA, BOB] {
        open(&gateway, Era::Legacy, user)
            .await?
            .tool_names()
            .await?;
        clients.push(client(&gateway, Era::Legacy, user).await?);
    }
    let [ada, bob] = clients.as_slice() else {
        anyhow::bail!("two clients");
    };
    let standing = bob.standing().await?;
    let prompts = "notifications/prompts/list_changed";
    let heard = heard_before(ada, "test_trigger_prompt_change", prompts).await?;
    assert_eq!(heard, Vec::<Value>::new());
    drop(standing);
    // Whatever reached bob's standing stream until now would come first.
    let tools = "notifications/tools/list_changed";
    let heard = heard_before(bob, "test_trigger_tool_change", tools).await?;
    assert_eq!(heard, Vec::<Value>::new());
    gateway.stop().await?;
    Ok(())
}
