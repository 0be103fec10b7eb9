//! Legacy sessions: negotiated versions, sealed ids, and when an id is good for nothing any more.

use anyhow::{Context as _, Result};
use gateway_tests::session::initialize_message;
use gateway_tests::{Era, Gateway, Session, Setup};
use http::StatusCode;
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[tokio::test]
async fn legacy_versions_are_negotiated() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    for (asked, expected) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2024-01-01", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
    ] {
        let answer = client.post(&url, &[], initialize_message(asked)).await?;
        let result = answer.result()?;
        assert_eq!(result["protocolVersion"], expected);
        assert!(result["capabilities"]["tools"].is_object(), "{result}");
        assert!(result["serverInfo"]["name"].is_string(), "{result}");
        let id = answer.header("mcp-session-id").context("a session id")?;
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");

        let headers = [("mcp-session-id", id), ("mcp-protocol-version", expected)];
        let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
        let pong = client.post(&url, &headers, ping).await?;
        assert_eq!(
            pong.message()?,
            json!({ "jsonrpc": "2.0", "id": "p", "result": {} })
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_legacy_version_that_is_not_served_is_refused_in_the_header() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &url).await?;
    let id = session.id().context("a session id")?;
    let headers = [
        ("mcp-session-id", id),
        ("mcp-protocol-version", "2024-01-01"),
    ];
    let answer = client.post(&url, &headers, LIST).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_id_that_was_tampered_with_is_not_found() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &url).await?;
    let id = session.id().context("a session id")?;
    let middle = id.len() / 2;
    let swapped = if id.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let mut tampered = id.to_owned();
    tampered.replace_range(middle..=middle, swapped);
    for wrong in [
        tampered.as_str(),
        "made-up",
        id.get(1..).unwrap_or_default(),
    ] {
        let headers = [
            ("mcp-session-id", wrong),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        let answer = client.post(&url, &headers, LIST).await?;
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{wrong}: {}",
            answer.text()
        );
    }
    let headers = [
        ("mcp-session-id", id),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    assert_eq!(
        client.post(&url, &headers, LIST).await?.status,
        StatusCode::OK
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_legacy_request_without_a_session_is_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let headers = [("mcp-protocol-version", "2025-11-25")];
    let answer = client.post(&url, &headers, LIST).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_session_is_gone() -> Result<()> {
    let Setup { gateway, url, .. } = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &url).await?;
    let other = Session::open(Era::Legacy, &url).await?;
    let deleted = session.delete().await?;
    assert!(
        deleted.status.is_success(),
        "{} {}",
        deleted.status,
        deleted.text()
    );
    let after = session.request("tools/list", json!({})).await?;
    assert_eq!(after.status, StatusCode::NOT_FOUND, "{}", after.text());
    assert_eq!(
        other.request("tools/list", json!({})).await?.status,
        StatusCode::OK
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn sessions_outlive_the_gateway() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &url).await?;
    assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    let (workspace, address) = (std::sync::Arc::clone(&gateway.workspace), gateway.address());
    gateway.stop().await?;

    let again = Gateway::builder(BINARY)
        .workspace(&workspace)
        .listen(address)
        .start()
        .await?;
    assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    again.stop().await?;
    drop(fixture);
    Ok(())
}
