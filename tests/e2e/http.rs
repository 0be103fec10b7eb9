//! HTTP itself: versions, verbs, media types, headers, and bodies of every kind.

use anyhow::{Context as _, Result};
use gateway_tests::raw::{ACCEPT, RawClient};
use gateway_tests::session::{initialize_message, modern_message, modern_meta};
use gateway_tests::{Era, Session, Setup};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const JSON: (&str, &str) = ("content-type", "application/json");
const LIMIT: usize = 16 * 1024 * 1024;
const LIST: [(&str, &str); 2] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/list"),
];
const CALL: [(&str, &str); 3] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "echo"),
];

#[tokio::test]
async fn a_client_may_speak_http_2_from_the_start() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture: _fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = RawClient::http2();
    let list = modern_message("tools/list", json!({}));
    let lists = (0..20).map(|_| client.post(&url, &LIST, list.clone()));
    for listed in futures_util::future::try_join_all(lists).await? {
        assert!(listed.result()?["tools"].is_array(), "{}", listed.text());
    }
    let call = modern_message("tools/call", json!({ "name": "echo", "arguments": {} }));
    let called = client.post(&url, &CALL, call).await?;
    assert_eq!(called.result()?["resultType"], "complete");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_next_one_is_not() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    let call = |size: usize| {
        let arguments = json!({ "text": "x".repeat(size) });
        modern_message(
            "tools/call",
            json!({ "name": "echo", "arguments": arguments }),
        )
    };
    for version in [client, RawClient::http2()] {
        let refused = version.post(&url, &CALL, call(LIMIT)).await?;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(refused.text().contains("16777216"), "{}", refused.text());
        let taken = version.post(&url, &CALL, call(1 << 20)).await?;
        assert_eq!(taken.status, StatusCode::OK);
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn verbs_that_are_not_served_are_named_with_those_that_are() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    for method in [Method::HEAD, Method::OPTIONS, Method::GET, Method::TRACE] {
        let answer = client.send(method.clone(), &url, &[ACCEPT], "").await?;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        // Without a session there is nothing to GET.
        let served = if method == Method::GET {
            "POST"
        } else {
            "POST, GET, DELETE"
        };
        assert_eq!(answer.header("allow"), Some(served), "{method}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn media_types_are_read_as_they_may_be_written() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    let (ok, unsupported, unacceptable) = (
        StatusCode::OK,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::NOT_ACCEPTABLE,
    );
    for (headers, expected) in [
        (
            vec![("content-type", "Application/JSON; charset=utf-8"), ACCEPT],
            ok,
        ),
        (vec![JSON, ("accept", "*/*")], ok),
        (vec![JSON], ok),
        (
            vec![
                JSON,
                ("accept", "text/html"),
                ("accept", "application/json"),
            ],
            ok,
        ),
        (vec![JSON, ("accept", "text/html")], unacceptable),
        (vec![ACCEPT], unsupported),
        (vec![("content-type", "text/plain"), ACCEPT], unsupported),
        (
            vec![("content-type", "application/jsonp"), ACCEPT],
            unsupported,
        ),
    ] {
        let message = initialize_message("2025-11-25");
        let answer = client.send(Method::POST, &url, &headers, message).await?;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.text());
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn ids_and_parameters_of_the_wrong_kind_are_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    for (body, code) in [
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#""ping""#, -32600),
        ("\u{feff}{}", -32700),
    ] {
        let answer = client.post(&url, &[], body).await?;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{body}: {}",
            answer.text()
        );
        assert_eq!(answer.error_code()?, code, "{body}: {}", answer.text());
    }
    let session = Session::open(Era::Legacy, &url).await?;
    let id = session.id().context("a session id")?;
    for params in [
        json!([1]),
        json!("x"),
        json!({ "name": 7 }),
        json!({ "name": "echo", "arguments": [] }),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
        let answer = client
            .post(&url, &[("mcp-session-id", id)], body.to_string())
            .await?;
        assert_eq!(answer.error_code()?, -32602, "{params}: {}", answer.text());
        assert_eq!(answer.message()?["id"], 7, "{params}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_header_that_says_two_things_is_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    let one = Session::open(Era::Legacy, &url).await?;
    let other = Session::open(Era::Legacy, &url).await?;
    let (one, other) = (one.id().context("an id")?, other.id().context("an id")?);
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let version = |version| ("mcp-protocol-version", version);
    let session = ("mcp-session-id", one);
    for (headers, expected) in [
        (
            vec![session, ("mcp-session-id", other)],
            StatusCode::BAD_REQUEST,
        ),
        (
            vec![session, version("2025-11-25"), version("2025-06-18")],
            StatusCode::BAD_REQUEST,
        ),
        // The session's own version stands.
        (vec![session, version("2025-06-18")], StatusCode::OK),
        (vec![session, version("2025-11-25")], StatusCode::OK),
        (vec![session], StatusCode::OK),
    ] {
        let answer = client.post(&url, &headers, list).await?;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.text());
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn notifications_of_the_modern_era_need_only_name_it() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    let bare = json!({ "jsonrpc": "2.0", "method": "x/unknown" });
    let whole =
        json!({ "jsonrpc": "2.0", "method": "x/unknown", "params": { "_meta": modern_meta() } });
    for (note, version, expected) in [
        (&bare, "2026-07-28", StatusCode::ACCEPTED),
        (&whole, "2026-07-28", StatusCode::ACCEPTED),
        (&bare, "2099-01-01", StatusCode::BAD_REQUEST),
        (&whole, "2025-11-25", StatusCode::BAD_REQUEST),
        (&bare, "2025-11-25", StatusCode::BAD_REQUEST),
    ] {
        let headers = [("mcp-protocol-version", version)];
        let answer = client.post(&url, &headers, note.to_string()).await?;
        assert_eq!(
            answer.status,
            expected,
            "{note} {version}: {}",
            answer.text()
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn responses_are_taken_from_legacy_clients_only() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let session = Session::open(Era::Legacy, &url).await?;
    let headers = [("mcp-session-id", session.id().context("an id")?)];
    let taken = client.post(&url, &headers, response).await?;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.text());
    let headers = [("mcp-protocol-version", "2026-07-28")];
    for headers in [&headers[..], &[]] {
        let refused = client.post(&url, headers, response).await?;
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{}",
            refused.text()
        );
    }
    gateway.stop().await?;
    Ok(())
}

/// Sends bytes over one connection and reads until the gateway closes it.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(gateway_tests::wait::PATIENCE, read).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn a_connection_goes_on_after_requests_that_were_refused() -> Result<()> {
    let Setup { gateway, .. } = Setup::start(BINARY).await?;
    let post = |headers: &str, body: &str| {
        let length = body.len();
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
    };
    let list = modern_message("tools/list", json!({}));
    let modern = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n";
    let requests = [
        post("", "{"),
        post(
            "Mcp-Session-Id: caf\u{e9}\r\n",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        ),
        post("MCP-Protocol-Version: caf\u{e9}\r\n", &list),
        post("Origin: caf\u{e9}\r\n", &list),
        post(&format!("{modern}Connection: close\r\n"), &list),
    ];
    let answers = exchange(gateway.address(), requests.concat().as_bytes()).await?;
    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .filter_map(|answer| answer.get(..3))
        .collect();
    assert_eq!(statuses, ["400", "404", "400", "403", "200"], "{answers}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_before_authentication_is_recorded() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture: _fixture,
    } = Setup::start(BINARY).await?;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    client
        .post(&url, &[("mcp-session-id", "forged")], list)
        .await?;
    let event = gateway
        .wait_for_audit(|event| event["result"] == "denied")
        .await?;
    assert_eq!(event["event_type"], "tool_list", "{event}");
    let reason = event["metadata"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("session not found"), "{event}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_forwarded_while_the_audit_log_takes_nothing() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    gateway.stdout.hang_up();
    // What is answered without a server finds out that the log is gone.
    let session = Session::open(Era::Legacy, &url).await?;
    session.request("tools/list", json!({})).await?;
    for _ in 0..3 {
        let refused = session.call("echo", json!({})).await?;
        assert_eq!(refused.error_code()?, 1005, "{}", refused.text());
    }
    assert_eq!(fixture.calls(), 0);
    gateway
        .wait_for_log(&["an audit event was not written"])
        .await?;
    gateway.stop().await?;
    Ok(())
}
