//! Turns a document into a snapshot: whole, or not at all. What a document leaves as it was keeps
//! running.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::ServerName;
use gateway_core::config::{TenantConfig, Violation};
use gateway_mcp::client::Connector;
use gateway_plugins::{Registry, SecretResolver};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::Limits;
use crate::load::Load;
use crate::pipeline::Strangers;
use crate::snapshot::{Origin, Snapshot, Views};
use crate::upstream::{Commands, Quota, Target, Upstream};

/// What a configuration may ask of this process. A setting of the process: no configuration that
/// is pushed can extend it.
#[derive(Debug)]
pub struct Permits {
    /// Builds plugins, as the process's role demands.
    pub registry: Registry,
    /// Finds the secrets that configurations refer to.
    pub secrets: SecretResolver,
    /// The one way out to servers and plugins.
    pub connector: Connector,
    /// Which programs may be started.
    pub commands: Commands,
    /// The largest message that is taken from a server.
    pub max_message_bytes: usize,
    /// Whether servers are connected to, and programs started, as soon as they are configured; else
    /// once somebody asks for them.
    pub connects_at_once: bool,
}

/// What of it is needed to reach a server.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pub(crate) secrets: SecretResolver,
    pub(crate) connector: Connector,
    pub(crate) commands: Commands,
    pub(crate) max_message_bytes: usize,
}

impl Permits {
    pub(crate) fn outbound(&self) -> Outbound {
        Outbound {
            secrets: self.secrets.clone(),
            connector: self.connector.clone(),
            commands: self.commands.clone(),
            max_message_bytes: self.max_message_bytes,
        }
    }

    /// Everything for which a document would be refused; empty when it can be put in force.
    /// Starts nothing and touches no network.
    pub fn check(&self, config: &TenantConfig) -> Vec<Violation> {
        let mut violations = self.targets(config).err().unwrap_or_default();
        violations.extend(self.registry.check(&config.plugins));
        if violations.is_empty() {
            violations.extend(self.plugin_servers(config));
        }
        violations
    }

    fn targets(
        &self,
        config: &TenantConfig,
    ) -> Result<BTreeMap<ServerName, Target>, Vec<Violation>> {
        let mut violations = gateway_core::config::check(config);
        let (outbound, mut targets) = (self.outbound(), BTreeMap::new());
        for (name, server) in &config.servers {
            match Target::of(&outbound, &config.tenant, name, server) {
                Ok(target) => drop(targets.insert(name.clone(), target)),
                Err(found) => violations.extend(found),
            }
        }
        if violations.is_empty() {
            Ok(targets)
        } else {
            Err(violations)
        }
    }
}

/// Compiles documents within what this process permits.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) permits: Permits,
    pub(crate) limits: Limits,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the gateway is to stop.
    pub(crate) stopping: CancellationToken,
}

impl Compiler {
    /// The snapshot of a document, next to the one that is in force. Nothing is started before
    /// everything is known to be sound.
    pub(crate) fn compile(
        &self,
        config: TenantConfig,
        origin: Origin,
        previous: Option<&Snapshot>,
    ) -> Result<Snapshot, Vec<Violation>> {
        // Nothing is built for a document that is refused in any case.
        let targets = self.permits.targets(&config);
        let targets = targets.map_err(|_| self.permits.check(&config))?;
        let registry = &self.permits.registry;
        let plugins = match previous {
            Some(previous) => {
                let kept = (&previous.config.plugins, &previous.plugins);
                registry.rebuild(&config.tenant, &config.plugins, &self.permits, kept)
            }
            None => registry.build(&config.tenant, &config.plugins, &self.permits),
        }?;
        let quota = previous.map(|kept| Arc::clone(&kept.quota));
        let quota = quota.unwrap_or_default();
        let load = previous.map(|kept| Arc::clone(&kept.load));
        let load = load.unwrap_or_else(|| Arc::new(Load::of_tenant(&self.limits)));
        let strangers = previous.map(|kept| Arc::clone(&kept.strangers));
        let strangers = strangers.unwrap_or_else(|| Strangers::new(&self.tasks, &self.stopping));
        let servers = targets
            .into_iter()
            .map(|(name, target)| (name, self.start_or_keep(target, &quota, previous)))
            .collect::<BTreeMap<_, _>>();
        let same_sink =
            |previous: &&Snapshot| Arc::ptr_eq(&previous.plugins.audit_sink, &plugins.audit_sink);
        let audit = previous.filter(same_sink).map(|kept| kept.audit.clone());
        Ok(Snapshot {
            tenant: config.tenant.clone(),
            origin,
            since: Timestamp::now(),
            views: Views::new(&config, &servers),
            config,
            plugins,
            audit: audit.unwrap_or_default(),
            strangers,
            quota,
            load,
            servers,
            tally: Arc::default(),
        })
    }

    fn start_or_keep(
        &self,
        target: Target,
        quota: &Arc<Quota>,
        previous: Option<&Snapshot>,
    ) -> Arc<Upstream> {
        let running = previous.and_then(|previous| previous.servers.get(target.name()));
        match running {
            Some(running) if running.target().is_same(&target) => Arc::clone(running),
            _ => {
                let server = Upstream::new(target, quota, &self.tasks);
                if self.permits.connects_at_once {
                    server.connect();
                }
                Arc::new(server)
            }
        }
    }
}
