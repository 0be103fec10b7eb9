//! The documented `plugins:` examples load unchanged, and what cannot be built yet is said.

use gateway_core::TenantId;
use gateway_core::config::{ConfigError, load_yaml};
use gateway_plugins::{Registry, Role};

/// What is missing for an example, as whoever wrote it reads it.
fn missing(text: &str) -> Result<String, ConfigError> {
    let config = load_yaml(text)?;
    let registry = Registry::new(Role::Desktop {
        loopback_only: true,
    });
    let violations = registry.check(&config.plugins);
    let built = registry.build(&TenantId::default(), &config.plugins, &());
    assert_eq!(built.err().unwrap_or_default(), violations);
    Ok(ConfigError::locate(text, violations).to_string())
}

#[test]
fn in_memory_plugins_can_be_built() {
    assert_eq!(
        missing(include_str!("examples/in_memory.yaml")).unwrap(),
        ""
    );
}

#[test]
fn plugins_over_mcp_say_what_is_missing() {
    insta::assert_snapshot!(missing(include_str!("examples/over_mcp.yaml")).unwrap(), @r"
    5:5: plugins.credential_storage.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet; in memory, `credential_storage` has `memory`, `encrypted-file` and `keychain`
    10:5: plugins.auth_proxy.server: a plugin in a container (type: image) needs a container engine, which this version does not drive yet; in memory, `auth_proxy` has `bearer` and `header`
    17:5: plugins.policy_evaluator.server: a plugin at a URL (type: remote) needs the adapters for plugins over MCP, which this version does not have yet; in memory, `policy_evaluator` has `always-allow` and `rules`
    ");
}

#[test]
fn the_desktop_example_says_what_is_missing() {
    insta::assert_snapshot!(missing(include_str!("examples/desktop.yaml")).unwrap(), @"8:5: plugins.credential_storage.server: a plugin in a container (type: image) needs a container engine, which this version does not drive yet; in memory, `credential_storage` has `memory`, `encrypted-file` and `keychain`");
}

#[test]
fn the_kubernetes_example_says_what_is_missing() {
    insta::assert_snapshot!(missing(include_str!("examples/kubernetes.yaml")).unwrap(), @r"
    4:5: plugins.auth_provider.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet; in memory, `auth_provider` has `desktop-implicit` and `api-key`
    8:5: plugins.credential_storage.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet; in memory, `credential_storage` has `memory`, `encrypted-file` and `keychain`
    12:5: plugins.auth_proxy.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet; in memory, `auth_proxy` has `bearer` and `header`
    20:5: plugins.policy_evaluator.server: a plugin at a URL (type: remote) needs the adapters for plugins over MCP, which this version does not have yet; in memory, `policy_evaluator` has `always-allow` and `rules`
    ");
}
