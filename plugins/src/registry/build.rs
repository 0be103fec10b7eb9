//! Builds a tenant's plugins of each kind, and fills the gaps.

use std::fmt;
use std::sync::Arc;

use gateway_core::TenantId;
use gateway_core::config::{
    AuditDurability, AuditOverflow, PluginConfig, PluginsConfig, Provider, TimeSpan, Violation,
};
use gateway_core::plugin::{
    AuditSink, AuthProvider, AuthProxy, CredentialStorage, McpProvisioner, PluginKind, Plugins,
    PolicyEvaluator, Telemetry,
};

use super::implementations::{self, Implementation, Parts, Unbuilt};
use super::{Registry, Role, refusals};
use crate::cached::{CachedAuth, CachedPolicy};
use crate::in_memory::{
    AllMustAllow, AlwaysAllow, DenyAll, DesktopImplicit, Dropping, EverySink, JsonLines, Noop,
    NotConfigured,
};
use crate::over_mcp::{
    AuditSinkServer, AuthProviderServer, AuthProxyServer, CredentialStorageServer, Health,
    McpProvisionerServer, PluginServer, PluginServers, PolicyEvaluatorServer, TelemetryServer,
};
use crate::settings;
use crate::spool::{Promises, SpoolSink};

impl Registry {
    /// Builds a tenant's credential storage alone, for who stores and deletes credentials.
    ///
    /// # Errors
    /// What is wrong with that part of the configuration, as [`check`](Self::check) says it.
    pub fn build_credential_storage(
        &self,
        tenant: &TenantId,
        plugins: &PluginsConfig,
        servers: &dyn PluginServers,
    ) -> Result<Arc<dyn CredentialStorage>, Vec<Violation>> {
        let alone = PluginsConfig {
            credential_storage: plugins.credential_storage.clone(),
            ..PluginsConfig::default()
        };
        let violations = self.check(&alone);
        if !violations.is_empty() {
            return Err(violations);
        }
        let site = Site {
            registry: self,
            tenant,
            plugins: &alone,
            servers,
        };
        site.credential_storage()
    }

    pub(super) fn complete(
        &self,
        (tenant, plugins): (&TenantId, &PluginsConfig),
        servers: &dyn PluginServers,
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
        let site = Site {
            registry: self,
            tenant,
            plugins,
            servers,
        };
        // What the storage's readers are built with.
        let storage = match kept(PluginKind::CredentialStorage) {
            Some(built) => Arc::clone(&built.credential_storage),
            None => site.credential_storage()?,
        };
        let same_storage = kept(PluginKind::CredentialStorage).is_some();
        let complete = Plugins {
            auth_provider: match kept(PluginKind::AuthProvider) {
                Some(built) => Arc::clone(&built.auth_provider),
                None => site.auth_provider()?,
            },
            auth_proxy: match kept(PluginKind::AuthProxy).filter(|_| same_storage) {
                Some(built) => Arc::clone(&built.auth_proxy),
                None => site.auth_proxy(&storage)?,
            },
            credential_storage: storage,
            policy_evaluator: match kept(PluginKind::PolicyEvaluator) {
                Some(built) => Arc::clone(&built.policy_evaluator),
                None => site.policy_evaluator()?,
            },
            mcp_provisioner: match kept(PluginKind::McpProvisioner) {
                Some(built) => Arc::clone(&built.mcp_provisioner),
                None => site.mcp_provisioner()?,
            },
            telemetry: match kept(PluginKind::Telemetry) {
                Some(built) => Arc::clone(&built.telemetry),
                None => site.telemetry()?,
            },
            // The last one: from now on what waits in its spool goes to this sink, and nothing may be refused any more.
            audit_sink: match kept(PluginKind::AuditSink) {
                Some(built) => Arc::clone(&built.audit_sink),
                None => site.audit_sink()?,
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
}

/// A tenant whose plugins are being built.
struct Site<'a> {
    registry: &'a Registry,
    tenant: &'a TenantId,
    plugins: &'a PluginsConfig,
    servers: &'a dyn PluginServers,
}

/// How a plugin of one kind is made of an MCP server.
struct OverMcp<T: ?Sized> {
    required: &'static [&'static str],
    build: fn(PluginServer, &TenantId) -> Arc<T>,
}

impl Site<'_> {
    fn auth_provider(&self) -> Result<Arc<dyn AuthProvider>, Vec<Violation>> {
        let mut built = self.of_kind(
            PluginKind::AuthProvider,
            implementations::AUTH_PROVIDERS,
            &OverMcp {
                required: AuthProviderServer::REQUIRED,
                build: |server, _| Arc::new(AuthProviderServer::new(server)),
            },
        )?;
        let cache = self
            .plugins
            .auth_provider
            .as_ref()
            .and_then(|plugin| plugin.cache);
        Ok(match (built.pop(), self.registry.role) {
            (Some((_, provider)), _) => match cache {
                Some(cache) => CachedAuth::around(provider, self.tenant, &cache),
                None => provider,
            },
            (None, Role::Desktop { .. }) => Arc::new(DesktopImplicit::new()),
            (None, Role::DataPlane { .. }) => Arc::new(DenyAll),
        })
    }

    fn credential_storage(&self) -> Result<Arc<dyn CredentialStorage>, Vec<Violation>> {
        let kind = PluginKind::CredentialStorage;
        let mut built = self.of_kind(
            kind,
            implementations::CREDENTIAL_STORAGES,
            &OverMcp {
                required: CredentialStorageServer::REQUIRED,
                build: |server, _| Arc::new(CredentialStorageServer::new(server)),
            },
        )?;
        Ok(built
            .pop()
            .map_or_else(|| Arc::new(NotConfigured) as _, |(_, storage)| storage))
    }

    fn auth_proxy(
        &self,
        storage: &Arc<dyn CredentialStorage>,
    ) -> Result<Arc<dyn AuthProxy>, Vec<Violation>> {
        let (kind, table) = (PluginKind::AuthProxy, implementations::AUTH_PROXIES);
        let mut built = self.of_kind_with(
            (kind, table),
            storage,
            &OverMcp {
                required: AuthProxyServer::REQUIRED,
                build: |server, _| Arc::new(AuthProxyServer::new(server)),
            },
        )?;
        Ok(built
            .pop()
            .map_or_else(|| Arc::new(NotConfigured) as _, |(_, proxy)| proxy))
    }

    fn audit_sink(&self) -> Result<Arc<dyn AuditSink>, Vec<Violation>> {
        let kind = PluginKind::AuditSink;
        let built = self.of_kind(
            kind,
            implementations::AUDIT_SINKS,
            &OverMcp {
                required: AuditSinkServer::REQUIRED,
                build: |server, _| Arc::new(AuditSinkServer::new(server)),
            },
        )?;
        let (mut sinks, mut spooled) = (Vec::new(), Vec::new());
        let configured = self.plugins.of_kind(kind);
        for ((name, sink), (path, plugin)) in built.into_iter().zip(configured) {
            let on_overflow = plugin.on_overflow.unwrap_or(AuditOverflow::Refuse);
            let sink = match (plugin.provider, on_overflow) {
                (Provider::Mcp, _) => {
                    let sink = Arc::new(self.spooled((&path, plugin), &name, sink)?);
                    spooled.push(Arc::clone(&sink));
                    sink
                }
                (Provider::InMemory, AuditOverflow::Drop) => {
                    Arc::new(Dropping::new(name.clone(), sink)) as Arc<dyn AuditSink>
                }
                (Provider::InMemory, AuditOverflow::Refuse) => sink,
            };
            sinks.push((name, sink));
        }
        for sink in &spooled {
            sink.take_over(spooled.len());
        }
        let mut built = sinks;
        if built.len() > 1 {
            return Ok(Arc::new(EverySink::new(built)));
        }
        match built.pop() {
            Some((_, sink)) => Ok(sink),
            None => match self.registry.outputs.stdout() {
                Ok(writer) => Ok(Arc::new(JsonLines::new(writer))),
                Err(error) => Err(vec![cannot_start("plugins.audit_sink", &error)]),
            },
        }
    }

    /// A sink that may be away: its events wait for it in a spool, which goes on delivering as it did so far.
    fn spooled(
        &self,
        (path, plugin): (&str, &PluginConfig),
        name: &str,
        sink: Arc<dyn AuditSink>,
    ) -> Result<SpoolSink, Vec<Violation>> {
        let Some(spools) = &self.registry.spools else {
            return Err(vec![refusals::no_audit_spool(path)]);
        };
        let promises = Promises {
            durability: plugin.durability.unwrap_or(AuditDurability::Process),
            on_overflow: plugin.on_overflow.unwrap_or(AuditOverflow::Refuse),
        };
        let opened = spools.sink((self.tenant, name), sink, promises);
        opened.map_err(|error| vec![cannot_start(path, &error)])
    }

    fn policy_evaluator(&self) -> Result<Arc<dyn PolicyEvaluator>, Vec<Violation>> {
        let kind = PluginKind::PolicyEvaluator;
        let built = self.of_kind(
            kind,
            implementations::POLICY_EVALUATORS,
            &OverMcp {
                required: PolicyEvaluatorServer::REQUIRED,
                build: |server, _| Arc::new(PolicyEvaluatorServer::new(server)),
            },
        )?;
        let configured = self.plugins.policy_evaluator.iter();
        let remembering = built
            .into_iter()
            .zip(configured)
            .map(|((name, evaluator), plugin)| {
                let evaluator = match &plugin.cache {
                    Some(cache) => CachedPolicy::around(evaluator, self.tenant, &name, cache),
                    None => evaluator,
                };
                (name, evaluator)
            });
        let mut built: Vec<_> = remembering.collect();
        if built.len() > 1 {
            return Ok(Arc::new(AllMustAllow::new(built)));
        }
        Ok(match (built.pop(), self.registry.role) {
            (Some((_, evaluator)), _) => evaluator,
            (None, Role::Desktop { .. }) => Arc::new(AlwaysAllow),
            (None, Role::DataPlane { .. }) => Arc::new(DenyAll),
        })
    }

    fn mcp_provisioner(&self) -> Result<Arc<dyn McpProvisioner>, Vec<Violation>> {
        let kind = PluginKind::McpProvisioner;
        let mut built = self.of_kind(
            kind,
            implementations::MCP_PROVISIONERS,
            &OverMcp {
                required: McpProvisionerServer::REQUIRED,
                build: |server, _| Arc::new(McpProvisionerServer::new(server)),
            },
        )?;
        Ok(built.pop().map_or_else(
            || Arc::new(NotConfigured) as _,
            |(_, provisioner)| provisioner,
        ))
    }

    fn telemetry(&self) -> Result<Arc<dyn Telemetry>, Vec<Violation>> {
        let mut built = self.of_kind(
            PluginKind::Telemetry,
            implementations::TELEMETRIES,
            &OverMcp {
                required: TelemetryServer::REQUIRED,
                build: |server, tenant| Arc::new(TelemetryServer::new(server, tenant.clone())),
            },
        )?;
        Ok(built
            .pop()
            .map_or_else(|| Arc::new(Noop) as _, |(_, telemetry)| telemetry))
    }

    /// Builds the configured plugins of a kind that reads no credential.
    fn of_kind<T: ?Sized>(
        &self,
        kind: PluginKind,
        table: &[Implementation<T>],
        over_mcp: &OverMcp<T>,
    ) -> Result<Vec<(String, Arc<T>)>, Vec<Violation>> {
        let nothing: Arc<dyn CredentialStorage> = Arc::new(NotConfigured);
        self.of_kind_with((kind, table), &nothing, over_mcp)
    }

    /// Builds the configured plugins of one kind, in order, each with its name in messages.
    fn of_kind_with<T: ?Sized>(
        &self,
        (kind, table): (PluginKind, &[Implementation<T>]),
        storage: &Arc<dyn CredentialStorage>,
        over_mcp: &OverMcp<T>,
    ) -> Result<Vec<(String, Arc<T>)>, Vec<Violation>> {
        let mut built = Vec::new();
        for (path, plugin) in self.plugins.of_kind(kind) {
            if let Some(spec) = &plugin.server {
                let field = format!("{path}.server");
                let dial = self.servers.find(self.tenant, &field, spec)?;
                let timeout = plugin.timeout.map(TimeSpan::as_duration);
                let health = Arc::new(Health::new(self.tenant, &path));
                self.registry.conditions.add(&health);
                let server = PluginServer::new(dial, &path, over_mcp.required, timeout, health);
                let name = plugin.name.clone().unwrap_or_else(|| kind.to_string());
                built.push((name, (over_mcp.build)(server, self.tenant)));
                continue;
            }
            let wanted = plugin.implementation.as_deref().unwrap_or_default();
            let Some(implementation) = table.iter().find(|known| known.name == wanted) else {
                return Err(vec![refusals::unknown_implementation(kind, &path, wanted)]);
            };
            let name = plugin.name.as_deref().unwrap_or(wanted).to_owned();
            let parts = Parts {
                tenant: self.tenant,
                settings: &plugin.settings,
                durability: plugin.durability,
                outputs: &self.registry.outputs,
                data_dir: &self.registry.data_dir,
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
