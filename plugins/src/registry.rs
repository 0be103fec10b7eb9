//! Checks the plugins that a tenant configures, and builds them: whole, or not at all.

mod build;
mod implementations;
mod refusals;

use std::path::PathBuf;
use std::sync::Arc;

use gateway_core::TenantId;
use gateway_core::config::{AuditDurability, PluginConfig, PluginsConfig, Provider, Violation};
use gateway_core::plugin::{PluginKind, Plugins};

use crate::in_memory::{DesktopImplicit, NotConfigured, Outputs};
use crate::over_mcp::{Conditions, PluginCondition, PluginServers};
use crate::spool::{SpoolOptions, Spools};
use crate::{Metrics, settings};

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
    conditions: Arc<Conditions>,
    /// Where audit events wait; `None`: nowhere.
    spools: Option<Spools>,
}

/// How the servers of plugins are, for operators.
#[derive(Debug, Clone)]
pub struct PluginConditions(Arc<Conditions>);

impl PluginConditions {
    /// Of every plugin that is an MCP server, ordered by tenant.
    pub fn all(&self) -> Vec<PluginCondition> {
        self.0.all()
    }
}

/// The implementations of a kind that run in the gateway's own process.
pub fn implementations_of(kind: PluginKind) -> Vec<&'static str> {
    implementations::names(kind)
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
            conditions: Arc::default(),
            spools: None,
        }
    }

    /// The same with a folder for files that a configuration does not place elsewhere; without
    /// one they are in the working directory.
    #[must_use]
    pub fn with_data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = data_dir.into();
        self
    }

    /// The same for a process whose standard output is for something else: an audit sink `stdout`
    /// writes to standard error.
    #[must_use]
    pub fn with_stdout_taken(mut self) -> Self {
        self.outputs.take_stdout();
        self
    }

    /// The same with a place where audit events wait for sinks that are MCP servers. Without one there can be no such
    /// sinks.
    #[must_use]
    pub fn with_audit_spool(mut self, options: SpoolOptions) -> Self {
        self.spools = Some(Spools::new(options, self.metrics()));
        self
    }

    /// Where audit events wait, if there is such a place.
    pub fn spools(&self) -> Option<Spools> {
        self.spools.clone()
    }

    /// What the plugins of all tenants measured.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(self.outputs.metrics())
    }

    /// How the plugins of all tenants that are MCP servers are.
    pub fn conditions(&self) -> PluginConditions {
        PluginConditions(Arc::clone(&self.conditions))
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
                    Provider::Mcp => refusals::over_mcp(&path, plugin).into_iter().collect(),
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

    /// Builds a tenant's plugins; `servers` finds those that are MCP servers, of which none is connected to
    /// before it is called. What the tenant leaves out is filled in as the role demands.
    ///
    /// # Errors
    /// Everything that is wrong, as [`check`](Self::check) says it; then nothing was built.
    pub fn build(
        &self,
        tenant: &TenantId,
        plugins: &PluginsConfig,
        servers: &dyn PluginServers,
    ) -> Result<Plugins, Vec<Violation>> {
        self.complete((tenant, plugins), servers, None)
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
        servers: &dyn PluginServers,
        previous: (&PluginsConfig, &Plugins),
    ) -> Result<Plugins, Vec<Violation>> {
        self.complete((tenant, plugins), servers, Some(previous))
    }
}

#[cfg(test)]
mod tests;
