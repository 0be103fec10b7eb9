//! The headers that repeat a call's arguments: written for those who write none, checked for those who do not
//! check, and left alone in between.

use anyhow::{Context as _, Result};
use gateway_tests::clients::{OfficialClient, Step};
use gateway_tests::fixture::{Eras, HttpFixture, Options};
use gateway_tests::raw::{Answer, RawClient};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::session::modern_meta;
use gateway_tests::{Era, Gateway, Session};
use http::StatusCode;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const INVALID: [&str; 2] = ["bad-name", "bad-type"];

/// A server over HTTP with annotated tools, behind a gateway that has not asked for its list.
async fn over_http(era: Eras) -> Result<(HttpFixture, Gateway)> {
    let options = Options {
        era,
        annotated: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_log(&["server is ready"]).await?;
    Ok((server, gateway))
}

async fn on_stdio(era: &str) -> Result<Gateway> {
    let server = fixture_on_stdio(BINARY, &["--era", era, "--annotated"])?;
    let config = configuration(&[("server", server)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    Ok(gateway)
}

/// A modern client's call of the regional tool with just these headers beside the standard ones.
async fn call(gateway: &Gateway, arguments: Value, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut all = vec![
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "regional"),
    ];
    all.extend_from_slice(headers);
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "regional", "arguments": arguments, "_meta": modern_meta() },
    });
    let url = gateway.url("/mcp");
    RawClient::default()
        .post(&url, &all, body.to_string())
        .await
}

fn refusal(answer: &Answer) -> Result<String> {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert_eq!(answer.error_code()?, -32020, "{}", answer.text());
    let message = answer.message()?;
    let text = message.pointer("/error/message").and_then(Value::as_str);
    Ok(text.context("no message")?.to_owned())
}

#[tokio::test]
async fn invalid_tools_of_a_server_over_http_are_neither_listed_nor_called() -> Result<()> {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (server, gateway) = over_http(eras).await?;
        for era in Era::BOTH {
            let session = Session::open(era, &gateway.url("/mcp")).await?;
            let names = session.tool_names().await?;
            assert!(names.iter().any(|name| name == "regional"), "{names:?}");
            for tool in INVALID {
                assert!(!names.iter().any(|name| name == tool), "{names:?}");
                let refused = session.call(tool, json!({})).await?;
                assert_eq!(refused.error_code()?, -32602, "{}", refused.text());
                assert!(
                    refused.text().contains("x-mcp-header"),
                    "{}",
                    refused.text()
                );
            }
        }
        assert_eq!(server.calls(), 0);
        for tool in INVALID {
            gateway.wait_for_log(&["WARN", "not offered", tool]).await?;
        }
        let log = gateway.stop().await?.stderr;
        let warnings = log.iter().filter(|line| line.contains("not offered"));
        assert_eq!(warnings.count(), INVALID.len(), "{log:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_legacy_client_that_never_listed_cannot_call_an_invalid_tool_of_a_modern_server()
-> Result<()> {
    let (server, gateway) = over_http(Eras::Modern).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let refused = session.call("bad-name", json!({})).await?;
    assert_eq!(refused.error_code()?, -32602, "{}", refused.text());
    assert_eq!(server.calls(), 0);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn annotations_of_a_child_do_not_matter() -> Result<()> {
    for era in ["legacy", "modern"] {
        let gateway = on_stdio(era).await?;
        for era in Era::BOTH {
            let session = Session::open(era, &gateway.url("/mcp")).await?;
            let names = session.tool_names().await?;
            for tool in INVALID {
                assert!(names.iter().any(|name| name == tool), "{names:?}");
                session.call(tool, json!({ "region": 7 })).await?.result()?;
            }
        }
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_legacy_clients_call_reaches_a_modern_server_with_its_headers() -> Result<()> {
    let (server, gateway) = over_http(Eras::Modern).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let arguments = json!({ "region": "us-west1", "options": { "priority": -7 } });
    let result = session.call("regional", arguments).await?.result()?;
    let seen = &result["structuredContent"]["headers"];
    assert_eq!(seen["mcp-param-region"], "us-west1", "{seen}");
    assert_eq!(seen["mcp-param-priority"], "-7", "{seen}");
    assert_eq!(server.lists(), 1, "the list is asked for when it is needed");
    for arguments in [json!({}), json!({ "region": null, "other": "x" })] {
        let result = session.call("regional", arguments).await?.result()?;
        let seen = &result["structuredContent"]["headers"];
        assert!(!seen.to_string().contains("mcp-param"), "{seen}");
    }
    assert_eq!(server.lists(), 1, "and not again");
    let refused = session.call("regional", json!({ "region": ["a"] })).await?;
    assert_eq!(refused.error_code()?, -32602, "{}", refused.text());
    assert!(refused.text().contains("`region`"), "{}", refused.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_definition_that_changed_unnoticed_is_learnt_from_the_servers_refusal() -> Result<()> {
    let (server, gateway) = over_http(Eras::Modern).await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let arguments = json!({ "region": "eu" });
    session
        .call("regional", arguments.clone())
        .await?
        .result()?;
    server.rename_region_header("Zone");
    let result = session.call("regional", arguments).await?.result()?;
    let seen = &result["structuredContent"]["headers"];
    assert_eq!(seen["mcp-param-zone"], "eu", "{seen}");
    assert_eq!(seen["mcp-param-region"], Value::Null, "{seen}");
    assert_eq!(server.calls(), 2, "the refused call was not run");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_modern_servers_own_verdict_on_a_modern_clients_headers_stands() -> Result<()> {
    let (server, gateway) = over_http(Eras::Modern).await?;
    let arguments = json!({ "region": "eu" });
    let told = refusal(&call(&gateway, arguments.clone(), &[]).await?)?;
    assert!(told.contains("mcp-param-region is None"), "{told}");
    let headers = [("mcp-param-region", "eu"), ("mcp-param-unknown", "kept")];
    let result = call(&gateway, arguments, &headers).await?.result()?;
    let seen = &result["structuredContent"]["headers"];
    assert_eq!(seen["mcp-param-unknown"], "kept", "{seen}");
    assert_eq!(server.calls(), 1);
    gateway.stop().await?;
    Ok(())
}

/// What the gateway has to say where no server checks.
async fn checks_headers(gateway: &Gateway) -> Result<()> {
    let arguments = json!({ "region": "日本", "options": { "priority": 42 } });
    let region = ("Mcp-Param-Region", "=?base64?5pel5pys?=");
    for (headers, said) in [
        (vec![], ["Mcp-Param-Region header is missing", "`region`"]),
        (
            vec![region],
            ["Mcp-Param-Priority header is missing", "`options.priority`"],
        ),
        (
            vec![region, ("mcp-param-priority", "43")],
            ["'43' does not match body value '42'", "`options.priority`"],
        ),
        (
            vec![("mcp-param-region", "=?base64?5pel5pys")],
            ["Mcp-Param-Region", "does not match body value '日本'"],
        ),
        (
            vec![region, region, ("mcp-param-priority", "42")],
            ["Mcp-Param-Region", "more than once"],
        ),
    ] {
        let told = refusal(&call(gateway, arguments.clone(), &headers).await?)?;
        for said in said {
            assert!(told.contains(said), "{told}");
        }
    }
    for priority in ["42", "42.0"] {
        let headers = [
            region,
            ("mcp-param-priority", priority),
            ("mcp-param-x", "y"),
        ];
        call(gateway, arguments.clone(), &headers).await?.result()?;
    }
    call(gateway, json!({ "region": null }), &[])
        .await?
        .result()?;
    let told = refusal(&call(gateway, json!({}), &[region]).await?)?;
    assert!(told.contains("no counterpart"), "{told}");
    Ok(())
}

#[tokio::test]
async fn headers_are_checked_for_a_legacy_server() -> Result<()> {
    let (server, gateway) = over_http(Eras::Legacy).await?;
    checks_headers(&gateway).await?;
    assert_eq!(server.calls(), 3, "none of the refused calls arrived");
    // The client has seen a newer definition than the gateway.
    server.rename_region_header("Zone");
    let headers = [("mcp-param-zone", "eu")];
    call(&gateway, json!({ "region": "eu" }), &headers)
        .await?
        .result()?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn headers_are_checked_for_children_of_both_eras() -> Result<()> {
    for era in ["legacy", "modern"] {
        let gateway = on_stdio(era).await?;
        checks_headers(&gateway).await?;
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn official_clients_of_both_eras_call_annotated_tools_of_servers_of_both_eras() -> Result<()>
{
    for eras in [Eras::Legacy, Eras::Modern] {
        let (_server, gateway) = over_http(eras).await?;
        for client in [
            OfficialClient::TS_V1,
            OfficialClient::TS_V2_PINNED,
            OfficialClient::PYTHON_PINNED,
        ] {
            let arguments = json!({ "region": "eu", "options": { "priority": 3 } });
            // A modern client knows from the list which arguments it has to repeat in headers.
            let steps = vec![
                Step::list("tools").lists("regional"),
                Step::call("regional", arguments).succeeds(),
            ];
            let visits = [(gateway.url("/mcp"), steps)];
            client.visit(client.best_version(), &visits).await?;
        }
        gateway.stop().await?;
    }
    Ok(())
}
