//! Puts documents in force: those that a control plane sends, and those that were kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::Violation;
use gateway_core::{HostName, Revision, TenantId};
use gateway_proto::push::v1::{Document, Peers, Refusal, SubscribeResponse};
use tokio::sync::watch;
use tracing::{info, warn};

use super::Compiler;
use super::cache::{Cache, Found, Keeper, KeptHosts, StoredDocument, Writer};
use super::follow::Position;
use crate::Gateway;
use crate::fleet;
use crate::snapshot::{Origin, Snapshot};

/// How long a replica that starts waits for what others know of sessions.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// Compiles documents, swaps them in, and has them kept.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) compiler: Compiler,
    /// `None`: nothing is kept.
    pub(crate) keeper: Option<Keeper>,
    /// Set when a first configuration is in force.
    pub(crate) in_sync: watch::Sender<bool>,
}

impl InForce {
    /// Puts in force what was kept, and says where in which store that is.
    pub(super) async fn restore(&self, cache: Cache) -> (Position, Option<Writer>) {
        // What panics in there has said so.
        let Ok((found, writer)) = tokio::task::spawn_blocking(|| cache.read()).await else {
            return (Position::default(), None);
        };
        let position = match found {
            Ok(Some(found)) => self.put_back(found).await,
            Ok(None) => Position::default(),
            Err(unusable) => {
                warn!(
                    "{unusable}: it counts as absent, and nothing is served before a control plane is reached"
                );
                Position::default()
            }
        };
        (position, Some(writer))
    }

    async fn put_back(&self, found: Found) -> Position {
        let Found {
            position,
            documents,
            host_names,
            confirmed,
            file,
        } = found;
        self.gateway.hosts.replace(read_hosts(&host_names));
        let (mut snapshots, mut left_out) = (Vec::new(), 0_usize);
        for (tenant, StoredDocument { origin, config }) in documents {
            let revision = origin.revision;
            match self.compile(tenant.as_str(), &config, origin) {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(violations) => {
                    let file = file.display();
                    for Violation { path, reason } in violations {
                        warn!(%tenant, %revision, path, reason, "a configuration of {file} was not put in force");
                    }
                    left_out += 1;
                    // A control plane that has no such tenant any more would not say so.
                    if let Some(keeper) = &self.keeper {
                        keeper.remove(tenant);
                    }
                }
            }
            // Each takes its time, and there may be thousands.
            tokio::task::yield_now().await;
        }
        let tenants = snapshots.len();
        info!(tenants, left_out, %confirmed, "kept configurations are in force");
        self.gateway.tenants.put_all(snapshots);
        if tenants > 0 || left_out == 0 {
            self.in_sync.send_replace(true);
        }
        position
    }

    /// The control plane is there, and there is nothing new.
    pub(super) fn confirm(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.confirm();
        }
    }

    /// Takes note of the other replicas, and asks those that are new what they know of sessions. They
    /// have a moment before this one says that it is ready; afterwards they are listened to on the side.
    pub(super) async fn meet(&self, peers: Option<Peers>) {
        let (Some(fleet), Some(Peers { peers })) = (&self.gateway.fleet, peers) else {
            return;
        };
        let told = peers.into_iter().filter_map(|peer| {
            let address = peer.advertise.parse();
            // One that is only told of tenants that cannot be read here serves none.
            let tenants = peer.tenants.iter().map(|tenant| tenant.parse());
            let tenants = tenants.collect::<Result<_, _>>().ok()?;
            Some((peer.replica, address.ok()?, tenants))
        });
        let new = fleet.update(told);
        if new.is_empty() {
            return;
        }
        let gateway = Arc::clone(&self.gateway);
        let stop = gateway.stopping.clone();
        let learning = stop.run_until_cancelled_owned(fleet::learn(gateway, new));
        let learnt = self.gateway.tasks.spawn(learning);
        if !*self.in_sync.borrow() {
            tokio::time::timeout(INTRODUCTION, learnt).await.ok();
        }
    }

    /// Compiles and swaps in what a batch brings. What is refused leaves the last good
    /// configuration of its tenant in force, and the other tenants alone.
    pub(super) fn take(&self, batch: SubscribeResponse, reached: &Position) -> Vec<Refusal> {
        if let Some(names) = batch.host_names {
            let names = names.host_names.into_iter();
            let names: KeptHosts = Arc::new(names.map(|name| (name.host, name.tenant)).collect());
            self.gateway.hosts.replace(read_hosts(&names));
            if let Some(keeper) = &self.keeper {
                keeper.know_hosts(names);
            }
        }
        for tenant in batch
            .removed_tenants
            .iter()
            .filter_map(|tenant| tenant.parse::<TenantId>().ok())
        {
            info!(%tenant, "the tenant was removed");
            self.gateway.tenants.remove(&tenant);
            if let Some(keeper) = &self.keeper {
                keeper.remove(tenant);
            }
        }
        let mut new = Vec::new();
        let documents = batch.documents.into_iter();
        let refusals = documents
            .filter_map(|document| self.replace(document, &reached.store, &mut new))
            .collect();
        // Each time the list of all tenants is made anew.
        self.gateway.tenants.put_all(new);
        if !batch.more {
            if let Some(keeper) = &self.keeper {
                keeper.reach(reached.clone());
            }
            self.in_sync.send_replace(true);
        }
        refusals
    }

    /// What is the first of its tenant goes to `new`, and is to be put in force with others.
    fn replace(
        &self,
        document: Document,
        store: &Arc<str>,
        new: &mut Vec<Snapshot>,
    ) -> Option<Refusal> {
        let (name, revision) = (document.tenant, Revision(document.revision));
        let origin = Origin {
            store: Arc::clone(store),
            revision,
        };
        if self.has(&name, &origin, document.canary) {
            return None;
        }
        match self.compile(&name, &document.config, origin.clone()) {
            Ok(snapshot) => {
                snapshot.tally.ask(document.canary);
                let (tenant, servers) = (snapshot.tenant.clone(), snapshot.servers.len());
                match self.gateway.tenants.get(&tenant) {
                    Some(_) => self.gateway.tenants.put(snapshot),
                    None => new.push(snapshot),
                }
                info!(%tenant, servers, "configuration in force revision={revision}");
                if let Some(keeper) = &self.keeper {
                    let config = document.config;
                    keeper.put(tenant, StoredDocument { origin, config });
                }
                None
            }
            Err(violations) => {
                for Violation { path, reason } in &violations {
                    warn!(tenant = name, %revision, path, reason, "the configuration was not put in force");
                }
                Some(Refusal {
                    tenant: name,
                    revision: revision.0,
                    violations: violations
                        .into_iter()
                        .map(
                            |Violation { path, reason }| gateway_proto::push::v1::Violation {
                                path,
                                reason,
                            },
                        )
                        .collect(),
                })
            }
        }
    }

    /// Whether a document is in force already, and said again only for whether it is a canary's.
    fn has(&self, tenant: &str, origin: &Origin, canary: bool) -> bool {
        let tenant = tenant.parse().ok();
        let kept = tenant.and_then(|tenant| self.gateway.tenants.get(&tenant));
        let same = kept.filter(|kept| kept.origin == *origin);
        if let Some(same) = &same {
            same.tally.ask(canary);
        }
        same.is_some()
    }

    fn compile(
        &self,
        tenant: &str,
        config: &[u8],
        origin: Origin,
    ) -> Result<Snapshot, Vec<Violation>> {
        let config = gateway_proto::decode(config).map_err(|error| {
            let reason = format!("the document cannot be read: {error}");
            vec![Violation::new("", reason)]
        })?;
        if config.tenant.as_str() != tenant {
            return Err(vec![Violation::new(
                "tenant",
                "the document is another tenant's",
            )]);
        }
        let previous = self.gateway.tenants.get(&config.tenant);
        self.compiler.compile(config, origin, previous.as_deref())
    }
}

/// A name that is none, which no control plane of this version gives, stands for nobody.
fn read_hosts(names: &KeptHosts) -> HashMap<HostName, TenantId> {
    let names = names.iter();
    names
        .filter_map(|(host, tenant)| Some((host.parse().ok()?, tenant.parse().ok()?)))
        .collect()
}
