//! Arbitrary configurations: every variant of the model, and the sound ones among them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gateway_core::config::{
    AuditDurability, AuditOverflow, CacheConfig, CredentialsMode, Isolation, PluginConfig,
    PluginsConfig, ProfileConfig, Provider, RemoteAuth, SecretRef, ServerConfig, ServerSpec,
    ServerTls, Setting, Settings, SidecarAddress, TenantConfig, TimeSpan, ToolFilter, Violation,
    check,
};
use gateway_core::{ProfileName, Revision, ServerName, TenantId};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::Refusal;

pub(super) fn tenant_config() -> impl Strategy<Value = TenantConfig> {
    let parts = (
        tenant(),
        plugins(plugin().boxed()),
        btree_map(server_name(), server(), 0..4),
        btree_map(profile_name(), profile(), 0..3),
    );
    parts.prop_map(|(tenant, plugins, servers, profiles)| TenantConfig {
        tenant,
        plugins,
        servers,
        profiles,
    })
}

/// Configurations that `check` accepts: arbitrary ones without what it objects to.
pub(super) fn sound_config() -> impl Strategy<Value = TenantConfig> {
    let parts = (tenant_config(), plugins(sound_plugin().boxed()));
    parts.prop_map(|(mut config, plugins)| {
        config.plugins = plugins;
        keep_fields_of_each_kind(&mut config.plugins);
        let objections = check(&config);
        config.servers.retain(|name, _| {
            let path = format!("servers.{name}.");
            !objections.iter().any(|found| found.path.starts_with(&path))
        });
        for profile in config.profiles.values_mut() {
            profile.servers = config.servers.keys().cloned().collect();
            let mut seen = BTreeSet::new();
            let rename = &mut profile.tools.rename;
            rename.retain(|_, target| seen.insert(target.clone()));
        }
        config
    })
}

/// Takes away the fields that only other kinds of plugin have, and names what needs a name.
fn keep_fields_of_each_kind(plugins: &mut PluginsConfig) {
    let PluginsConfig {
        auth_provider,
        credential_storage,
        auth_proxy,
        audit_sink,
        policy_evaluator,
        mcp_provisioner,
        telemetry,
    } = plugins;
    for plugin in audit_sink.iter_mut() {
        plugin.cache = None;
    }
    let others = [credential_storage, auth_proxy, mcp_provisioner, telemetry];
    for plugin in others.into_iter().flatten() {
        plugin.cache = None;
        plugin.bearer_type = None;
        plugin.durability = None;
        plugin.on_overflow = None;
    }
    for list in [&mut *audit_sink, &mut *policy_evaluator] {
        let several = list.len() > 1;
        for (index, plugin) in list.iter_mut().enumerate() {
            plugin.name = several.then(|| format!("p{index}"));
            plugin.bearer_type = None;
        }
    }
    for plugin in auth_provider.iter_mut().chain(policy_evaluator) {
        plugin.durability = None;
        plugin.on_overflow = None;
    }
}

pub(super) fn refusal() -> impl Strategy<Value = Refusal> {
    let violation = (text(), text()).prop_map(|(path, reason)| Violation::new(path, reason));
    (tenant(), any::<u64>(), vec(violation, 1..4)).prop_map(|(tenant, revision, violations)| {
        Refusal {
            tenant,
            revision: Revision(revision),
            violations,
        }
    })
}

fn tenant() -> BoxedStrategy<TenantId> {
    "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?"
        .prop_map(|name| name.parse().unwrap())
        .boxed()
}

fn server_name() -> BoxedStrategy<ServerName> {
    "[a-z][a-z0-9-]{0,30}"
        .prop_map(|name| name.parse().unwrap())
        .boxed()
}

fn profile_name() -> BoxedStrategy<ProfileName> {
    "[a-z][a-z0-9-]{0,30}"
        .prop_map(|name| name.parse().unwrap())
        .boxed()
}

/// Any text, with those that YAML could mistake for something else more often than by chance.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        any::<String>(),
        prop::sample::select(vec![
            "",
            " ",
            "null",
            "~",
            "yes",
            "true",
            "1",
            "1e3",
            "0x1f",
            "-",
            "---",
            "a: b",
            "# no",
            "{",
            "[",
            "&a",
            "*a",
            "!x",
            "|",
            ">",
            "'",
            "\"",
            "line\nbreak",
            "tab\t",
            "\u{85}",
            "\u{feff}",
            "2026-07-28",
            "..",
            "<<",
            "=",
            "%",
            "@",
            "`",
            " lead",
            "trail ",
            "\r\n",
            ".nan",
            "1_000",
            "0o7",
            "é",
        ])
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn span() -> BoxedStrategy<TimeSpan> {
    (1..=u64::MAX)
        .prop_map(|nanos| TimeSpan::try_from(Duration::from_nanos(nanos)).unwrap())
        .boxed()
}

fn plugins(plugin: BoxedStrategy<PluginConfig>) -> impl Strategy<Value = PluginsConfig> {
    let one = || option::of(plugin.clone());
    let many = || vec(plugin.clone(), 0..3);
    (one(), one(), one(), many(), many(), one(), one()).prop_map(
        |(auth, storage, proxy, audit, policy, provisioner, telemetry)| PluginsConfig {
            auth_provider: auth,
            credential_storage: storage,
            auth_proxy: proxy,
            audit_sink: audit,
            policy_evaluator: policy,
            mcp_provisioner: provisioner,
            telemetry,
        },
    )
}

fn plugin() -> BoxedStrategy<PluginConfig> {
    let place = (
        option::of(text()),
        prop::sample::select(vec![Provider::InMemory, Provider::Mcp]),
        option::of(text()),
        settings(),
        option::of(spec()),
    );
    let rules = (
        option::of(span()),
        option::of(cache()),
        option::of(text()),
        option::of(prop::sample::select(vec![
            AuditDurability::Process,
            AuditDurability::Disk,
            AuditDurability::Sink,
        ])),
        option::of(prop::sample::select(vec![
            AuditOverflow::Refuse,
            AuditOverflow::Drop,
        ])),
    );
    (place, rules)
        .prop_map(|(place, rules)| {
            let (name, provider, implementation, settings, server) = place;
            let (timeout, cache, bearer_type, durability, on_overflow) = rules;
            PluginConfig {
                name,
                provider,
                implementation,
                settings,
                server,
                timeout,
                cache,
                bearer_type,
                durability,
                on_overflow,
            }
        })
        .boxed()
}

fn sound_plugin() -> BoxedStrategy<PluginConfig> {
    (plugin(), text(), spec())
        .prop_map(|(mut plugin, implementation, server)| {
            plugin.name = None;
            match plugin.provider {
                Provider::InMemory => {
                    plugin.implementation = Some(implementation);
                    plugin.server = None;
                }
                Provider::Mcp => {
                    plugin.implementation = None;
                    plugin.settings = Settings::default();
                    plugin.server = Some(server);
                }
            }
            plugin
        })
        .boxed()
}

fn cache() -> BoxedStrategy<CacheConfig> {
    (span(), option::of(any::<u32>()))
        .prop_map(|(ttl, max_entries)| CacheConfig { ttl, max_entries })
        .boxed()
}

fn settings() -> BoxedStrategy<Settings> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-1e15..1e15).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(text(), inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    btree_map(text(), value, 0..3)
        .prop_map(|map| Settings::try_from(map.into_iter().collect::<Map<_, _>>()).unwrap())
        .boxed()
}

fn secret() -> BoxedStrategy<SecretRef> {
    prop_oneof![
        text().prop_map(SecretRef::FromEnv),
        text().prop_map(|path| SecretRef::FromFile(path.into())),
        text().prop_map(SecretRef::FromCredential),
    ]
    .boxed()
}

fn values(names: &'static str) -> impl Strategy<Value = BTreeMap<String, Setting>> {
    let value = prop_oneof![
        text().prop_map(Setting::Literal),
        secret().prop_map(Setting::Secret),
    ];
    btree_map(
        prop_oneof![4 => names.boxed(), 1 => text().boxed()],
        value,
        0..3,
    )
}

fn spec() -> BoxedStrategy<ServerSpec> {
    let endpoint = prop_oneof![
        "https?://[a-z]{1,8}(:[0-9]{1,4})?(/[a-z]{0,5})?",
        "unix:///[a-z]{1,8}",
        text(),
    ];
    let address = prop_oneof![
        any::<u16>().prop_map(SidecarAddress::Port),
        text().prop_map(|path| SidecarAddress::Socket(path.into())),
    ];
    prop_oneof![
        prop_oneof![Just("catalog://h/r:v1/n".to_owned()), text()]
            .prop_map(|reference| ServerSpec::Catalog { reference }),
        (
            endpoint,
            values("x-[a-z]{1,6}"),
            option::of(secret().prop_map(RemoteAuth::Bearer)),
            option::of((
                option::of(secret()),
                option::of(secret()),
                option::of(secret())
            ))
        )
            .prop_map(|(endpoint, headers, auth, tls)| ServerSpec::Remote {
                endpoint,
                headers,
                auth,
                tls: tls.map(|(ca, cert, key)| ServerTls { ca, cert, key }),
            }),
        (
            text(),
            option::of(any::<u16>()),
            option::of(text()),
            vec(text(), 0..3),
            values("[A-Z_]{1,8}")
        )
            .prop_map(|(image, port, path, args, env)| ServerSpec::Image {
                image,
                port,
                path,
                args,
                env
            }),
        (text(), text()).prop_map(|(name, version)| ServerSpec::Registry { name, version }),
        (
            address,
            option::of(text()),
            option::of(secret().prop_map(RemoteAuth::Bearer))
        )
            .prop_map(|(address, path, auth)| ServerSpec::Sidecar {
                address,
                path,
                auth
            }),
        (
            text(),
            vec(text(), 0..3),
            values("[A-Z_]{1,8}"),
            option::of(text().prop_map(Into::into))
        )
            .prop_map(|(command, args, env, cwd)| ServerSpec::Command {
                command,
                args,
                env,
                cwd
            }),
    ]
    .boxed()
}

fn server() -> BoxedStrategy<ServerConfig> {
    let credentials = prop::sample::select(vec![
        CredentialsMode::None,
        CredentialsMode::Optional,
        CredentialsMode::Required,
    ]);
    let isolation = prop::sample::select(vec![
        Isolation::Shared,
        Isolation::PerUser,
        Isolation::PerSession,
    ]);
    (
        spec(),
        option::of(span()),
        option::of(span()),
        credentials,
        option::of(isolation),
    )
        .prop_map(
            |(spec, timeout, idle_timeout, credentials, isolation)| ServerConfig {
                spec,
                timeout,
                idle_timeout,
                credentials,
                isolation,
            },
        )
        .boxed()
}

fn profile() -> BoxedStrategy<ProfileConfig> {
    let tools = (
        vec(text(), 0..3),
        vec(text(), 0..3),
        btree_map(text(), text(), 0..3),
    );
    (vec(server_name(), 0..3), tools)
        .prop_map(|(servers, (allow, deny, rename))| ProfileConfig {
            servers,
            tools: ToolFilter {
                allow,
                deny,
                rename,
            },
        })
        .boxed()
}
