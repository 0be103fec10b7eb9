//! A control plane and data planes as processes of their own: who joins, what is served, and what a lost control plane
//! leaves as it was.

use std::sync::Arc;

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway;
use gateway_tests::planes::{ControlPlane, DataPlane, admin_token};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::{ADA_HASH, ADA_KEY};
use gateway_tests::servers::remote;
use gateway_tests::session::initialize_message;
use gateway_tests::{Era, Gateway, Session, Workspace};
use http::StatusCode;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A tenant that lets `ada` in, and lets her call `echo` alone.
fn acme(server: &HttpFixture) -> Value {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let rules = json!([{ "effect": "allow", "users": ["ada@example.com"], "names": ["echo"] }]);
    json!({
        "tenant": "acme",
        "plugins": {
            "auth_provider": { "provider": "in-memory", "implementation": "api-key",
                               "settings": { "keys": keys } },
            "policy_evaluator": { "provider": "in-memory", "implementation": "rules",
                                  "settings": { "rules": rules } },
        },
        "servers": { "one": remote(&server.url()) },
    })
}

/// A control plane whose store has the tenant already.
async fn control_plane_with(config: &Value) -> Result<ControlPlane> {
    let workspace = Arc::new(Workspace::new(&config.to_string())?);
    let desktop = Gateway::builder(BINARY).workspace(&workspace);
    desktop.start().await?.stop().await?;
    ControlPlane::start(BINARY, &workspace).await
}

async fn ada(data: &DataPlane, era: Era) -> Result<Session> {
    let url = data.url("/t/acme/mcp");
    let session = Session::open_with(era, &url, &[("x-api-key", ADA_KEY)]).await?;
    session.wait_for_tool("echo").await?;
    Ok(session)
}

#[tokio::test]
async fn a_data_plane_serves_what_the_control_plane_has_and_goes_on_without_it() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = control_plane_with(&acme(&server)).await?;
    let data = DataPlane::start(BINARY, &control).await?;
    data.wait_until_ready().await?;

    for era in Era::BOTH {
        let ada = ada(&data, era).await?;
        ada.call("echo", json!({})).await?.result()?;
        let denied = ada.call("whoami", json!({})).await?;
        assert!(denied.result().is_err(), "{}", denied.text());
    }
    let nobody = RawClient::default();
    for (path, status) in [
        ("/t/acme/mcp", StatusCode::UNAUTHORIZED),
        ("/t/other/mcp", StatusCode::NOT_FOUND),
    ] {
        let message = initialize_message("2025-11-25");
        let answer = nobody.post(&data.url(path), &[], message).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }

    let session = ada(&data, Era::Legacy).await?;
    let killed = control.kill().await?;
    data.process
        .wait_for_log(&["the control plane is away"])
        .await?;
    session.call("echo", json!({})).await?.result()?;
    assert!(data.is_ready().await?);
    let control = killed.start().await?;
    data.process
        .wait_for_log(&["the control plane is there again"])
        .await?;
    session.call("echo", json!({})).await?.result()?;

    control.process.stop().await?;
    data.process.stop().await
}

#[tokio::test]
async fn a_data_plane_without_the_join_token_is_refused_and_gets_nothing() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let control = control_plane_with(&acme(&server)).await?;
    // Not even with the administrator's.
    let data = DataPlane::start_with(BINARY, &control, &admin_token(), &[]).await?;
    data.process
        .wait_for_log(&["the control plane refuses this data plane", "join token"])
        .await?;
    control
        .process
        .wait_for_log(&["a replica was refused"])
        .await?;
    assert!(!data.is_ready().await?);
    let message = initialize_message("2025-11-25");
    let (nobody, url) = (RawClient::default(), data.url("/t/acme/mcp"));
    let answer = nobody.post(&url, &[], message).await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn what_would_leave_the_machine_in_plain_text_is_refused() -> Result<()> {
    let workspace = Workspace::new("")?;
    let token = ["--join-token", "0123456789abcdef"];
    let with = |arguments: &[&'static str]| [arguments, &token].concat();
    let database = ["control-plane", "--database", "sqlite://a.db"];
    let cases = [
        (
            [&database[..], &["--listen", "0.0.0.0:0"]].concat(),
            "without TLS",
        ),
        (
            with(&["data-plane", "--control-plane", "http://192.0.2.1:8812"]),
            "without TLS",
        ),
        (
            with(&["data-plane", "--control-plane", "here"]),
            "http://HOST:PORT",
        ),
        (
            vec!["data-plane", "--control-plane", "http://127.0.0.1:1"],
            "the join token is missing",
        ),
        (
            vec!["control-plane", "--database", "postgres://db/x"],
            "not there yet",
        ),
    ];
    for (arguments, reason) in cases {
        let exit = gateway::run(BINARY, &workspace, &arguments).await?;
        let said = exit.stderr.join("\n");
        assert_eq!(exit.code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    assert!(!workspace.path().join("a.db").exists());
    Ok(())
}
