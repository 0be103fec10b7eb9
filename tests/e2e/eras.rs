//! Every pairing of client era, server era, transport and form of answer; and that what passes through stays as it was.

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::{named, secret};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::session::modern_meta;
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
/// Arguments that no typed model would hand on as they are.
const ARGUMENTS: &str =
    r#"{"z": 1.0, "big":18446744073709551616,"a":"\u00e9\/", "nested" : [ {} , null ]}"#;
/// How every entry of the fixture's lists ends.
const VENDOR_FIELDS: &str =
    r#""x-vendor":{"big":18446744073709551616,"float":1.0,"order":["z","a"],"escaped":"\u00e9\/"}"#;

async fn lists_and_calls(gateway: &Gateway) -> Result<()> {
    gateway.wait_for_tool("/mcp", "echo").await?;
    for era in Era::BOTH {
        for path in ["/mcp", "/s/server/mcp"] {
            let session = Session::open(era, &gateway.url(path)).await?;
            assert_eq!(session.tool_names().await?.len(), 6 + 3, "{era:?} {path}");
            assert_eq!(
                session.call_text("echo", json!({ "a": 1 })).await?,
                r#"{"a":1}"#
            );
            let failed = session.call("fail", json!({})).await?.result()?;
            assert_eq!(failed.get("isError"), Some(&json!(true)), "{failed}");
            let refused = session.call("refuse", json!({})).await?;
            assert_eq!(refused.error_code()?, -31999, "{}", refused.text());
            let why = refused.message()?;
            assert_eq!(
                why.pointer("/error/data/why/0"),
                Some(&json!("because")),
                "{why}"
            );
        }
    }
    Ok(())
}

async fn serves_both_eras(server: Options) -> Result<()> {
    let server = HttpFixture::start(Options {
        tools: 3,
        page_size: 4,
        ..server
    })
    .await?;
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    lists_and_calls(&gateway).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_legacy_server_over_http_serves_clients_of_both_eras() -> Result<()> {
    serves_both_eras(Options {
        era: Eras::Legacy,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn a_legacy_server_with_sessions_and_streams_serves_clients_of_both_eras() -> Result<()> {
    let answer = AnswerForm::Sse;
    serves_both_eras(Options {
        era: Eras::Legacy,
        sessions: true,
        answer,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn a_modern_server_over_http_serves_clients_of_both_eras() -> Result<()> {
    serves_both_eras(Options {
        era: Eras::Modern,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn a_modern_server_with_streams_serves_clients_of_both_eras() -> Result<()> {
    let answer = AnswerForm::Sse;
    serves_both_eras(Options {
        era: Eras::Modern,
        answer,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn children_of_each_era_serve_clients_of_both_eras() -> Result<()> {
    for era in ["legacy", "modern", "both"] {
        let arguments = ["--era", era, "--tools", "3", "--page-size", "4"];
        let config = configuration(&[("server", fixture_on_stdio(BINARY, &arguments)?)]);
        let gateway = Gateway::builder(BINARY).config(config).start().await?;
        lists_and_calls(&gateway).await?;
        gateway.stop().await?;
    }
    Ok(())
}

/// One gateway in front of a server of each era, in each form of answer.
async fn four_servers() -> Result<(Gateway, Vec<HttpFixture>)> {
    let mut fixtures = Vec::new();
    let mut servers = Vec::new();
    for (name, era, answer) in [
        ("legacy-json", Eras::Legacy, AnswerForm::Json),
        ("legacy-sse", Eras::Legacy, AnswerForm::Sse),
        ("modern-json", Eras::Modern, AnswerForm::Json),
        ("modern-sse", Eras::Modern, AnswerForm::Sse),
    ] {
        let fixture = HttpFixture::start(Options {
            era,
            answer,
            ..Options::default()
        })
        .await?;
        servers.push((name, remote(&fixture.url())));
        fixtures.push(fixture);
    }
    let gateway = Gateway::builder(BINARY)
        .config(configuration(&servers))
        .start()
        .await?;
    for (name, _) in servers {
        gateway
            .wait_for_tool("/mcp", &format!("{name}__echo"))
            .await?;
    }
    Ok((gateway, fixtures))
}

#[tokio::test]
async fn arguments_and_results_pass_byte_for_byte() -> Result<()> {
    let (gateway, _fixtures) = four_servers().await?;
    let client = RawClient::default();
    for server in ["legacy-json", "legacy-sse", "modern-json", "modern-sse"] {
        let name = format!("{server}__echo");
        let meta = modern_meta();
        let body = format!(
            r#"{{"jsonrpc":"2.0","params":{{"x-unknown":1.50,"arguments":{ARGUMENTS},"_meta":{meta},"name":"{name}"}},"method":"tools/call","id":"\u00e9 7"}}"#
        );
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", &name),
        ];
        let answer = client.post(&gateway.url("/mcp"), &headers, body).await?;
        let raw = answer.raw_message();
        assert!(
            raw.contains(&format!(r#""arguments":{ARGUMENTS}"#)),
            "{server}: {raw}"
        );
        assert!(raw.contains(VENDOR_FIELDS), "{server}: {raw}");
        assert!(raw.contains(r#""id":"\u00e9 7""#), "{server}: {raw}");
        assert_eq!(
            answer.result()?["resultType"],
            "complete",
            "{server}: {raw}"
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn listed_tools_change_nothing_but_their_names() -> Result<()> {
    let (gateway, _fixtures) = four_servers().await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        let answer = session.request("tools/list", json!({})).await?;
        let raw = answer.raw_message();
        assert_eq!(raw.matches(VENDOR_FIELDS).count(), 4 * 6, "{raw}");
        let result = answer.result()?;
        if era == Era::Modern {
            assert_eq!(result["resultType"], "complete", "{raw}");
            assert!(
                result["ttlMs"].is_u64() && result["cacheScope"].is_string(),
                "{raw}"
            );
        } else {
            assert!(result.get("resultType").is_none(), "{raw}");
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn ids_come_back_as_they_were_sent() -> Result<()> {
    let (gateway, _fixtures) = four_servers().await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let session_id = session.id().context("a legacy client gets a session id")?;
    let headers = [
        ("mcp-session-id", session_id),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let client = RawClient::default();
    for id in [
        "0",
        "-1",
        "18446744073709551616",
        r#""""#,
        r#""a \"b\" \u00e9""#,
        "1e3",
    ] {
        for server in ["legacy-json", "modern-sse"] {
            let body = format!(
                r#"{{"id":{id},"jsonrpc":"2.0","method":"tools/call","params":{{"name":"{server}__echo"}}}}"#
            );
            let answer = client.post(&gateway.url("/mcp"), &headers, body).await?;
            let raw = answer.raw_message();
            assert!(raw.contains(&format!(r#""id":{id},"#)), "{id}: {raw}");
            assert!(answer.result().is_ok(), "{id}: {raw}");
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn colliding_ids_of_many_clients_find_their_own_answers() -> Result<()> {
    let config = configuration(&[("child", fixture_on_stdio(BINARY, &[])?)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let url = gateway.url("/mcp");
    let clients = (0..24).map(|number| {
        let url = url.clone();
        async move {
            // Each session counts its requests from one, so that their ids are the same.
            let session = Session::open(Era::BOTH[number % 2], &url).await?;
            for call in 0..10 {
                let arguments = json!({ "client": number, "call": call });
                let text = session.call_text("echo", arguments.clone()).await?;
                assert_eq!(serde_json::from_str::<Value>(&text)?, arguments);
            }
            anyhow::Ok(())
        }
    });
    futures_util::future::try_join_all(clients).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn progress_reaches_the_client_before_the_answer() -> Result<()> {
    let (gateway, _fixtures) = four_servers().await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        for server in ["legacy-sse", "modern-sse"] {
            let params = json!({
                "name": format!("{server}__slow"),
                "arguments": { "ms": 10 },
                "_meta": { "progressToken": "token 1" },
            });
            let answer = session.request("tools/call", params).await?;
            let messages = answer.raw_messages();
            assert_eq!(messages.len(), 2, "{era:?} {server}: {messages:?}");
            assert!(
                messages[0].contains(r#""progressToken":"token 1""#),
                "{messages:?}"
            );
            assert!(messages[0].contains(r#""x-vendor":"kept""#), "{messages:?}");
            assert!(messages[1].contains("slept 10 ms"), "{messages:?}");
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_modern_client_that_goes_away_cancels_its_call() -> Result<()> {
    let (gateway, fixtures) = four_servers().await?;
    for (server, fixture) in ["legacy-json", "legacy-sse", "modern-json", "modern-sse"]
        .into_iter()
        .zip(&fixtures)
    {
        let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
        let tool = format!("{server}__wait");
        tokio::select! {
            answered = session.call(&tool, json!({})) => panic!("{server} answered {answered:?}"),
            begun = wait::until("the call to be in flight", || async { fixture.waiting() == 1 }) => begun?,
        }
        drop(session);
        wait::until(&format!("{server} to be told"), || async {
            fixture.cancelled() == 1
        })
        .await?;
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn servers_get_no_header_that_was_meant_for_the_gateway() -> Result<()> {
    let (gateway, _fixtures) = four_servers().await?;
    let client = RawClient::default();
    let meta = modern_meta();
    let own = secret("the-clients-own");
    let cases = ["legacy-json", "modern-json"].map(|server| {
        [
            ("authorization", format!("Bearer {own}")),
            ("x-api-key", own.clone()),
        ]
        .map(|credential| (server, credential))
    });
    for (server, credential) in cases.into_iter().flatten() {
        let name = format!("{server}__whoami");
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", &name),
            (credential.0, credential.1.as_str()),
            ("cookie", &own),
            ("mcp-param-region", "the-tools-own"),
        ];
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": name, "arguments": {}, "_meta": meta },
        });
        let answer = client
            .post(&gateway.url("/mcp"), &headers, body.to_string())
            .await?;
        let seen = answer.result()?["structuredContent"]["headers"].clone();
        assert!(!seen.to_string().contains(&named(&own)), "{server}: {seen}");
        if server == "modern-json" {
            assert_eq!(seen["mcp-name"], "whoami", "{seen}");
            assert_eq!(seen["mcp-param-region"], "the-tools-own", "{seen}");
        }
    }
    gateway.stop().await?;
    Ok(())
}
