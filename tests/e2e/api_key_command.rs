//! `mcp-gateway api-key`: keys made, shown and revoked, and what a running gateway makes of them.

use std::sync::Arc;

use anyhow::Result;
use gateway_tests::home::Home;
use gateway_tests::raw::RawClient;
use gateway_tests::session::initialize_message;
use gateway_tests::{Gateway, Workspace, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const CONFIG: &str = "\
# Ours.
plugins:
  auth_provider: { provider: in-memory, implementation: desktop-implicit } # for now
  audit_sink: { provider: in-memory, implementation: stderr }
";

#[test]
fn a_key_is_shown_once_and_kept_as_a_hash() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.write("gateway.yaml", CONFIG)?;
    let done = home.create_key(&[
        "laptop",
        "--user",
        "ada",
        "--role",
        "dev",
        "--expires",
        "2100-01-31",
    ])?;
    let key = done.stdout.trim_end();
    assert!(
        key.starts_with("mgk_laptop_") && !key.contains('\n'),
        "{key}"
    );
    assert!(
        done.stderr.contains("From now on clients need a key"),
        "{done:?}"
    );
    let second = home.create_key(&["phone", "--user", "ada"])?;
    assert!(!second.stderr.contains("From now on"), "{second:?}");

    let config = home.read("gateway.yaml")?;
    assert!(config.starts_with("# Ours.\n"), "{config}");
    assert!(config.contains("audit_sink: { provider: in-memory, implementation: stderr }"));
    home.ok(&["validate", "-f", "gateway.yaml"])?;
    insta::assert_snapshot!(home.ok(&["api-key", "list"])?, @"
    ID      USER_ID  ROLES  GROUPS  EXPIRES_AT
    laptop  ada      dev            2100-01-31T00:00:00Z
    phone   ada
    ");

    home.ok(&["api-key", "revoke", "laptop"])?;
    assert!(
        !home
            .ok(&["api-key", "list", "-o", "json"])?
            .contains("laptop")
    );
    home.ok(&["api-key", "revoke", "phone"])?;
    home.create_key(&["laptop"])?;
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() -> Result<()> {
    let home = Home::new(BINARY)?;
    home.create_key(&["one"])?;
    let file = ".config/mcp-gateway/gateway.yaml";
    let before = home.read(file)?;
    let mut said = String::new();
    for arguments in [
        &["api-key", "create", "one"][..],
        &["api-key", "create", "Two"],
        &["api-key", "create", "two", "--expires", "soon"],
        &["api-key", "create", "two", "--expires", "2020-01-01"],
        &["api-key", "revoke", "two"],
    ] {
        let refusal = home.refused(arguments)?;
        said.push_str(refusal.lines().next().unwrap_or_default());
        said.push('\n');
    }
    insta::assert_snapshot!(said, @"
    error: ~/.config/mcp-gateway/gateway.yaml has a key `one` already: revoke it first, or choose another name
    error: `Two` is no id of a key: use 1 to 32 lower-case letters, digits and hyphens
    error: invalid value 'soon' for '--expires <WHEN>': `soon` is neither a time such as 90d or 12h nor a date such as 2027-01-31
    error: invalid value '2020-01-01' for '--expires <WHEN>': `2020-01-01` is past already
    error: ~/.config/mcp-gateway/gateway.yaml has no key `two`
    ");
    assert_eq!(home.read(file)?, before);
    Ok(())
}

#[tokio::test]
async fn a_running_gateway_takes_a_key_and_refuses_it_once_revoked() -> Result<()> {
    let workspace = Arc::new(Workspace::new(CONFIG)?);
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    let config = workspace.config();
    let home = Home::new(BINARY)?;
    let command = |arguments: &[&str]| {
        let config = config.to_string_lossy();
        home.ok(&[arguments, &["--config", &config]].concat())
    };
    let status = |key: String| {
        let url = gateway.url("/mcp");
        async move {
            let client = RawClient::default();
            let message = initialize_message("2025-11-25");
            let answer = client.post(&url, &[("x-api-key", &key)], message).await;
            answer
                .map(|answer| answer.status.as_u16())
                .unwrap_or_default()
        }
    };
    let created = home.create_key(&["laptop", "--config", &config.to_string_lossy()])?;
    let key = created.stdout.trim_end().to_owned();
    wait::until("the key to be wanted", || async {
        status(String::new()).await == 401
    })
    .await?;
    wait::until("the key to be accepted", || async {
        status(key.clone()).await == 200
    })
    .await?;
    command(&["api-key", "revoke", "laptop"])?;
    wait::until("the key to be refused", || async {
        status(key.clone()).await == 401
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}
