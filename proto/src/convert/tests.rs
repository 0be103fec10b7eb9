//! The whole model through every form it takes, and what is refused on the way in.

use gateway_core::config::{check, load_yaml, to_yaml};
use proptest::prelude::*;

use super::*;
use crate::config::v1::{remote_auth, server_spec, setting, sidecar_server};

mod strategies;

fn refused(message: pb::TenantConfig) -> String {
    TenantConfig::try_from(message).unwrap_err().to_string()
}

fn with_server(server: pb::ServerConfig) -> pb::TenantConfig {
    pb::TenantConfig {
        servers: [("a".to_owned(), server)].into(),
        ..Default::default()
    }
}

fn with_kind(kind: server_spec::Kind) -> pb::TenantConfig {
    with_server(pb::ServerConfig {
        spec: Some(pb::ServerSpec { kind: Some(kind) }),
        ..Default::default()
    })
}

fn with_audit(plugin: pb::PluginConfig) -> pb::TenantConfig {
    let plugins = pb::PluginsConfig {
        audit_sink: vec![plugin],
        ..Default::default()
    };
    pb::TenantConfig {
        plugins: Some(plugins),
        ..Default::default()
    }
}

fn in_memory() -> pb::PluginConfig {
    pb::PluginConfig {
        provider: pb::Provider::InMemory.into(),
        ..Default::default()
    }
}

#[test]
fn no_bytes_are_the_default_tenants_empty_configuration() {
    assert_eq!(decode(&[]).unwrap(), TenantConfig::default());
}

#[test]
fn an_unknown_value_of_an_enumeration_names_its_field() {
    let server = pb::ServerConfig {
        isolation: 9,
        ..Default::default()
    };
    assert_eq!(
        refused(with_server(server)),
        "servers.a.isolation: 9 is a value of no known meaning"
    );
    let plugin = pb::PluginConfig {
        durability: -1,
        ..in_memory()
    };
    assert_eq!(
        refused(with_audit(plugin)),
        "plugins.audit_sink[0].durability: -1 is a value of no known meaning"
    );
}

#[test]
fn a_missing_choice_names_its_field() {
    assert_eq!(
        refused(with_server(pb::ServerConfig::default())),
        "servers.a.type: is missing"
    );
    let sidecar = pb::SidecarServer::default();
    assert_eq!(
        refused(with_kind(server_spec::Kind::Sidecar(sidecar))),
        "servers.a.port: is missing"
    );
    let remote = pb::RemoteServer {
        auth: Some(pb::RemoteAuth {
            method: Some(remote_auth::Method::Bearer(pb::SecretRef::default())),
        }),
        ..Default::default()
    };
    assert_eq!(
        refused(with_kind(server_spec::Kind::Remote(remote))),
        "servers.a.auth.bearer: is missing"
    );
    let command = pb::CommandServer {
        env: [("TOKEN".to_owned(), pb::Setting { value: None })].into(),
        ..Default::default()
    };
    assert_eq!(
        refused(with_kind(server_spec::Kind::Command(command))),
        "servers.a.env.TOKEN: is missing"
    );
    assert_eq!(
        refused(with_audit(pb::PluginConfig::default())),
        "plugins.audit_sink[0].provider: is missing"
    );
}

#[test]
fn a_value_out_of_range_names_its_field() {
    let sidecar = pb::SidecarServer {
        auth: None,
        address: Some(sidecar_server::Address::Port(65_536)),
        path: None,
    };
    assert_eq!(
        refused(with_kind(server_spec::Kind::Sidecar(sidecar))),
        "servers.a.port: 65536 is no port: the last is 65535"
    );
    for (seconds, nanos) in [(0, 0), (-1, 0), (1, -1), (0, 1_000_000_000)] {
        let plugin = pb::PluginConfig {
            timeout: Some(prost_types::Duration { seconds, nanos }),
            ..in_memory()
        };
        assert_eq!(
            refused(with_audit(plugin)),
            "plugins.audit_sink[0].timeout: is no positive length of time"
        );
    }
}

#[test]
fn a_name_of_the_wrong_form_names_its_field() {
    let tenant = pb::TenantConfig {
        tenant: "no/path".to_owned(),
        ..Default::default()
    };
    assert!(refused(tenant).starts_with("tenant: `no/path` is not a valid tenant name"));
    let profile = pb::ProfileConfig {
        servers: vec!["good".to_owned(), "not_good".to_owned()],
        tools: None,
    };
    let profiles = pb::TenantConfig {
        profiles: [("dev".to_owned(), profile)].into(),
        ..Default::default()
    };
    assert!(refused(profiles).starts_with("profiles.dev.servers[1]: `not_good`"));
}

#[test]
fn settings_that_json_cannot_hold_are_refused_where_they_are() {
    let number = |number| prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(number)),
    };
    let list = prost_types::Value {
        kind: Some(prost_types::value::Kind::ListValue(
            prost_types::ListValue {
                values: vec![number(1.0), number(f64::NAN)],
            },
        )),
    };
    let settings = |value| pb::PluginConfig {
        settings: Some(prost_types::Struct {
            fields: [("keys".to_owned(), value)].into(),
        }),
        ..in_memory()
    };
    assert_eq!(
        refused(with_audit(settings(list))),
        "plugins.audit_sink[0].settings.keys[1]: NaN is no number"
    );
    assert_eq!(
        refused(with_audit(settings(prost_types::Value { kind: None }))),
        "plugins.audit_sink[0].settings.keys: is missing"
    );
    assert!(refused(with_audit(settings(number(1e300)))).contains("too large"));
}

#[test]
fn a_literal_stays_a_literal_and_a_secret_a_reference() {
    let command = pb::CommandServer {
        command: "npx".to_owned(),
        env: [(
            "TOKEN".to_owned(),
            pb::Setting {
                value: Some(setting::Value::Literal("from_env".to_owned())),
            },
        )]
        .into(),
        ..Default::default()
    };
    let message = with_kind(server_spec::Kind::Command(command));
    let config = TenantConfig::try_from(message.clone()).unwrap();
    assert_eq!(decode(&encode(&config)).unwrap(), config);
    let expected =
        load_yaml("servers:\n  a: { type: command, command: npx, env: { TOKEN: from_env } }\n");
    assert_eq!(config, expected.unwrap());
}

#[test]
fn a_refusal_without_a_reason_is_refused() {
    let silent = crate::push::v1::Refusal {
        tenant: "acme".to_owned(),
        revision: 3,
        violations: Vec::new(),
    };
    assert!(Refusal::try_from(silent).is_err());
}

proptest! {
    #[test]
    fn a_configuration_survives_the_wire(config in strategies::tenant_config()) {
        let bytes = encode(&config);
        let decoded = decode(&bytes).unwrap();
        prop_assert_eq!(&decoded, &config);
        prop_assert_eq!(encode(&decoded), bytes);
    }

    #[test]
    fn a_sound_configuration_survives_yaml_and_the_wire(config in strategies::sound_config()) {
        prop_assert_eq!(check(&config), Vec::new());
        let text = to_yaml(&config).unwrap();
        let read = load_yaml(&text);
        prop_assert_eq!(read.as_ref(), Ok(&config), "{}", text);
        prop_assert_eq!(decode(&encode(&read.unwrap())).unwrap(), config);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        // Most are refused; what is accepted must be a configuration like any other.
        if let Ok(config) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&config)).unwrap(), config);
        }
    }

    #[test]
    fn a_damaged_configuration_does_not_panic(
        config in strategies::tenant_config(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encode(&config).to_vec();
        for (index, byte) in damage {
            let at = index.index(bytes.len().max(1));
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        if let Ok(config) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&config)).unwrap(), config);
        }
    }

    #[test]
    fn a_refusal_survives_the_wire(refusal in strategies::refusal()) {
        let message = crate::push::v1::Refusal::from(refusal.clone());
        prop_assert_eq!(Refusal::try_from(message).unwrap(), refusal);
    }
}
