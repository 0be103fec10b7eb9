//! Stored credentials: each caller's own goes along to the servers that want one.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, BOB_HASH, BOB_KEY, VAULT_KEY, named, secret};
use gateway_tests::servers::remote;
use gateway_tests::{Era, Gateway, Session, Workspace};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// What a gateway wrote for `ada` and `bob`, whose secrets for server `one` are called `of-NAME`.
const CREDENTIALS: &str = r#"mcp-gateway-credentials 1 eb1db0ec-f1bc-4988-9f54-60321adcb55c
{"tenant":"default","user":"ada","server":"one","type":"bearer","created_at":"2026-11-26T16:19:27.255819166Z","sealed":"exz3+pXyGNisLAIY1VBP/30178Iqgbz7AC0q7vQ3PuqjE7iopAZ/u+/UEV4="}
{"tenant":"default","user":"bob","server":"one","type":"bearer","created_at":"2026-11-26T16:19:27.594097485Z","sealed":"wLnPEWwWX83udyE0d+MTrGdNikHmD85pPSiNkftEuJobygmjfLmGs4zkHyk="}
"#;

/// The code of a call for which the caller has no credential.
const CREDENTIALS_REQUIRED: i64 = 1006;

fn config(server: &HttpFixture) -> String {
    let keys = json!([
        { "id": "ada", "user_id": "ada",
          "hash": ADA_HASH },
        { "id": "bob", "user_id": "bob",
          "hash": BOB_HASH },
    ]);
    let plugin = |name: &str, settings: Value| json!({ "provider": "in-memory", "implementation": name, "settings": settings });
    let wanting = |mode: &str| {
        let mut server = remote(&server.url());
        if let Some(fields) = server.as_object_mut() {
            fields.insert("credentials".to_owned(), mode.into());
        }
        server
    };
    json!({
        "plugins": {
            "auth_provider": plugin("api-key", json!({ "keys": keys })),
            "credential_storage": plugin("encrypted-file", json!({})),
            "auth_proxy": plugin("bearer", json!({})),
        },
        "servers": { "one": wanting("required"), "two": wanting("required"), "three": wanting("optional") },
    })
    .to_string()
}

/// A workspace in which credentials are stored already.
fn workspace(config: &str) -> Result<Arc<Workspace>> {
    let workspace = Workspace::new(config)?;
    let data = workspace.folder("data")?;
    std::fs::write(data.join("credentials"), CREDENTIALS)?;
    let key = data.join("credentials.key");
    std::fs::write(&key, format!("{VAULT_KEY}\n"))?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    Ok(Arc::new(workspace))
}

/// The `Authorization` that a server was sent with a call.
async fn sent(session: &Session, tool: &str) -> Result<Value> {
    let result = session.call(tool, json!({})).await?.result()?;
    let headers = result.pointer("/structuredContent/headers");
    let headers = headers.context("the server says no headers")?;
    Ok(headers.get("authorization").cloned().unwrap_or_default())
}

#[tokio::test]
async fn each_callers_own_credential_goes_along() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace(&config(&server))?)
        .variable("MCP_GATEWAY_LOG", "trace")
        .start()
        .await?;
    let url = gateway.url("/mcp");
    for era in Era::BOTH {
        for (key, user) in [(ADA_KEY, "ada"), (BOB_KEY, "bob")] {
            let session = Session::open_with(era, &url, &[("x-api-key", key)]).await?;
            session.wait_for_tool("one__whoami").await?;
            assert_eq!(
                sent(&session, "one__whoami").await?,
                named(&format!("Bearer {}", secret(&format!("of-{user}"))))
            );
            assert_eq!(
                sent(&session, "three__whoami").await?,
                Value::Null,
                "none is stored"
            );
            let calls = server.calls();
            let refused = session.call("two__echo", json!({})).await?;
            assert_eq!(
                refused.error_code()?,
                CREDENTIALS_REQUIRED,
                "{}",
                refused.text()
            );
            assert!(
                refused.text().contains("mcp-gateway credential set two"),
                "{}",
                refused.text()
            );
            assert_eq!(server.calls(), calls, "nothing was forwarded");
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_storage_that_cannot_be_read_is_an_error_and_not_a_missing_credential() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let workspace = workspace(&config(&server))?;
    let key = workspace.data().join("credentials.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    let session =
        Session::open_with(Era::Modern, &gateway.url("/mcp"), &[("x-api-key", ADA_KEY)]).await?;
    let refused = session.call("one__echo", json!({})).await?;
    assert!(
        refused
            .text()
            .contains("the credential storage cannot be used"),
        "{}",
        refused.text()
    );
    assert!(
        !refused.text().contains("credentials.key"),
        "{}",
        refused.text()
    );
    gateway
        .wait_for_log(&["credentials.key", "chmod 600"])
        .await?;
    assert_eq!(server.calls(), 0);
    gateway.stop().await?;
    Ok(())
}
