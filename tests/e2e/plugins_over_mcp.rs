//! Each trait's suite, run against implementations that `plugin serve` serves.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_core::config::load_yaml;
use gateway_core::plugin::{ItemKind, Plugins};
use gateway_core::{Credential, Principal, SecretString, TenantId};
use gateway_data_plane::{Commands, Limits, Permits};
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::suite::{self, Access, Accounts, Keeping, Report, Rules};
use gateway_plugins::{Registry, Role, SecretResolver};
use gateway_tests::Workspace;
use gateway_tests::secrets::{ADA_HASH, ADA_KEY};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn permits() -> Result<Permits> {
    Ok(Permits {
        registry: Registry::new(Role::Desktop {
            loopback_only: true,
        }),
        secrets: SecretResolver::desktop(),
        connector: Connector::new(NetworkPolicy::desktop())?,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
        connects_at_once: true,
    })
}

/// Plugins of which one is served as a child process; what it is served with is its document.
fn over_stdio(
    workspace: &Workspace,
    kind: &str,
    implementation: &str,
    served: &Value,
) -> Result<Plugins> {
    let file = workspace.path().join("plugin.yaml");
    std::fs::write(&file, json!({ "plugins": served }).to_string())?;
    let data = workspace.path().join("plugin-data");
    let server = json!({
        "type": "command",
        "command": BINARY,
        "args": ["plugin", "serve", implementation, "--stdio", "-f", file, "--data-dir", data],
    });
    let plugins = json!({ kind: { "provider": "mcp", "server": server, "timeout": "10s" } });
    let config = load_yaml(&json!({ "plugins": plugins }).to_string())?;
    let permits = permits()?;
    let built = permits
        .registry
        .build(&TenantId::default(), &config.plugins, &permits);
    built.map_err(|violations| anyhow::anyhow!("{violations:?}"))
}

fn passed(report: &Report) -> Result<()> {
    ensure!(report.failures().is_empty(), "{report}");
    Ok(())
}

fn api_key(value: &str) -> Credential {
    Credential {
        credential_type: "api_key".to_owned(),
        value: SecretString::from(value),
    }
}

#[tokio::test]
async fn authentication_passes() -> Result<()> {
    let workspace = Workspace::new("")?;
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let served = json!({ "auth_provider": {
        "provider": "in-memory", "implementation": "api-key", "settings": { "keys": keys },
    } });
    let plugins = over_stdio(&workspace, "auth_provider", "api-key", &served)?;
    let accounts = Accounts {
        accepted: vec![(api_key(ADA_KEY), "ada@example.com".parse()?)],
        rejected: vec![api_key("key-of-nobody"), Credential::none()],
    };
    let provider = Arc::clone(&plugins.auth_provider);
    passed(&suite::auth_provider(provider, accounts).await)
}

#[tokio::test]
async fn credential_storage_passes() -> Result<()> {
    let workspace = Workspace::new("")?;
    let plugins = over_stdio(&workspace, "credential_storage", "memory", &json!({}))?;
    let storage = Arc::clone(&plugins.credential_storage);
    passed(&suite::credential_storage(storage, Keeping::Everything).await)
}

#[tokio::test]
async fn policy_passes() -> Result<()> {
    let workspace = Workspace::new("")?;
    let rules = json!([{ "effect": "deny", "names": ["write"] }, { "effect": "allow" }]);
    let served = json!({ "policy_evaluator": {
        "provider": "in-memory", "implementation": "rules", "settings": { "rules": rules },
    } });
    let plugins = over_stdio(&workspace, "policy_evaluator", "rules", &served)?;
    let access = |name: &str| {
        anyhow::Ok(Access {
            principal: Principal::named("ada".parse()?),
            server: "files".parse().ok().context("a server's name")?,
            method: "tools/call".to_owned(),
            kind: ItemKind::Tool,
            name: name.to_owned(),
        })
    };
    let rules = Rules {
        allowed: vec![access("read")?, access("walk")?],
        denied: vec![access("write")?],
    };
    let evaluator = Arc::clone(&plugins.policy_evaluator);
    passed(&suite::policy_evaluator(evaluator, rules).await)
}

#[tokio::test]
async fn telemetry_passes() -> Result<()> {
    let workspace = Workspace::new("")?;
    let plugins = over_stdio(&workspace, "telemetry", "telemetry-noop", &json!({}))?;
    passed(&suite::telemetry(Arc::clone(&plugins.telemetry)).await)
}
