//! Profiles: views of some servers with filters and names of their own.

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::servers::remote;
use gateway_tests::{Era, Gateway, Session};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const INVALID_PARAMS: i64 = -32602;

#[tokio::test]
async fn a_profile_shows_what_it_allows_under_its_own_names() -> Result<()> {
    let one = HttpFixture::start(Options::default()).await?;
    let two = HttpFixture::start(Options::default()).await?;
    let hidden = HttpFixture::start(Options::default()).await?;
    let config = json!({
        "servers": { "one": remote(&one.url()), "two": remote(&two.url()), "hidden": remote(&hidden.url()) },
        "profiles": { "dev": {
            "servers": ["two", "one"],
            "tools": {
                "allow": ["one__*", "two__echo", "two__fail"],
                "deny": ["*__fail"],
                "rename": { "two__echo": "say", "two__fail": "break" },
            },
        } },
    });
    let gateway = Gateway::builder(BINARY)
        .config(config.to_string())
        .start()
        .await?;
    gateway.wait_for_tool("/p/dev/mcp", "one__echo").await?;
    gateway.wait_for_tool("/p/dev/mcp", "say").await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/p/dev/mcp")).await?;
        let names = session.tool_names().await?;
        assert_eq!(
            names.first().map(String::as_str),
            Some("say"),
            "the profile's order: {names:?}"
        );
        for gone in [
            "two__echo",
            "break",
            "one__fail",
            "two__fail",
            "two__slow",
            "hidden__echo",
        ] {
            assert!(!names.iter().any(|name| name == gone), "{gone}: {names:?}");
            let answer = session.call(gone, json!({})).await?;
            assert_eq!(
                answer.error_code()?,
                INVALID_PARAMS,
                "{gone}: {}",
                answer.text()
            );
        }
        assert_eq!(
            session.call_text("say", json!({ "x": 1 })).await?,
            r#"{"x":1}"#
        );
        assert_eq!(session.call_text("one__echo", json!({})).await?, "{}");
    }
    let call = gateway
        .wait_for_audit(|event| event["metadata"]["exposed_name"] == "say")
        .await?;
    assert_eq!(
        (&call["mcp_server"], &call["tool"]),
        (&json!("two"), &json!("echo"))
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_rename_wins_over_a_tool_that_has_the_name_already() -> Result<()> {
    let one = HttpFixture::start(Options::default()).await?;
    let two = HttpFixture::start(Options::default()).await?;
    let config = json!({
        "servers": { "one": remote(&one.url()), "two": remote(&two.url()) },
        "profiles": { "dev": {
            "servers": ["one", "two"],
            "tools": { "rename": { "two__whoami": "one__echo" } },
        } },
    });
    let gateway = Gateway::builder(BINARY)
        .config(config.to_string())
        .start()
        .await?;
    gateway.wait_for_tool("/p/dev/mcp", "one__whoami").await?;
    gateway.wait_for_tool("/p/dev/mcp", "two__echo").await?;
    let session = Session::open(Era::Modern, &gateway.url("/p/dev/mcp")).await?;
    let names = session.tool_names().await?;
    assert_eq!(
        names.iter().filter(|name| *name == "one__echo").count(),
        1,
        "{names:?}"
    );
    let result = session.call("one__echo", json!({})).await?.result()?;
    assert!(
        result["structuredContent"]["headers"].is_object(),
        "whoami answers: {result}"
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_not_found() -> Result<()> {
    let gateway = Gateway::builder(BINARY)
        .config("servers: {}\n")
        .start()
        .await?;
    let client = gateway_tests::raw::RawClient::default();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} });
    let answer = client
        .post(&gateway.url("/p/dev/mcp"), &[], ping.to_string())
        .await?;
    assert_eq!(
        answer.status,
        http::StatusCode::NOT_FOUND,
        "{}",
        answer.text()
    );
    gateway.stop().await?;
    Ok(())
}
