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
    5:5: plugins.credential_storage.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    10:5: plugins.auth_proxy.server: a plugin in a container (type: image) needs a container engine, which this version does not drive yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    ");
}

#[test]
fn the_desktop_example_says_what_is_missing() {
    insta::assert_snapshot!(missing(include_str!("examples/desktop.yaml")).unwrap(), @"8:5: plugins.credential_storage.server: a plugin in a container (type: image) needs a container engine, which this version does not drive yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`");
}

#[test]
fn the_kubernetes_example_says_what_is_missing() {
    insta::assert_snapshot!(missing(include_str!("examples/kubernetes.yaml")).unwrap(), @r"
    4:5: plugins.auth_provider.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    8:5: plugins.credential_storage.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    12:5: plugins.auth_proxy.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    ");
}
