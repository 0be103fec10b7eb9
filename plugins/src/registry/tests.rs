//! What is refused and how, how gaps are filled, and what a change keeps.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::load_yaml;
use gateway_core::plugin::{Action, Authentication, ItemKind};
use gateway_core::{CallContext, Credential, Deadline, Principal, RequestId};

use super::*;

const DESKTOP: Role = Role::Desktop {
    loopback_only: true,
};
const REPLICA: Role = Role::DataPlane {
    loopback_only: false,
};

fn plugins(yaml: &str) -> PluginsConfig {
    load_yaml(yaml).unwrap().plugins
}

fn context() -> CallContext {
    let deadline = Deadline::after(Duration::from_secs(60));
    CallContext::new(TenantId::default(), deadline, RequestId::new("r1"))
}

fn said(role: Role, yaml: &str) -> String {
    let mut text = String::new();
    for violation in Registry::new(role).check(&plugins(yaml)) {
        writeln!(text, "{}: {}", violation.path, violation.reason).unwrap();
    }
    text
}

async fn who(plugins: &Plugins) -> Authentication {
    let credential = Credential::none();
    plugins
        .auth_provider
        .validate_credential(&context(), &credential)
        .await
        .unwrap()
}

async fn may(plugins: &Plugins) -> bool {
    let server = "files".parse().unwrap();
    let action = Action {
        server: &server,
        method: "tools/call",
        kind: ItemKind::Tool,
        name: "read",
    };
    let principal = Principal::named("ada".parse().unwrap());
    let evaluator = &plugins.policy_evaluator;
    let decisions = evaluator
        .check_access(&context(), &principal, &[action])
        .await
        .unwrap();
    decisions[0].is_allowed()
}

#[test]
fn says_what_is_wrong_with_an_implementation() {
    let yaml = "
plugins:
  auth_provider: { provider: in-memory, implementation: desktop-implict }
  credential_storage: { provider: in-memory, implementation: always-allow }
  audit_sink:
    - { name: a, provider: in-memory, implementation: stdout, settings: { path: /x, level: 3 } }
    - { name: b, provider: in-memory, implementation: syslog, durability: disk }
    - { name: c, provider: in-memory, implementation: stderr, durability: disk }
  policy_evaluator: { provider: in-memory, implementation: stdout }
  telemetry: { provider: in-memory, implementation: none }
";
    insta::assert_snapshot!(said(DESKTOP, yaml), @r"
    plugins.auth_provider.implementation: there is no implementation `desktop-implict`, did you mean `desktop-implicit`?; `auth_provider` has `desktop-implicit` and `api-key`
    plugins.credential_storage.implementation: `always-allow` is an implementation of `policy_evaluator`; `credential_storage` has `none`, `memory`, `encrypted-file` and `keychain`
    plugins.audit_sink[0].settings.path: is unknown: this implementation has no settings
    plugins.audit_sink[0].settings.level: is unknown: this implementation has no settings
    plugins.audit_sink[1].implementation: there is no implementation `syslog`; `audit_sink` has `stdout`, `stderr` and `file`
    plugins.audit_sink[2].durability: only `file` and provider `mcp` can promise `disk`: `stderr` writes each event before the request is answered, which is `process`
    plugins.policy_evaluator.implementation: `stdout` is an implementation of `audit_sink`; `policy_evaluator` has `always-allow` and `rules`
    plugins.telemetry.implementation: `none` is an implementation of `credential_storage`, `auth_proxy` and `mcp_provisioner`; `telemetry` has `noop` and `prometheus`
    ");
}

#[test]
fn says_what_each_type_of_plugin_server_lacks() {
    let yaml = "
plugins:
  auth_provider: { provider: mcp, server: { type: registry, name: io.example/auth, version: 1.0.0 } }
  credential_storage: { provider: mcp, server: 'catalog://registry.example/team/plugins:v1/store' }
  auth_proxy: { provider: mcp, server: { type: image, image: registry.example/proxy } }
  audit_sink: { provider: mcp, server: 'https://audit.example' }
  policy_evaluator: { provider: mcp, server: { type: command, command: policy } }
  mcp_provisioner: { provider: mcp, server: { type: sidecar, port: 9000 } }
  telemetry: { provider: mcp, server: { type: sidecar, socket: /run/telemetry.sock } }
";
    insta::assert_snapshot!(said(DESKTOP, yaml), @r"
    plugins.auth_provider.server: a plugin from the community registry (type: registry) needs a registry client, which this version does not have yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    plugins.credential_storage.server: a plugin from a catalog (type: catalog) needs a catalog client, which this version does not have yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    plugins.auth_proxy.server: a plugin in a container (type: image) needs a container engine, which this version does not drive yet: start it yourself, and say where it is with type `remote`, `sidecar` or `command`
    ");
}

#[test]
fn the_implicit_user_is_for_loopback_listeners_only() {
    let yaml =
        "plugins: { auth_provider: { provider: in-memory, implementation: desktop-implicit } }";
    assert_eq!(said(DESKTOP, yaml), "");
    let replica = Role::DataPlane {
        loopback_only: true,
    };
    assert_eq!(said(replica, yaml), "");
    let desktop = Role::Desktop {
        loopback_only: false,
    };
    assert_eq!(said(desktop, yaml), said(REPLICA, yaml));
    let keys = "plugins: { auth_provider: { provider: in-memory, implementation: api-key } }";
    assert_eq!(said(desktop, keys), "");
    insta::assert_snapshot!(said(desktop, "servers: {}"), @"plugins.auth_provider: is missing: without it every caller is taken for the user of this machine, which only a loopback listener can bear: configure an `auth_provider` that checks credentials, or listen on 127.0.0.1");
    insta::assert_snapshot!(said(REPLICA, yaml), @"plugins.auth_provider.implementation: `desktop-implicit` takes every caller for the user of this machine, which only a loopback listener can bear: configure an `auth_provider` that checks credentials, or listen on 127.0.0.1");
}

#[test]
fn what_belongs_to_the_machine_is_for_desktops_only() {
    let yaml =
        "plugins: { credential_storage: { provider: in-memory, implementation: encrypted-file } }";
    assert_eq!(said(DESKTOP, yaml), "");
    insta::assert_snapshot!(said(REPLICA, yaml), @"plugins.credential_storage.implementation: `encrypted-file` keeps what it has on the machine that it runs on, which belongs to nobody's tenant: only a desktop can have it");
}

#[test]
fn a_proxy_that_reads_a_storage_goes_with_its_storage() {
    let alone = "plugins: { auth_proxy: { provider: in-memory, implementation: bearer } }";
    insta::assert_snapshot!(said(DESKTOP, alone), @"plugins.auth_proxy.implementation: `bearer` reads what the `credential_storage` keeps, which is missing: configure one beside it");
    let with = |timeout: &str| {
        plugins(&format!(
            "plugins:
  auth_proxy: {{ provider: in-memory, implementation: bearer }}
  credential_storage: {{ provider: in-memory, implementation: memory{timeout} }}"
        ))
    };
    let (registry, tenant) = (Registry::new(DESKTOP), TenantId::default());
    let before = with("");
    let built = registry.build(&tenant, &before, &()).unwrap();
    let after = with(", timeout: 1s");
    let rebuilt = registry
        .rebuild(&tenant, &after, &(), (&before, &built))
        .unwrap();
    assert!(!Arc::ptr_eq(
        &built.credential_storage,
        &rebuilt.credential_storage
    ));
    assert!(!Arc::ptr_eq(&built.auth_proxy, &rebuilt.auth_proxy));
}

#[tokio::test]
async fn a_desktop_fills_gaps_with_its_user_and_a_replica_with_refusals() {
    let empty = PluginsConfig::default();
    let desktop = Registry::new(DESKTOP)
        .build(&TenantId::default(), &empty, &())
        .unwrap();
    let Authentication::Accepted(principal) = who(&desktop).await else {
        panic!("the desktop's user is refused");
    };
    assert_eq!(principal, Principal::named("desktop-user".parse().unwrap()));
    assert!(may(&desktop).await);

    for role in [
        REPLICA,
        Role::DataPlane {
            loopback_only: true,
        },
    ] {
        let replica = Registry::new(role)
            .build(&TenantId::default(), &empty, &())
            .unwrap();
        assert!(matches!(
            who(&replica).await,
            Authentication::Rejected { .. }
        ));
        assert!(!may(&replica).await);
    }
}

#[test]
fn builds_nothing_when_one_plugin_is_wrong() {
    let config = plugins(
        "
plugins:
  audit_sink: { provider: in-memory, implementation: stdout }
  telemetry: { provider: in-memory, implementation: otlp }
",
    );
    let registry = Registry::new(DESKTOP);
    let violations = registry
        .build(&TenantId::default(), &config, &())
        .unwrap_err();
    assert_eq!(violations, registry.check(&config));
    assert_eq!(violations.len(), 1);
}

/// What a plugin must be configured with where it cannot do without.
fn needed(name: &str) -> &'static str {
    match name {
        "header" => ", settings: { header: x-key, credential_type: key }",
        _ => "",
    }
}

#[test]
fn every_name_that_is_known_can_be_built() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new(DESKTOP).with_data_dir(folder.path());
    for kind in PluginKind::ALL {
        for name in implementations::names(kind) {
            let settings = needed(name);
            let storage = match kind {
                PluginKind::AuthProxy => {
                    "credential_storage: { provider: in-memory, implementation: memory },"
                }
                _ => "",
            };
            let yaml = format!(
                "plugins: {{ {storage} {kind}: {{ provider: in-memory, implementation: {name}{settings} }} }}"
            );
            let config = plugins(&yaml);
            assert_eq!(registry.check(&config), []);
            registry.build(&TenantId::default(), &config, &()).unwrap();
        }
    }
}

#[test]
fn a_change_keeps_what_it_does_not_touch() {
    let registry = Registry::new(DESKTOP);
    let tenant = TenantId::default();
    let before =
        plugins("plugins: { audit_sink: { provider: in-memory, implementation: stdout } }");
    let built = registry.build(&tenant, &before, &()).unwrap();

    let after = plugins(
        "
plugins:
  audit_sink:
    - { name: out, provider: in-memory, implementation: stdout }
    - { name: err, provider: in-memory, implementation: stderr }
",
    );
    let rebuilt = registry
        .rebuild(&tenant, &after, &(), (&before, &built))
        .unwrap();
    assert!(!Arc::ptr_eq(&built.audit_sink, &rebuilt.audit_sink));
    assert!(Arc::ptr_eq(&built.auth_provider, &rebuilt.auth_provider));
    assert!(Arc::ptr_eq(
        &built.credential_storage,
        &rebuilt.credential_storage
    ));
    assert!(Arc::ptr_eq(&built.auth_proxy, &rebuilt.auth_proxy));
    assert!(Arc::ptr_eq(
        &built.policy_evaluator,
        &rebuilt.policy_evaluator
    ));
    assert!(Arc::ptr_eq(
        &built.mcp_provisioner,
        &rebuilt.mcp_provisioner
    ));
    assert!(Arc::ptr_eq(&built.telemetry, &rebuilt.telemetry));

    let again = registry
        .rebuild(&tenant, &after, &(), (&after, &rebuilt))
        .unwrap();
    assert!(Arc::ptr_eq(&again.audit_sink, &rebuilt.audit_sink));
}
