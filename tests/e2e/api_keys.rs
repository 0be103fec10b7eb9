//! API keys: who is let in, as whom, and what is said to everybody else.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::raw::{Answer, RawClient};
use gateway_tests::servers::remote;
use gateway_tests::session::initialize_message;
use gateway_tests::{Era, Gateway, Session};
use http::StatusCode;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const ADA: &str = "mgk_ada_3b8cfa09c01f3a8e6ee7f5c326500fd2a6dd9fa6b5a51da04521e0e928ad2fd7";
const BOB: &str = "mgk_bob_d9a7c924f77b4736c730c68a34a05680e271b8fb08669a68dd3097b810bcf695";
const OLD: &str = "mgk_old_70e29cdbfe975fc2786581536da8b3cb6d571f2a0be583a9d7ff327bda1b500a";

fn provider() -> Value {
    let keys = json!([
        { "id": "ada", "user_id": "ada@example.com",
          "hash": "sha256:3e4c7261f3948fb2a188d5eb4a8228ecfab5585dac918531805c12749d61ba31" },
        { "id": "bob", "user_id": "bob@example.com", "expires_at": "2099-01-01T00:00:00Z",
          "hash": "sha256:208649187f3eaa842933f255bfc759b9015125443bfb8dbbe55a8b5a54d4a11d" },
        { "id": "old", "user_id": "ada@example.com", "expires_at": "2020-01-01T00:00:00Z",
          "hash": "sha256:27e2806f7dacb5fd482ceb2ff2581fca8e76dad9ef1cd20d1873006818c63029" },
    ]);
    json!({ "provider": "in-memory", "implementation": "api-key", "settings": { "keys": keys } })
}

fn config(server: &HttpFixture, provider: Option<Value>) -> String {
    let plugins = provider.map(|provider| ("auth_provider", provider));
    let plugins: BTreeMap<_, _> = plugins.into_iter().collect();
    json!({ "servers": { "one": remote(&server.url()) }, "plugins": plugins }).to_string()
}

async fn start(server: &HttpFixture) -> Result<Gateway> {
    let gateway = Gateway::builder(BINARY)
        .config(config(server, Some(provider())))
        .variable("MCP_GATEWAY_LOG", "trace")
        .start()
        .await?;
    let (url, key) = (gateway.url("/mcp"), ("x-api-key", ADA));
    let ada = Session::open_with(Era::Modern, &url, &[key]).await?;
    ada.wait_for_tool("echo").await?;
    Ok(gateway)
}

async fn initialize(gateway: &Gateway, headers: &[(&str, &str)]) -> Result<Answer> {
    let client = RawClient::default();
    let message = initialize_message("2025-11-25");
    client.post(&gateway.url("/mcp"), headers, message).await
}

/// Holds an answer to a refusal that says what to do and how.
fn assert_refused(answer: &Answer, says: &str) -> Result<()> {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let message = answer.message()?;
    let text = message
        .pointer("/error/message")
        .and_then(Value::as_str)
        .context("a message")?;
    assert!(text.contains(says), "{text}");
    Ok(())
}

#[tokio::test]
async fn each_key_is_its_users_and_no_key_is_ever_written_down() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = start(&server).await?;
    let bearer = format!("Bearer {BOB}");
    let callers = [
        (("x-api-key", ADA), "ada@example.com"),
        (("authorization", bearer.as_str()), "bob@example.com"),
    ];
    for (header, user) in callers {
        for era in Era::BOTH {
            let session = Session::open_with(era, &gateway.url("/mcp"), &[header]).await?;
            let result = session.call("whoami", json!({})).await?.result()?;
            let seen = result.to_string();
            assert!(
                !seen.contains(ADA) && !seen.contains(BOB),
                "the server got the key: {seen}"
            );
        }
        let is_theirs =
            |event: &Value| event["event_type"] == "tool_call" && event["user_id"] == user;
        let event = gateway.wait_for_audit(is_theirs).await?;
        assert_eq!(event["result"], "ok", "{event}");
    }
    let wrong = ADA.replace("3b8c", "3b8d");
    for key in [OLD, wrong.as_str()] {
        initialize(&gateway, &[("x-api-key", key)]).await?;
    }
    let exit = gateway.stop().await?;
    let said = format!("{}{}", exit.stdout.join("\n"), exit.stderr.join("\n"));
    for key in [ADA, BOB, OLD, &wrong] {
        let secret = key.rsplit('_').next().context("a secret")?;
        assert!(!said.contains(secret), "{key} is in {said}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_good_key_nothing_is_served_and_what_to_do_is_said() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = start(&server).await?;
    assert_refused(&initialize(&gateway, &[]).await?, "send a credential")?;
    let wrong = ADA.replace("3b8c", "3b8d");
    let unknown = ADA.replace("_ada_", "_eve_");
    let refused = [
        (wrong.as_str(), "not the secret of the key `ada`"),
        (unknown.as_str(), "there is no API key with this id"),
        (OLD, "the key `old` expired at 2020-01-01T00:00:00Z"),
        ("hunter2", "the form of an API key"),
    ];
    for (key, reason) in refused {
        let answer = initialize(&gateway, &[("x-api-key", key)]).await?;
        assert_refused(&answer, "the credential is not accepted")?;
        assert!(!answer.text().contains(reason), "{}", answer.text());
        let is_why = |event: &Value| event["metadata"]["reason"].to_string().contains(reason);
        let event = gateway.wait_for_audit(is_why).await?;
        assert_eq!(event["result"], "denied", "{event}");
        assert_eq!(event.get("user_id"), None, "{event}");
    }
    assert_eq!(server.calls(), 0);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_is_of_no_use_with_another_key() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = start(&server).await?;
    let url = gateway.url("/mcp");
    let ada = Session::open_with(Era::Legacy, &url, &[("x-api-key", ADA)]).await?;
    ada.call_text("echo", json!({})).await?;
    let client = RawClient::default();
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let session = ("mcp-session-id", ada.id().context("a session id")?);
    let version = ("mcp-protocol-version", "2025-11-25");
    let stolen = client
        .post(&url, &[session, version, ("x-api-key", BOB)], call)
        .await?;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND, "{}", stolen.text());
    let bare = client.post(&url, &[session, version], call).await?;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED, "{}", bare.text());
    assert_eq!(server.calls(), 1);
    ada.call_text("echo", json!({})).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_the_file_stops_at_once() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    // Even where it is remembered whose key it is.
    let mut remembered = provider();
    remembered["cache"] = json!({ "ttl": "1h" });
    let gateway = Gateway::builder(BINARY)
        .config(config(&server, Some(remembered.clone())))
        .start()
        .await?;
    let url = gateway.url("/mcp");
    let ada = Session::open_with(Era::Legacy, &url, &[("x-api-key", ADA)]).await?;
    ada.wait_for_tool("echo").await?;
    let mut without = remembered;
    without["settings"]["keys"]
        .as_array_mut()
        .context("keys")?
        .remove(0);
    gateway
        .apply_config(&config(&server, Some(without)))
        .await?;
    let refused = ada.call("echo", json!({})).await?;
    assert_refused(&refused, "the credential is not accepted")?;
    let bob = Session::open_with(Era::Modern, &url, &[("x-api-key", BOB)]).await?;
    bob.call_text("echo", json!({})).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_a_gateway_that_asks_for_keys_listens_on_other_addresses() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let open = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let implicit = json!({ "provider": "in-memory", "implementation": "desktop-implicit" });
    for provider in [None, Some(implicit)] {
        let exit = Gateway::builder(BINARY)
            .config(config(&server, provider.clone()))
            .listen(open)
            .run()
            .await?;
        let said = exit.stderr.join("\n");
        assert_eq!(exit.code, Some(2), "{said}");
        assert!(said.contains("plugins.auth_provider"), "{said}");
        assert!(said.contains("listen on 127.0.0.1"), "{said}");
    }

    let gateway = Gateway::builder(BINARY)
        .config(config(&server, Some(provider())))
        .listen(open)
        .start()
        .await?;
    let url = format!("http://127.0.0.1:{}/mcp", gateway.address().port());
    let ada = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA)]).await?;
    ada.request("tools/list", json!({})).await?.result()?;
    let client = RawClient::default();
    let elsewhere = [("host", "gateway.example"), ("x-api-key", ADA)];
    let answer = client
        .post(&url, &elsewhere, initialize_message("2025-11-25"))
        .await?;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());

    // Nor can it stop asking while it runs.
    gateway.edit_config(&config(&server, None))?;
    gateway
        .wait_for_log(&[
            "configuration refused",
            "plugins.auth_provider",
            "is missing",
        ])
        .await?;
    assert_refused(
        &client
            .post(&url, &[], initialize_message("2025-11-25"))
            .await?,
        "send",
    )?;
    gateway.stop().await?;
    Ok(())
}
