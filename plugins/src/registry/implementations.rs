//! The in-memory implementations that a configuration can name, one table for each kind.

use std::io;
use std::path::Path;
use std::sync::Arc;

use gateway_core::TenantId;
use gateway_core::config::{AuditDurability, Settings, Violation};
use gateway_core::plugin::{
    AuditSink, AuthProvider, AuthProxy, CredentialStorage, McpProvisioner, PluginKind,
    PolicyEvaluator, Telemetry,
};

use crate::in_memory::{
    AlwaysAllow, ApiKeys, DesktopImplicit, EncryptedFile, Injecting, JsonLines, Keychain, Limits,
    Memory, Noop, NotConfigured, Outputs, Prometheus, Rules, StoredCredential,
};

/// Says what is wrong with settings; the paths are within the settings.
pub(super) type Validate = fn(&Settings) -> Vec<Violation>;

/// One implementation of the trait `T`.
pub(super) struct Implementation<T: ?Sized> {
    /// What the configuration calls it.
    pub(super) name: &'static str,
    validate: Validate,
    /// Whether only a desktop may have it, because it reaches what belongs to the machine.
    desktop_only: bool,
    pub(super) build: fn(&Parts<'_>) -> Result<Arc<T>, Unbuilt>,
}

/// What an implementation is made of.
pub(super) struct Parts<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) settings: &'a Settings,
    /// What an audit sink promises.
    pub(super) durability: Option<AuditDurability>,
    pub(super) outputs: &'a Outputs,
    /// Where files are that a configuration does not place elsewhere.
    pub(super) data_dir: &'a Path,
    /// The tenant's own storage.
    pub(super) storage: &'a Arc<dyn CredentialStorage>,
}

/// Why an implementation was not built.
pub(super) enum Unbuilt {
    /// Its settings are wrong; the paths are within the settings.
    Settings(Vec<Violation>),
    /// The system did not let it start.
    Start(io::Error),
}

impl From<Vec<Violation>> for Unbuilt {
    fn from(violations: Vec<Violation>) -> Self {
        Self::Settings(violations)
    }
}

impl From<io::Error> for Unbuilt {
    fn from(error: io::Error) -> Self {
        Self::Start(error)
    }
}

pub(super) const AUTH_PROVIDERS: &[Implementation<dyn AuthProvider>] = &[
    Implementation {
        name: DesktopImplicit::NAME,
        validate: no_settings,
        desktop_only: false,
        build: |_| Ok(Arc::new(DesktopImplicit::new())),
    },
    Implementation {
        name: "api-key",
        validate: |settings| wrong(ApiKeys::new(settings)),
        desktop_only: false,
        build: |parts| Ok(Arc::new(ApiKeys::new(parts.settings)?)),
    },
];

pub(super) const CREDENTIAL_STORAGES: &[Implementation<dyn CredentialStorage>] = &[
    Implementation {
        name: NotConfigured::NAME,
        validate: no_settings,
        desktop_only: false,
        build: |_| Ok(Arc::new(NotConfigured)),
    },
    Implementation {
        name: "memory",
        validate: no_settings,
        desktop_only: false,
        build: |_| Ok(Arc::new(Memory::default())),
    },
    Implementation {
        name: "encrypted-file",
        validate: EncryptedFile::validate,
        desktop_only: true,
        build: |parts| {
            Ok(Arc::new(EncryptedFile::new(
                parts.settings,
                parts.data_dir,
            )?))
        },
    },
    Implementation {
        name: "keychain",
        validate: no_settings,
        desktop_only: true,
        build: |parts| Ok(Arc::new(Keychain::new(parts.data_dir))),
    },
];

pub(super) const AUTH_PROXIES: &[Implementation<dyn AuthProxy>] = &[
    Implementation {
        name: NotConfigured::NAME,
        validate: no_settings,
        desktop_only: false,
        build: |_| Ok(Arc::new(NotConfigured)),
    },
    Implementation {
        name: "bearer",
        validate: |settings| wrong(Injecting::bearer(settings)),
        desktop_only: false,
        build: |parts| Ok(from_storage(parts, Injecting::bearer)?),
    },
    Implementation {
        name: "header",
        validate: |settings| wrong(Injecting::header(settings)),
        desktop_only: false,
        build: |parts| Ok(from_storage(parts, Injecting::header)?),
    },
];

fn from_storage(
    parts: &Parts<'_>,
    read: fn(&Settings) -> Result<Injecting, Vec<Violation>>,
) -> Result<Arc<dyn AuthProxy>, Vec<Violation>> {
    let storage = Arc::clone(parts.storage);
    Ok(Arc::new(StoredCredential::new(
        read(parts.settings)?,
        storage,
    )))
}

/// Whether the implementation reads what the tenant's `credential_storage` keeps.
pub(super) fn reads_storage(kind: PluginKind, name: &str) -> bool {
    kind == PluginKind::AuthProxy && name != NotConfigured::NAME
}

/// The audit sink that can promise `durability: disk`.
pub(super) const TO_DISK: &str = "file";

pub(super) const AUDIT_SINKS: &[Implementation<dyn AuditSink>] = &[
    Implementation {
        name: "stdout",
        validate: no_settings,
        desktop_only: false,
        build: |parts| Ok(Arc::new(JsonLines::new(parts.outputs.stdout()?))),
    },
    Implementation {
        name: "stderr",
        validate: no_settings,
        desktop_only: false,
        build: |parts| Ok(Arc::new(JsonLines::new(parts.outputs.stderr()?))),
    },
    Implementation {
        name: TO_DISK,
        validate: |settings| wrong(Limits::read(settings, None)),
        desktop_only: true,
        build: |parts| {
            let (path, limits) = Limits::read(parts.settings, parts.durability)?;
            let writer = parts.outputs.file(&parts.data_dir.join(path), limits)?;
            Ok(Arc::new(JsonLines::new(writer)))
        },
    },
];

pub(super) const POLICY_EVALUATORS: &[Implementation<dyn PolicyEvaluator>] = &[
    Implementation {
        name: "always-allow",
        validate: no_settings,
        desktop_only: false,
        build: |_| Ok(Arc::new(AlwaysAllow)),
    },
    Implementation {
        name: "rules",
        validate: |settings| wrong(Rules::new(settings)),
        desktop_only: false,
        build: |parts| Ok(Arc::new(Rules::new(parts.settings)?)),
    },
];

pub(super) const MCP_PROVISIONERS: &[Implementation<dyn McpProvisioner>] = &[Implementation {
    name: NotConfigured::NAME,
    validate: no_settings,
    desktop_only: false,
    build: |_| Ok(Arc::new(NotConfigured)),
}];

pub(super) const TELEMETRIES: &[Implementation<dyn Telemetry>] = &[
    Implementation {
        name: "noop",
        validate: no_settings,
        desktop_only: false,
        build: |_| Ok(Arc::new(Noop)),
    },
    Implementation {
        name: "prometheus",
        validate: no_settings,
        desktop_only: false,
        build: |parts| {
            let metrics = parts.outputs.metrics();
            Ok(Arc::new(Prometheus::new(parts.tenant, metrics)))
        },
    },
];

/// The names that a configuration can give for a kind.
pub(super) fn names(kind: PluginKind) -> Vec<&'static str> {
    of_kind(kind).into_iter().map(|known| known.name).collect()
}

/// What is known of an implementation before it is built.
#[derive(Clone, Copy)]
pub(super) struct Known {
    name: &'static str,
    pub(super) validate: Validate,
    pub(super) desktop_only: bool,
}

/// An implementation of a kind by its name.
pub(super) fn find(kind: PluginKind, name: &str) -> Option<Known> {
    of_kind(kind).into_iter().find(|known| known.name == name)
}

fn of_kind(kind: PluginKind) -> Vec<Known> {
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

fn entries<T: ?Sized>(table: &[Implementation<T>]) -> Vec<Known> {
    let known = table.iter().map(|entry| Known {
        name: entry.name,
        validate: entry.validate,
        desktop_only: entry.desktop_only,
    });
    known.collect()
}

fn wrong<T>(compiled: Result<T, Vec<Violation>>) -> Vec<Violation> {
    compiled.err().unwrap_or_default()
}

fn no_settings(settings: &Settings) -> Vec<Violation> {
    let unknown = settings.as_map().keys();
    unknown
        .map(|field| Violation::new(field, "is unknown: this implementation has no settings"))
        .collect()
}
