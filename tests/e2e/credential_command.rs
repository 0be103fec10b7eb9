//! `mcp-gateway credential`: values stored, shown and deleted, and what a running gateway makes of them.

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::home::{Done, Home};
use gateway_tests::principals::{ADA, open, start};
use gateway_tests::secrets::{named, secret};
use gateway_tests::servers::{remote, with};
use gateway_tests::{Era, Gateway};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The code of a request for which a credential is missing or not accepted.
const CREDENTIALS_REQUIRED: i64 = 1006;

const CONFIG: &str = "\
plugins:
  credential_storage: { provider: in-memory, implementation: encrypted-file }
  auth_proxy: { provider: in-memory, implementation: bearer }
servers:
  web: { type: remote, endpoint: \"https://mcp.example.com/mcp\", credentials: required }
  open: https://mcp.example.org/mcp
";

/// Runs a command for a gateway that runs on its own workspace.
fn beside(home: &Home, gateway: &Gateway, input: &str, arguments: &[&str]) -> Result<Done> {
    let (config, data) = (gateway.workspace.config(), gateway.workspace.data());
    let (config, data) = (config.to_string_lossy(), data.to_string_lossy());
    let place = ["--config", &config, "--data-dir", &data];
    home.pipe(input, &[arguments, &place].concat())
}

#[tokio::test]
async fn a_credential_mends_a_refusal_while_the_gateway_runs() -> Result<()> {
    let server = HttpFixture::start(Options {
        bearers: ["token-1", "token-2"].map(secret).to_vec(),
        ..Options::default()
    })
    .await?;
    let wanting = with(remote(&server.url()), "credentials", "required");
    let gateway = start(BINARY, "web", wanting, &[]).await?;
    let home = Home::new(BINARY)?;
    let ada = open(&gateway, Era::Modern, ADA).await?;
    let refused = ada.call("whoami", json!({})).await?;
    assert_eq!(refused.error_code()?, CREDENTIALS_REQUIRED);

    // As the error says it.
    let said = refused.text();
    let command = said.split('`').find(|part| part.contains("credential set"));
    let command = command.context("no command is named")?;
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    for token in ["token-1", "token-2"].map(secret) {
        let done = beside(&home, &gateway, &format!("{token}\n"), &words)?;
        assert_eq!(done.code, Some(0), "{done:?}");
        let seen = ada.call_structured("whoami", json!({})).await?;
        let headers = seen.get("headers").context("the server says no headers")?;
        assert_eq!(headers["authorization"], named(&format!("Bearer {token}")));
        assert_eq!(headers.get("x-api-key"), None, "the client's own key stays");
    }
    let deleted = beside(
        &home,
        &gateway,
        "",
        &["credential", "delete", "web", "--user", "ada"],
    )?;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    let refused = ada.call("whoami", json!({})).await?;
    assert_eq!(refused.error_code()?, CREDENTIALS_REQUIRED);

    gateway.stop().await?;
    Ok(())
}

#[test]
fn what_is_stored_is_listed_without_its_value() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", CONFIG)?;
    let mut said = String::new();
    for (value, arguments) in [
        ("2\n", &["web"][..]),
        ("3", &["web", "--type", "api_key"]),
        ("4\r\n", &["open"]),
        ("5\n", &["web", "--user", "ada"]),
    ] {
        let done = home.pipe(
            &secret(value),
            &[&["credential", "set"], arguments].concat(),
        )?;
        assert_eq!(done.code, Some(0), "{done:?}");
        said.push_str(&done.stdout);
        said.push_str(&done.stderr);
    }
    insta::assert_snapshot!(said, @"
    the credential `bearer` of desktop-user for server `web` is stored
    the credential `api_key` of desktop-user for server `web` is stored
    the credential `bearer` of desktop-user for server `open` is stored
    warning: server `open` has `credentials: none`, so nothing goes along: make it `optional` or `required` in ~/gateway.yaml
    the credential `bearer` of ada for server `web` is stored
    ");
    let listed = home.ok(&["credential", "list"])?;
    let times = [(r"\d{4}-\S+Z", "TIME")];
    insta::with_settings!({ filters => times }, {
        insta::assert_snapshot!(listed, @"
        SERVER  TYPE     USER          CREATED_AT
        open    bearer   desktop-user  TIME
        web     api_key  desktop-user  TIME
        web     bearer   desktop-user  TIME
        ");
    });
    home.ok(&["credential", "delete", "web", "--type", "api_key"])?;
    let listed = home.ok(&["credential", "list", "-o", "json"])?;
    let listed: Vec<Value> = serde_json::from_str(&listed)?;
    assert_eq!(listed.len(), 2, "{listed:?}");
    Ok(())
}

#[test]
fn a_value_that_is_typed_does_not_show() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", CONFIG)?;
    let done = home.type_unseen(&secret("typed"), &["credential", "set", "web"])?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let shown = done.stdout.replace(": \n", ":\n");
    insta::assert_snapshot!(shown, @"
    the credential `bearer` of desktop-user for server `web`:
    the credential `bearer` of desktop-user for server `web` is stored
    ");
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said_and_stores_nothing() -> Result<()> {
    let home = Home::new(BINARY)?;
    let mut said = String::new();
    let mut refuse = |input: &str, arguments: &[&str]| -> Result<()> {
        let done = home.pipe(input, &[&["credential"], arguments].concat())?;
        assert!(done.stdout.is_empty() && done.code != Some(0), "{done:?}");
        said.push_str(&format!(
            "{} {}\n",
            done.code.unwrap_or_default(),
            done.stderr
        ));
        Ok(())
    };
    refuse(&secret("x"), &["set", "web"])?;
    home.write("gateway.yaml", &CONFIG.replace("encrypted-file", "memory"))?;
    refuse("", &["list"])?;
    home.write("gateway.yaml", CONFIG)?;
    refuse(&secret("x"), &["set", "wab"])?;
    refuse("\n", &["set", "web"])?;
    refuse("", &["delete", "web"])?;
    refuse(&secret(&"x".repeat(70_000)), &["set", "web"])?;
    refuse(&secret("x"), &["set", "web", "x"])?;
    insta::assert_snapshot!(said, @"
    2 error: ~/.config/mcp-gateway/gateway.yaml: plugins.credential_storage is `none`, which stores nothing. Put there:

    plugins:
      credential_storage: { provider: in-memory, implementation: encrypted-file }
      auth_proxy: { provider: in-memory, implementation: bearer }

    2 error: ~/gateway.yaml: plugins.credential_storage is `memory`, which is in the gateway's memory, where no command reaches it. Put there:

    plugins:
      credential_storage: { provider: in-memory, implementation: encrypted-file }
      auth_proxy: { provider: in-memory, implementation: bearer }

    2 error: ~/gateway.yaml has no server `wab`: see `mcp-gateway server list`

    2 error: no value was given: type it when asked, or pipe it to standard input

    2 error: the credential `bearer` of desktop-user for server `web` is not stored: see `mcp-gateway credential list --user desktop-user`

    1 error: the credential is too long: the value is longer than 65536 bytes

    2 error: unexpected argument 'x' found

    Usage: mcp-gateway credential set [OPTIONS] <SERVER>

    For more information, try '--help'.
    ");
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_named_with_what_to_do() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", CONFIG)?;
    home.pipe(&secret("x"), &["credential", "set", "web"])?;
    let key = home.path().join(".local/share/mcp-gateway/credentials.key");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644))?;
    let done = home.pipe(&secret("y"), &["credential", "set", "web"])?;
    insta::assert_snapshot!(done.stderr, @"error: the credential storage cannot be used: ~/.local/share/mcp-gateway/credentials.key can be read by others: chmod 600 it");
    Ok(())
}
