//! The listener: who is let in, and the errors for what is no message, no method, no tool or no path.

use anyhow::{Context as _, Result};
use gateway_tests::raw::ACCEPT;
use gateway_tests::session::{initialize_message, modern_message, modern_meta};
use gateway_tests::{Era, Session, Setup};
use http::{Method, StatusCode};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const MODERN_LIST: [(&str, &str); 2] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/list"),
];

#[tokio::test]
async fn foreign_origins_and_hosts_are_forbidden() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let list = modern_message("tools/list", json!({}));
    let port = gateway.address().port();
    for (header, value, expected) in [
        ("origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        (
            "origin",
            &format!("http://localhost.evil.example:{port}"),
            StatusCode::FORBIDDEN,
        ),
        (
            "origin",
            &format!("http://localhost:{port}"),
            StatusCode::OK,
        ),
        (
            "origin",
            &format!("http://127.0.0.1:{port}"),
            StatusCode::OK,
        ),
        ("host", "evil.example", StatusCode::FORBIDDEN),
        (
            "host",
            &format!("evil.example:{port}"),
            StatusCode::FORBIDDEN,
        ),
        ("host", &format!("localhost:{port}"), StatusCode::OK),
    ] {
        let mut headers = MODERN_LIST.to_vec();
        headers.push((header, value));
        let answer = client.post(&url, &headers, list.clone()).await?;
        assert_eq!(
            answer.status,
            expected,
            "{header}: {value}: {}",
            answer.text()
        );
        let opened = client
            .post(&url, &[(header, value)], initialize_message("2025-11-25"))
            .await?;
        assert_eq!(
            opened.status,
            expected,
            "{header}: {value}: {}",
            opened.text()
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn other_verbs_and_paths_are_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &url).await?;
    let id = session.id().context("a session id")?;
    let legacy = [
        ACCEPT,
        ("mcp-session-id", id),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let modern = [ACCEPT, ("mcp-protocol-version", "2026-07-28")];
    for headers in [&legacy[..], &modern[..], &[ACCEPT]] {
        // In a legacy session GET opens a stream.
        let get = (headers.len() < legacy.len()).then_some(Method::GET);
        for method in [Method::PUT, Method::PATCH].into_iter().chain(get) {
            let answer = client.send(method.clone(), &url, headers, "").await?;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert!(
                answer
                    .header("allow")
                    .is_some_and(|allow| allow.contains("POST"))
            );
        }
    }
    let deleted = client.send(Method::DELETE, &url, &modern, "").await?;
    assert_eq!(deleted.status, StatusCode::METHOD_NOT_ALLOWED);
    for path in [
        "/",
        "/mcp/",
        "/s/nobody/mcp",
        "/t/nobody/mcp",
        "/s/Fixture/mcp",
        "/p/no/mcp",
    ] {
        let answer = client
            .post(&gateway.url(path), &[], initialize_message("2025-11-25"))
            .await?;
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{path}: {}",
            answer.text()
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn notifications_are_accepted_without_an_answer() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &url).await?;
    for method in [
        "notifications/cancelled",
        "notifications/roots/list_changed",
        "x/unknown",
    ] {
        let answer = session.notify(method).await?;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{method}");
        assert!(answer.body.is_empty(), "{method}: {}", answer.text());
    }
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "x/unknown"),
    ];
    let note =
        json!({ "jsonrpc": "2.0", "method": "x/unknown", "params": { "_meta": modern_meta() } });
    let answer = client.post(&url, &headers, note.to_string()).await?;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn unknown_methods_get_the_error_of_their_era() -> Result<()> {
    let Setup { gateway, url, .. } = Setup::start(BINARY).await?;
    for (era, status) in [
        (Era::Legacy, StatusCode::OK),
        (Era::Modern, StatusCode::NOT_FOUND),
    ] {
        let session = Session::open(era, &url).await?;
        for method in ["x/unknown", "roots/list"] {
            let answer = session.request(method, json!({})).await?;
            assert_eq!(answer.status, status, "{method}: {}", answer.text());
            assert_eq!(
                answer.error_code()?,
                METHOD_NOT_FOUND,
                "{method}: {}",
                answer.text()
            );
        }
    }
    let modern = Session::open(Era::Modern, &url).await?;
    assert_eq!(
        modern.request("ping", json!({})).await?.error_code()?,
        METHOD_NOT_FOUND
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_no_message_are_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0"}"#, -32600),
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
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":{}"#,
        "[".repeat(100_000)
    );
    let answer = client.post(&url, &[], deep).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn tools_that_are_not_there_are_invalid_parameters() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    for era in Era::BOTH {
        let session = Session::open(era, &url).await?;
        let unknown = session.call("no-such-tool", json!({})).await?;
        assert_eq!(unknown.error_code()?, INVALID_PARAMS, "{}", unknown.text());
        let nameless = session
            .request("tools/call", json!({ "arguments": {} }))
            .await?;
        assert_eq!(
            nameless.error_code()?,
            INVALID_PARAMS,
            "{}",
            nameless.text()
        );
        let cursor = session
            .request("tools/list", json!({ "cursor": "made up" }))
            .await?;
        assert_eq!(cursor.error_code()?, INVALID_PARAMS, "{}", cursor.text());
    }
    drop(fixture);
    gateway.stop().await?;
    Ok(())
}
