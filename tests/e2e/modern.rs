//! Modern requests: discovery, and what each request must carry in its body and its headers.

use anyhow::{Context as _, Result};
use gateway_tests::Setup;
use gateway_tests::session::{modern_message, modern_meta};
use http::StatusCode;
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const INVALID_PARAMS: i64 = -32602;
const HEADER_MISMATCH: i64 = -32020;
const UNSUPPORTED_VERSION: i64 = -32022;
const MODERN_LIST: [(&str, &str); 2] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/list"),
];

#[tokio::test]
async fn a_modern_client_discovers_what_is_served() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "server/discover"),
    ];
    let answer = client
        .post(&url, &headers, modern_message("server/discover", json!({})))
        .await?;
    let result = answer.result()?;
    let versions = result["supportedVersions"].as_array().context("versions")?;
    assert!(versions.contains(&json!("2026-07-28")), "{result}");
    assert_eq!(result["resultType"], "complete", "{result}");
    assert!(result["capabilities"]["tools"].is_object(), "{result}");
    assert!(
        result["ttlMs"].is_u64() && result["cacheScope"].is_string(),
        "{result}"
    );
    let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert!(
        info["name"].is_string() && info["version"].is_string(),
        "{result}"
    );
    assert!(answer.header("mcp-session-id").is_none());
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_modern_version_that_is_not_served_is_refused_with_those_that_are() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2027-01-01");
    let headers = [
        ("mcp-protocol-version", "2027-01-01"),
        ("mcp-method", "tools/list"),
    ];
    let answer = client
        .post(
            &url,
            &headers,
            modern_message("tools/list", json!({ "_meta": meta })),
        )
        .await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error_code()?, UNSUPPORTED_VERSION);
    let data = answer.message()?["error"]["data"].clone();
    assert!(
        data["supported"]
            .as_array()
            .context("versions")?
            .contains(&json!("2026-07-28"))
    );
    assert_eq!(data["requested"], "2027-01-01");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_modern_request_without_its_metadata_is_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        ..
    } = Setup::start(BINARY).await?;
    for missing in ["protocolVersion", "clientCapabilities"] {
        let mut meta = modern_meta();
        let key = format!("io.modelcontextprotocol/{missing}");
        meta.as_object_mut().context("an object")?.remove(&key);
        let body = modern_message("tools/list", json!({ "_meta": meta }));
        let answer = client.post(&url, &MODERN_LIST, body).await?;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{missing}: {}",
            answer.text()
        );
        assert_eq!(
            answer.error_code()?,
            INVALID_PARAMS,
            "{missing}: {}",
            answer.text()
        );
        assert!(answer.text().contains(missing), "{}", answer.text());
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_refused() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture,
    } = Setup::start(BINARY).await?;
    let call = modern_message("tools/call", json!({ "name": "echo", "arguments": {} }));
    let version = ("mcp-protocol-version", "2026-07-28");
    let (method, name) = (("mcp-method", "tools/call"), ("mcp-name", "echo"));
    for headers in [
        vec![version, method, ("mcp-name", "fail")],
        vec![version, method],
        vec![version, ("mcp-method", "tools/list"), name],
        vec![version, name],
        vec![("mcp-protocol-version", "2025-11-25"), method, name],
    ] {
        let answer = client.post(&url, &headers, call.clone()).await?;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{headers:?}: {}",
            answer.text()
        );
        assert_eq!(
            answer.error_code()?,
            HEADER_MISMATCH,
            "{headers:?}: {}",
            answer.text()
        );
        assert_eq!(answer.message()?["id"], 1, "{headers:?}");
    }
    assert_eq!(fixture.calls(), 0, "nothing of it reached the server");
    let encoded = ("mcp-name", "=?base64?ZWNobw==?=");
    let answer = client.post(&url, &[version, method, encoded], call).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    gateway.stop().await?;
    Ok(())
}
