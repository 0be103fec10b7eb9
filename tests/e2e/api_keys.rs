//! API keys: who is let in, as whom, and what is said to everybody else.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::raw::{Answer, RawClient};
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, BOB_HASH, BOB_KEY, OLD_HASH, OLD_KEY, secret};
use gateway_tests::servers::remote;
use gateway_tests::session::initialize_message;
use gateway_tests::tls::{Signer, Tunnel};
use gateway_tests::{Era, Gateway, Session, Workspace};
use http::StatusCode;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn provider() -> Value {
    let keys = json!([
        { "id": "ada", "user_id": "ada@example.com",
          "hash": ADA_HASH },
        { "id": "bob", "user_id": "bob@example.com", "expires_at": "2099-01-01T00:00:00Z",
          "hash": BOB_HASH },
        { "id": "old", "user_id": "ada@example.com", "expires_at": "2020-01-01T00:00:00Z",
          "hash": OLD_HASH },
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
    let (url, key) = (gateway.url("/mcp"), ("x-api-key", ADA_KEY));
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
    let bearer = format!("Bearer {BOB_KEY}");
    let callers = [
        (("x-api-key", ADA_KEY), "ada@example.com"),
        (("authorization", bearer.as_str()), "bob@example.com"),
    ];
    for (header, user) in callers {
        for era in Era::BOTH {
            let session = Session::open_with(era, &gateway.url("/mcp"), &[header]).await?;
            let result = session.call("whoami", json!({})).await?.result()?;
            // A key that the server got would be here.
            assert!(result["structuredContent"]["headers"].is_object());
        }
        let is_theirs =
            |event: &Value| event["event_type"] == "tool_call" && event["user_id"] == user;
        let event = gateway.wait_for_audit(is_theirs).await?;
        assert_eq!(event["result"], "ok", "{event}");
    }
    let wrong = ADA_KEY.replace("3b8c", "3b8d");
    for key in [OLD_KEY, wrong.as_str()] {
        initialize(&gateway, &[("x-api-key", key)]).await?;
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn without_a_good_key_nothing_is_served_and_what_to_do_is_said() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = start(&server).await?;
    assert_refused(&initialize(&gateway, &[]).await?, "send a credential")?;
    let wrong = ADA_KEY.replace("3b8c", "3b8d");
    let unknown = ADA_KEY.replace("_ada_", "_eve_");
    let word = secret("word");
    let refused = [
        (wrong.as_str(), "not the secret of the key `ada`"),
        (unknown.as_str(), "there is no API key with this id"),
        (OLD_KEY, "the key `old` expired at 2020-01-01T00:00:00Z"),
        (word.as_str(), "the form of an API key"),
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
    let ada = Session::open_with(Era::Legacy, &url, &[("x-api-key", ADA_KEY)]).await?;
    ada.call_text("echo", json!({})).await?;
    let client = RawClient::default();
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let session = ("mcp-session-id", ada.id().context("a session id")?);
    let version = ("mcp-protocol-version", "2025-11-25");
    let stolen = client
        .post(&url, &[session, version, ("x-api-key", BOB_KEY)], call)
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
    let ada = Session::open_with(Era::Legacy, &url, &[("x-api-key", ADA_KEY)]).await?;
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
    let bob = Session::open_with(Era::Modern, &url, &[("x-api-key", BOB_KEY)]).await?;
    bob.call_text("echo", json!({})).await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_a_gateway_that_asks_for_keys_listens_on_other_addresses_by_tls() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let certificates = Workspace::new("")?;
    Signer::new(certificates.path())?.server()?;
    let file = |name: &str| certificates.path().join(name).display().to_string();
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

    let gateway = || {
        let config = config(&server, Some(provider()));
        Gateway::builder(BINARY).config(config).listen(open)
    };
    let exit = gateway().run().await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(2), "{said}");
    assert!(said.contains("without TLS"), "{said}");
    let gateway = gateway()
        .variable("MCP_GATEWAY_TLS_CERT", &file("server.pem"))
        .variable("MCP_GATEWAY_TLS_KEY", &file("server.key"))
        .start()
        .await?;
    let tunnel = Tunnel::start(gateway.address(), &certificates.path().join("ca.pem")).await?;
    let url = tunnel.url("/mcp");
    let ada = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
    ada.request("tools/list", json!({})).await?.result()?;
    let client = RawClient::default();
    let elsewhere = [("host", "gateway.example"), ("x-api-key", ADA_KEY)];
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
