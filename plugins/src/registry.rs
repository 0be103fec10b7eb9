//! Checks the plugins that a tenant configures, and builds them: whole, or not at all.

mod implementations;
mod refusals;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gateway_core::TenantId;
use gateway_core::config::{
    AuditDurability, AuditOverflow, PluginConfig, PluginsConfig, Provider, Violation,
};
use gateway_core::plugin::{
    AuditSink, AuthProvider, AuthProxy, CredentialStorage, McpProvisioner, PluginKind, Plugins,
    PolicyEvaluator, Telemetry,
};

use crate::in_memory::{
    AllMustAllow, AlwaysAllow, DenyAll, DesktopImplicit, Dropping, EverySink, JsonLines, Noop,
    NotConfigured, Outputs,
};
use crate::settings;
use implementations::{Implementation, Parts, Unbuilt};

/// Which process checks and builds. It decides how gaps are filled and what is allowed.
///
/// A control plane, which has no MCP listener, checks as `DataPlane { loopback_only: true }`: what
/// depends on a listener is for each data plane to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One person's own machine: without an `auth_provider` every caller is that person, which
    /// only loopback listeners can bear; without a `policy_evaluator` everything is allowed.
    Desktop {
        /// Whether every MCP listener of the process is on a loopback address.
        loopback_only: bool,
    },
    /// A replica that serves tenants: without these two everything is refused.
    DataPlane {
        /// Whether every MCP listener of the process is on a loopback address.
        loopback_only: bool,
    },
}

/// Builds the plugins of tenants. One for each process: the tenants' plugins share its outputs.
#[derive(Debug)]
pub struct Registry {
    role: Role,
    outputs: Outputs,
    data_dir: PathBuf,
}

impl Role {
    fn loopback_only(self) -> bool {
        match self {
            Self::Desktop { loopback_only } | Self::DataPlane { loopback_only } => loopback_only,
        }
    }
}

impl Registry {
    /// A registry that has built nothing yet.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            outputs: Outputs::default(),
            data_dir: PathBuf::new(),
        }
    }

    /// The same with a folder for files that a configuration does not place elsewhere; without
    /// one they are in the working directory.
    #[must_use]
    pub fn with_data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = data_dir.into();
        self
    }

    /// Everything that is wrong with the plugins, found without building one or touching the
    /// machine; empty when they can be built. Expects what has passed [`gateway_core::config::check`].
    pub fn check(&self, plugins: &PluginsConfig) -> Vec<Violation> {
        let mut violations = Vec::new();
        if plugins.auth_provider.is_none()
            && matches!(
                self.role,
                Role::Desktop {
                    loopback_only: false
                }
            )
        {
            violations.push(refusals::no_auth_provider_on_open_listener());
        }
        for kind in PluginKind::ALL {
            for (path, plugin) in plugins.of_kind(kind) {
                let name = plugin
                    .implementation
                    .as_deref()
                    .unwrap_or(NotConfigured::NAME);
                let needs_storage = implementations::reads_storage(kind, name);
                if needs_storage && plugins.credential_storage.is_none() {
                    violations.push(refusals::no_storage(&path, name));
                }
                violations.extend(match plugin.provider {
                    Provider::InMemory => self.check_in_memory(kind, &path, plugin),
                    Provider::Mcp => vec![refusals::over_mcp(kind, &path, plugin)],
                });
            }
        }
        violations
    }

    fn check_in_memory(
        &self,
        kind: PluginKind,
        path: &str,
        plugin: &PluginConfig,
    ) -> Vec<Violation> {
        let name = plugin.implementation.as_deref().unwrap_or_default();
        let Some(known) = implementations::find(kind, name) else {
            return vec![refusals::unknown_implementation(kind, path, name)];
        };
        let mut violations = Vec::new();
        if name == DesktopImplicit::NAME && !self.role.loopback_only() {
            violations.push(refusals::implicit_user_on_open_listener(path));
        }
        if known.desktop_only && !matches!(self.role, Role::Desktop { .. }) {
            violations.push(refusals::for_desktops_only(path, name));
        }
        violations.extend(settings::within(path, (known.validate)(&plugin.settings)));
        if plugin.durability == Some(AuditDurability::Disk) && name != implementations::TO_DISK {
            violations.push(refusals::disk_durability(path, name));
        }
        violations
    }

    /// Builds a tenant's plugins. What the tenant leaves out is filled in as the role demands.
    ///
    /// # Errors
    /// Everything that is wrong, as [`check`](Self::check) says it; then nothing was built.
    pub fn build(
        &self,
        tenant: &TenantId,
        plugins: &PluginsConfig,
    ) -> Result<Plugins, Vec<Violation>> {
        self.complete(tenant, plugins, None)
    }

    /// Builds a tenant's plugins anew after a change. A plugin whose part of the configuration is
    /// what it was stays the same instance, with its connections and its memory.
    ///
    /// # Errors
    /// As for [`build`](Self::build); the previous plugins stay as they are.
    pub fn rebuild(
        &self,
        tenant: &TenantId,
        plugins: &PluginsConfig,
        previous: (&PluginsConfig, &Plugins),
    ) -> Result<Plugins, Vec<Violation>> {
        self.complete(tenant, plugins, Some(previous))
    }

    fn complete(
        &self,
        tenant: &TenantId,
        plugins: &PluginsConfig,
        previous: Option<(&PluginsConfig, &Plugins)>,
    ) -> Result<Plugins, Vec<Violation>> {
        let violations = self.check(plugins);
        if !violations.is_empty() {
            return Err(violations);
        }
        let kept = |kind| {
            let (config, built) = previous?;
            (config.of_kind(kind) == plugins.of_kind(kind)).then_some(built)
        };
        // What the storage's readers are built with.
        let storage = match kept(PluginKind::CredentialStorage) {
            Some(built) => Arc::clone(&built.credential_storage),
            None => self.credential_storage(plugins)?,
        };
        let same_storage = kept(PluginKind::CredentialStorage).is_some();
        let complete = Plugins {
            auth_provider: match kept(PluginKind::AuthProvider) {
                Some(built) => Arc::clone(&built.auth_provider),
                None => self.auth_provider(plugins)?,
            },
            auth_proxy: match kept(PluginKind::AuthProxy).filter(|_| same_storage) {
                Some(built) => Arc::clone(&built.auth_proxy),
                None => self.auth_proxy(plugins, &storage)?,
            },
            credential_storage: storage,
            audit_sink: match kept(PluginKind::AuditSink) {
                Some(built) => Arc::clone(&built.audit_sink),
                None => self.audit_sink(plugins)?,
            },
            policy_evaluator: match kept(PluginKind::PolicyEvaluator) {
                Some(built) => Arc::clone(&built.policy_evaluator),
                None => self.policy_evaluator(plugins)?,
            },
            mcp_provisioner: match kept(PluginKind::McpProvisioner) {
                Some(built) => Arc::clone(&built.mcp_provisioner),
                None => self.mcp_provisioner(plugins)?,
            },
            telemetry: match kept(PluginKind::Telemetry) {
                Some(built) => Arc::clone(&built.telemetry),
                None => self.telemetry(plugins)?,
            },
        };
        let kept = PluginKind::ALL.map(|kind| kept(kind).is_some());
        tracing::debug!(
            tenant.id = %tenant,
            kept = kept.iter().filter(|&&kept| kept).count(),
            "plugins built"
        );
        Ok(complete)
    }

    fn auth_provider(
        &self,
        plugins: &PluginsConfig,
    ) -> Result<Arc<dyn AuthProvider>, Vec<Violation>> {
        let mut built = self.of_kind(
            PluginKind::AuthProvider,
            implementations::AUTH_PROVIDERS,
            plugins,
        )?;
        Ok(match (built.pop(), self.role) {
            (Some((_, provider)), _) => provider,
            (None, Role::Desktop { .. }) => Arc::new(DesktopImplicit::new()),
            (None, Role::DataPlane { .. }) => Arc::new(DenyAll),
        })
    }

    fn credential_storage(
        &self,
        plugins: &PluginsConfig,
    ) -> Result<Arc<dyn CredentialStorage>, Vec<Violation>> {
        let kind = PluginKind::CredentialStorage;
        let mut built = self.of_kind(kind, implementations::CREDENTIAL_STORAGES, plugins)?;
        Ok(built
            .pop()
            .map_or_else(|| Arc::new(NotConfigured) as _, |(_, storage)| storage))
    }

    fn auth_proxy(
        &self,
        plugins: &PluginsConfig,
        storage: &Arc<dyn CredentialStorage>,
    ) -> Result<Arc<dyn AuthProxy>, Vec<Violation>> {
        let (kind, table) = (PluginKind::AuthProxy, implementations::AUTH_PROXIES);
        let mut built = self.of_kind_with(kind, table, plugins, storage)?;
        Ok(built
            .pop()
            .map_or_else(|| Arc::new(NotConfigured) as _, |(_, proxy)| proxy))
    }

    fn audit_sink(&self, plugins: &PluginsConfig) -> Result<Arc<dyn AuditSink>, Vec<Violation>> {
        let kind = PluginKind::AuditSink;
        let built = self.of_kind(kind, implementations::AUDIT_SINKS, plugins)?;
        let configured = plugins.audit_sink.iter();
        let as_configured = built
            .into_iter()
            .zip(configured)
            .map(|((name, sink), plugin)| match plugin.on_overflow {
                Some(AuditOverflow::Drop) => (
                    name.clone(),
                    Arc::new(Dropping::new(name, sink)) as Arc<dyn AuditSink>,
                ),
                Some(AuditOverflow::Refuse) | None => (name, sink),
            });
        let mut built: Vec<_> = as_configured.collect();
        if built.len() > 1 {
            return Ok(Arc::new(EverySink::new(built)));
        }
        match built.pop() {
            Some((_, sink)) => Ok(sink),
            None => match self.outputs.stdout() {
                Ok(writer) => Ok(Arc::new(JsonLines::new(writer))),
                Err(error) => Err(vec![cannot_start("plugins.audit_sink", &error)]),
            },
        }
    }

    fn policy_evaluator(
        &self,
        plugins: &PluginsConfig,
    ) -> Result<Arc<dyn PolicyEvaluator>, Vec<Violation>> {
        let kind = PluginKind::PolicyEvaluator;
        let mut built = self.of_kind(kind, implementations::POLICY_EVALUATORS, plugins)?;
        if built.len() > 1 {
            return Ok(Arc::new(AllMustAllow::new(built)));
        }
        Ok(match (built.pop(), self.role) {
            (Some((_, evaluator)), _) => evaluator,
            (None, Role::Desktop { .. }) => Arc::new(AlwaysAllow),
            (None, Role::DataPlane { .. }) => Arc::new(DenyAll),
        })
    }

    fn mcp_provisioner(
        &self,
        plugins: &PluginsConfig,
    ) -> Result<Arc<dyn McpProvisioner>, Vec<Violation>> {
        let kind = PluginKind::McpProvisioner;
        let mut built = self.of_kind(kind, implementations::MCP_PROVISIONERS, plugins)?;
        Ok(built.pop().map_or_else(
            || Arc::new(NotConfigured) as _,
            |(_, provisioner)| provisioner,
        ))
    }

    fn telemetry(&self, plugins: &PluginsConfig) -> Result<Arc<dyn Telemetry>, Vec<Violation>> {
        let mut built =
            self.of_kind(PluginKind::Telemetry, implementations::TELEMETRIES, plugins)?;
        Ok(built
            .pop()
            .map_or_else(|| Arc::new(Noop) as _, |(_, telemetry)| telemetry))
    }

    /// Builds the configured plugins of a kind that reads no credential.
    fn of_kind<T: ?Sized>(
        &self,
        kind: PluginKind,
        table: &[Implementation<T>],
        plugins: &PluginsConfig,
    ) -> Result<Vec<(String, Arc<T>)>, Vec<Violation>> {
        let nothing: Arc<dyn CredentialStorage> = Arc::new(NotConfigured);
        self.of_kind_with(kind, table, plugins, &nothing)
    }

    /// Builds the configured plugins of one kind, in order, each with its name in messages.
    fn of_kind_with<T: ?Sized>(
        &self,
        kind: PluginKind,
        table: &[Implementation<T>],
        plugins: &PluginsConfig,
        storage: &Arc<dyn CredentialStorage>,
    ) -> Result<Vec<(String, Arc<T>)>, Vec<Violation>> {
        let mut built = Vec::new();
        for (path, plugin) in plugins.of_kind(kind) {
            let wanted = plugin.implementation.as_deref().unwrap_or_default();
            let Some(implementation) = table.iter().find(|known| known.name == wanted) else {
                return Err(vec![refusals::unknown_implementation(kind, &path, wanted)]);
            };
            let name = plugin.name.as_deref().unwrap_or(wanted).to_owned();
            let parts = Parts {
                settings: &plugin.settings,
                durability: plugin.durability,
                outputs: &self.outputs,
                data_dir: &self.data_dir,
                storage,
            };
            match (implementation.build)(&parts) {
                Ok(plugin) => built.push((name, plugin)),
                Err(Unbuilt::Settings(violations)) => {
                    return Err(settings::within(&path, violations));
                }
                Err(Unbuilt::Start(error)) => return Err(vec![cannot_start(&path, &error)]),
            }
        }
        Ok(built)
    }
}

fn cannot_start(path: &str, error: &dyn fmt::Display) -> Violation {
    Violation::new(path, format!("cannot be started: {error}"))
}

#[cfg(test)]
mod tests;
