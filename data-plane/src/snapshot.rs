//! What is in force: one compiled configuration per tenant, swapped as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gateway_core::config::TenantConfig;
use gateway_core::plugin::Plugins;
use gateway_core::{Revision, ServerName, TenantId};

use crate::endpoint::View;
use crate::pipeline::AuditGate;
use crate::upstream::Upstream;

/// One tenant's configuration, compiled. A request takes it once and holds it to its end, so that
/// it sees exactly one revision.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) tenant: TenantId,
    pub(crate) origin: Origin,
    pub(crate) config: TenantConfig,
    pub(crate) plugins: Plugins,
    /// Belongs to the audit sink, and stays for as long as that does.
    pub(crate) audit: AuditGate,
    pub(crate) servers: BTreeMap<ServerName, Arc<Upstream>>,
}

/// Where a document comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The control plane's store, in which revisions count.
    pub(crate) store: Arc<str>,
    pub(crate) revision: Revision,
}

impl Snapshot {
    /// The servers that a view shows, in a fixed order; `None` when there is no such view.
    pub(crate) fn servers_of(&self, view: &View) -> Option<Vec<&Arc<Upstream>>> {
        match view {
            View::All => Some(self.servers.values().collect()),
            View::Server(name) => self.servers.get(name).map(|server| vec![server]),
            View::Profile(_) => None,
        }
    }

    /// Whether names in this view carry their server's name. Decided by the configuration alone,
    /// so that names do not change when a server is down.
    pub(crate) fn is_prefixed(&self, view: &View) -> bool {
        match view {
            View::Server(_) => false,
            View::All | View::Profile(_) => self.servers.len() > 1,
        }
    }
}

/// The tenants of this replica.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_id: ArcSwap<BTreeMap<TenantId, Arc<ArcSwap<Snapshot>>>>,
}

impl Tenants {
    /// What is in force for a tenant.
    pub(crate) fn get(&self, tenant: &TenantId) -> Option<Arc<Snapshot>> {
        self.by_id.load().get(tenant).map(|slot| slot.load_full())
    }

    /// Puts a snapshot in force. Requests under way keep the one that they hold.
    pub(crate) fn put(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        match self.by_id.load().get(&snapshot.tenant) {
            Some(slot) => slot.store(snapshot),
            None => drop(self.by_id.rcu(|tenants| {
                let mut tenants = BTreeMap::clone(tenants);
                let slot = Arc::new(ArcSwap::new(Arc::clone(&snapshot)));
                tenants.insert(snapshot.tenant.clone(), slot);
                tenants
            })),
        }
    }

    /// Takes a tenant out of force.
    pub(crate) fn remove(&self, tenant: &TenantId) {
        drop(self.by_id.rcu(|tenants| {
            let mut tenants = BTreeMap::clone(tenants);
            tenants.remove(tenant);
            tenants
        }));
    }

    /// Whether nothing is in force yet, or any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.load().is_empty()
    }

    /// Every snapshot in force.
    pub(crate) fn all(&self) -> Vec<Arc<Snapshot>> {
        self.by_id
            .load()
            .values()
            .map(|slot| slot.load_full())
            .collect()
    }

    /// Takes everything out of force, so that what it holds can end.
    pub(crate) fn clear(&self) {
        self.by_id.store(Arc::default());
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
