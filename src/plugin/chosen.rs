//! Which plugin is meant: an implementation by its name, with its settings from a file.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use gateway_core::TenantId;
use gateway_core::config::{PluginConfig, PluginsConfig, load_yaml};
use gateway_core::plugin::{PluginKind, Plugins, Telemetry};
use gateway_data_plane::{Commands, Limits, Permits};
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::{Metrics, PluginTools, Registry, Role, SecretResolver, implementations_of};

use crate::exit::Failure;

/// What the kinds are called where an implementation of the same name is in several.
const PREFIXES: [(&str, PluginKind); 7] = [
    ("auth-", PluginKind::AuthProvider),
    ("credstore-", PluginKind::CredentialStorage),
    ("authproxy-", PluginKind::AuthProxy),
    ("audit-", PluginKind::AuditSink),
    ("policy-", PluginKind::PolicyEvaluator),
    ("provisioner-", PluginKind::McpProvisioner),
    ("telemetry-", PluginKind::Telemetry),
];

/// A plugin to be served.
pub(super) struct Chosen {
    pub(super) kind: PluginKind,
    pub(super) name: String,
    pub(super) tools: Arc<PluginTools>,
    /// For what is measured of its calls.
    pub(super) telemetry: Arc<dyn Telemetry>,
    pub(super) metrics: Arc<Metrics>,
    plugins: Plugins,
}

impl Chosen {
    /// `wanted` is `bearer`, or `authproxy-bearer`. The file is a document whose `plugins:` may name the
    /// implementation, with settings, and others that it reads.
    pub(super) fn of(
        wanted: &str,
        file: Option<&Path>,
        data_dir: &Path,
        stdout_is_taken: bool,
    ) -> Result<Self, Failure> {
        let (kind, name) = kind_and_name(wanted)?;
        let document = match file {
            Some(file) => read(file)?,
            None => PluginsConfig::default(),
        };
        let is_named = |plugin: &&PluginConfig| plugin.implementation.as_deref() == Some(name);
        let configured = document.of_kind(kind).into_iter().map(|(_, plugin)| plugin);
        let configured = configured.into_iter().find(is_named).cloned();
        let plugin = configured.unwrap_or_else(|| PluginConfig::in_memory(name));
        // Of the others, what is served may read the storage.
        let mut plugins = PluginsConfig {
            credential_storage: document.credential_storage,
            ..PluginsConfig::default()
        };
        match kind {
            PluginKind::AuthProvider => plugins.auth_provider = Some(plugin),
            PluginKind::CredentialStorage => plugins.credential_storage = Some(plugin),
            PluginKind::AuthProxy => plugins.auth_proxy = Some(plugin),
            PluginKind::AuditSink => plugins.audit_sink = vec![plugin],
            PluginKind::PolicyEvaluator => plugins.policy_evaluator = vec![plugin],
            PluginKind::McpProvisioner => plugins.mcp_provisioner = Some(plugin),
            PluginKind::Telemetry => plugins.telemetry = Some(plugin),
        }
        let permits = permits(data_dir, stdout_is_taken)?;
        let build = |plugins: &PluginsConfig| {
            let tenant = TenantId::default();
            let built = permits.registry.build(&tenant, plugins, &permits);
            built.map_err(|violations| {
                let lines = violations.iter();
                Failure::Invalid(lines.map(|v| format!("{}: {}", v.path, v.reason)).collect())
            })
        };
        let built = build(&plugins)?;
        let measuring = build(&PluginsConfig {
            telemetry: Some(PluginConfig::in_memory("prometheus")),
            ..PluginsConfig::default()
        })?;
        Ok(Self {
            kind,
            name: name.to_owned(),
            tools: Arc::new(PluginTools::of(kind, &built)),
            telemetry: measuring.telemetry,
            metrics: permits.registry.metrics(),
            plugins: built,
        })
    }

    /// Lets the plugin send what it has queued.
    pub(super) async fn close(&self) {
        self.plugins.telemetry.close().await;
    }
}

/// The plugin is its user's own, as a desktop is.
fn permits(data_dir: &Path, stdout_is_taken: bool) -> anyhow::Result<Permits> {
    let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
    let role = Role::Desktop {
        loopback_only: true,
    };
    let registry = Registry::new(role).with_data_dir(data_dir);
    Ok(Permits {
        registry: match stdout_is_taken {
            true => registry.with_stdout_taken(),
            false => registry,
        },
        secrets: SecretResolver::desktop(),
        connector,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
        connects_at_once: false,
    })
}

fn kind_and_name(wanted: &str) -> Result<(PluginKind, &str), Failure> {
    let of = |kind: PluginKind, name: &str| implementations_of(kind).contains(&name);
    let mut meant: Vec<_> = PluginKind::ALL
        .into_iter()
        .filter(|kind| of(*kind, wanted))
        .map(|kind| (kind, wanted))
        .collect();
    let prefixed = PREFIXES.into_iter().filter_map(|(prefix, kind)| {
        let name = wanted.strip_prefix(prefix)?;
        of(kind, name).then_some((kind, name))
    });
    meant.extend(prefixed);
    match meant.as_slice() {
        [one] => Ok(*one),
        [] => {
            let known = PREFIXES.into_iter().flat_map(|(prefix, kind)| {
                let names = implementations_of(kind).into_iter();
                names.map(move |name| format!("{prefix}{name}"))
            });
            let known: Vec<_> = known.collect();
            Err(Failure::invalid(format!(
                "there is no implementation `{wanted}`; there are {}",
                known.join(", ")
            )))
        }
        several => {
            let names = several.iter().filter_map(|(kind, name)| {
                let (prefix, _) = PREFIXES.into_iter().find(|(_, other)| other == kind)?;
                Some(format!("{prefix}{name}"))
            });
            let names: Vec<_> = names.collect();
            Err(Failure::invalid(format!(
                "`{wanted}` is an implementation of several kinds: say {}",
                names.join(" or ")
            )))
        }
    }
}

fn read(file: &Path) -> Result<PluginsConfig, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::invalid(format!("{shown} cannot be read: {error}")))?;
    let config = load_yaml(&text);
    let config = config.map_err(|error| Failure::invalid(format!("{shown}: {error}")))?;
    Ok(config.plugins)
}
