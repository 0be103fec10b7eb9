//! Two clients of one principal at the same time on one server: what is for one never reaches the other.

use anyhow::Result;
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::crossing::{Client, Load};
use gateway_tests::fixture::Eras;
use gateway_tests::servers::{configuration, conformance_on_stdio, remote};
use gateway_tests::{Era, Gateway};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const CHANGED: &str = "notifications/prompts/list_changed";

async fn start(server: Value) -> Result<Gateway> {
    let config = configuration(&[("server", server)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "test_sampling").await?;
    Ok(gateway)
}

/// Both clients at once; `hears_logs`: whether the server says for whom its log messages are.
async fn interleave(gateway: &Gateway, era: Era, hears_logs: bool) -> Result<()> {
    let one = Client::open(gateway, era, "one", None).await?;
    let two = Client::open(gateway, era, "two", None).await?;
    let load = Load {
        questions: 6,
        progress: 4,
        logs: 2,
        hears_logs,
    };
    let other = Load { logs: 5, ..load };
    tokio::try_join!(one.bear(load), two.bear(other))?;
    Ok(())
}

/// What comes on a standing stream until it tells of a change.
async fn heard_before_a_change(client: &Client) -> Result<Vec<Value>> {
    let mut standing = client.standing().await?;
    let change = async {
        let params = serde_json::json!({ "name": "test_trigger_prompt_change" });
        client.request("change".into(), "tools/call", params).await
    };
    let read = async {
        let mut heard = Vec::new();
        while let Some(event) = standing.next().await? {
            if event
                .message
                .get("method")
                .is_some_and(|method| method == CHANGED)
            {
                break;
            }
            heard.push(event.message);
        }
        anyhow::Ok(heard)
    };
    let (changed, heard) = tokio::join!(change, read);
    changed?;
    heard
}

/// The calls' own streams lead to clients that have no other as well.
async fn legacy_clients(gateway: &Gateway) -> Result<()> {
    interleave(gateway, Era::Legacy, true).await?;
    let third = Client::open(gateway, Era::Legacy, "three", None).await?;
    let load = Load {
        questions: 1,
        progress: 1,
        logs: 1,
        hears_logs: true,
    };
    third.bear(load).await?;
    let heard = heard_before_a_change(&third).await?;
    assert_eq!(heard, Vec::<Value>::new(), "nothing is sent twice");
    Ok(())
}

#[tokio::test]
async fn legacy_clients_of_a_server_over_http_do_not_cross() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let gateway = start(remote(&server.url())).await?;
    legacy_clients(&gateway).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn legacy_clients_of_a_server_on_stdio_do_not_cross() -> Result<()> {
    let gateway = start(conformance_on_stdio(BINARY, "legacy")?).await?;
    legacy_clients(&gateway).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn modern_clients_of_a_server_over_http_do_not_cross() -> Result<()> {
    let server = ConformanceServer::start(Eras::Modern).await?;
    let gateway = start(remote(&server.url())).await?;
    interleave(&gateway, Era::Modern, true).await?;
    gateway.stop().await?;
    Ok(())
}

/// On stdio nothing says for which request a log message is, and the child is everybody's.
#[tokio::test]
async fn modern_clients_of_a_server_on_stdio_do_not_cross() -> Result<()> {
    let gateway = start(conformance_on_stdio(BINARY, "modern")?).await?;
    interleave(&gateway, Era::Modern, false).await?;
    gateway.wait_for_log(&["log:", "server=\"server\""]).await?;
    gateway.stop().await?;
    Ok(())
}
