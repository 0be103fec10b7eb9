//! The in-memory implementations that a configuration can name, one table for each kind.

use std::io;
use std::sync::Arc;

use gateway_core::config::{Settings, Violation};
use gateway_core::plugin::{
    AuditSink, AuthProvider, AuthProxy, CredentialStorage, McpProvisioner, PluginKind,
    PolicyEvaluator, Telemetry,
};

use crate::in_memory::{AlwaysAllow, DesktopImplicit, JsonLines, Noop, NotConfigured, Outputs};

/// Says what is wrong with settings; the paths are within the settings.
pub(super) type Validate = fn(&Settings) -> Vec<Violation>;

/// One implementation of the trait `T`.
pub(super) struct Implementation<T: ?Sized> {
    /// What the configuration calls it.
    pub(super) name: &'static str,
    validate: Validate,
    pub(super) build: fn(&Outputs) -> io::Result<Arc<T>>,
}

pub(super) const AUTH_PROVIDERS: &[Implementation<dyn AuthProvider>] = &[Implementation {
    name: DesktopImplicit::NAME,
    validate: no_settings,
    build: |_| Ok(Arc::new(DesktopImplicit::new())),
}];

pub(super) const CREDENTIAL_STORAGES: &[Implementation<dyn CredentialStorage>] =
    &[Implementation {
        name: NotConfigured::NAME,
        validate: no_settings,
        build: |_| Ok(Arc::new(NotConfigured)),
    }];

pub(super) const AUTH_PROXIES: &[Implementation<dyn AuthProxy>] = &[Implementation {
    name: NotConfigured::NAME,
    validate: no_settings,
    build: |_| Ok(Arc::new(NotConfigured)),
}];

pub(super) const AUDIT_SINKS: &[Implementation<dyn AuditSink>] = &[
    Implementation {
        name: "stdout",
        validate: no_settings,
        build: |outputs| Ok(Arc::new(JsonLines::new(outputs.stdout()?))),
    },
    Implementation {
        name: "stderr",
        validate: no_settings,
        build: |outputs| Ok(Arc::new(JsonLines::new(outputs.stderr()?))),
    },
];

pub(super) const POLICY_EVALUATORS: &[Implementation<dyn PolicyEvaluator>] = &[Implementation {
    name: "always-allow",
    validate: no_settings,
    build: |_| Ok(Arc::new(AlwaysAllow)),
}];

pub(super) const MCP_PROVISIONERS: &[Implementation<dyn McpProvisioner>] = &[Implementation {
    name: NotConfigured::NAME,
    validate: no_settings,
    build: |_| Ok(Arc::new(NotConfigured)),
}];

pub(super) const TELEMETRIES: &[Implementation<dyn Telemetry>] = &[Implementation {
    name: "noop",
    validate: no_settings,
    build: |_| Ok(Arc::new(Noop)),
}];

/// The names that a configuration can give for a kind.
pub(super) fn names(kind: PluginKind) -> Vec<&'static str> {
    of_kind(kind).into_iter().map(|(name, _)| name).collect()
}

/// What checks the settings of an implementation; `None` where the kind has none of that name.
pub(super) fn validator(kind: PluginKind, name: &str) -> Option<Validate> {
    let mut known = of_kind(kind).into_iter();
    known
        .find(|(known, _)| *known == name)
        .map(|(_, validate)| validate)
}

fn of_kind(kind: PluginKind) -> Vec<(&'static str, Validate)> {
    match kind {
        PluginKind::AuthProvider => entries(AUTH_PROVIDERS),
        PluginKind::CredentialStorage => entries(CREDENTIAL_STORAGES),
        PluginKind::AuthProxy => entries(AUTH_PROXIES),
        PluginKind::AuditSink => entries(AUDIT_SINKS),
        PluginKind::PolicyEvaluator => entries(POLICY_EVALUATORS),
        PluginKind::McpProvisioner => entries(MCP_PROVISIONERS),
        PluginKind::Telemetry => entries(TELEMETRIES),
    }
}

fn entries<T: ?Sized>(table: &[Implementation<T>]) -> Vec<(&'static str, Validate)> {
    table
        .iter()
        .map(|entry| (entry.name, entry.validate))
        .collect()
}

fn no_settings(settings: &Settings) -> Vec<Violation> {
    let unknown = settings.as_map().keys();
    unknown
        .map(|field| Violation::new(field, "is unknown: this implementation has no settings"))
        .collect()
}
