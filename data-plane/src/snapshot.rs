//! What is in force: one compiled configuration per tenant, swapped as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gateway_core::config::TenantConfig;
use gateway_core::plugin::Plugins;
use gateway_core::{ProfileName, Revision, ServerName, TenantId};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::endpoint::View;
use crate::exposure::{Exposure, Profile};
use crate::load::Load;
use crate::pipeline::{AuditGate, Strangers};
use crate::upstream::{Quota, Upstream};

mod tally;

pub(crate) use tally::Tally;

/// One tenant's configuration, compiled. A request takes it once and holds it to its end, so that
/// it sees exactly one revision.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) tenant: TenantId,
    pub(crate) origin: Origin,
    /// When it came into force.
    pub(crate) since: Timestamp,
    pub(crate) config: TenantConfig,
    pub(crate) plugins: Plugins,
    /// Belongs to the audit sink, and stays for as long as that does.
    pub(crate) audit: AuditGate,
    /// What is recorded of those whom nobody knows; the tenant's for good.
    pub(crate) strangers: Arc<Strangers>,
    /// Of connections to servers; the tenant's for good.
    pub(crate) quota: Arc<Quota>,
    /// What the tenant has under way; the tenant's for good.
    pub(crate) load: Arc<Load>,
    pub(crate) servers: BTreeMap<ServerName, Arc<Upstream>>,
    pub(crate) views: Views,
    /// Shared with the requests under way, whose end it counts.
    pub(crate) tally: Arc<Tally>,
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The control plane's store, in which revisions count.
    pub(crate) store: Arc<str>,
    pub(crate) revision: Revision,
}

/// What each view of a tenant shows.
#[derive(Debug)]
pub(crate) struct Views {
    all: Arc<Exposure>,
    servers: BTreeMap<ServerName, Arc<Exposure>>,
    profiles: BTreeMap<ProfileName, Arc<Exposure>>,
}

impl Views {
    pub(crate) fn new(
        config: &TenantConfig,
        servers: &BTreeMap<ServerName, Arc<Upstream>>,
    ) -> Self {
        let all = Exposure::of_many(servers.values().cloned().collect(), None);
        let alone = servers
            .iter()
            .map(|(name, server)| (name.clone(), Arc::new(Exposure::of_one(Arc::clone(server)))));
        let profiles = config.profiles.iter().map(|(name, profile)| {
            let shown = profile
                .servers
                .iter()
                .filter_map(|server| servers.get(server).cloned());
            let filter = Profile::new(&profile.tools);
            (
                name.clone(),
                Arc::new(Exposure::of_many(shown.collect(), Some(filter))),
            )
        });
        Self {
            all: Arc::new(all),
            servers: alone.collect(),
            profiles: profiles.collect(),
        }
    }

    fn get(&self, view: &View) -> Option<&Arc<Exposure>> {
        match view {
            View::All => Some(&self.all),
            View::Server(name) => self.servers.get(name),
            View::Profile(name) => self.profiles.get(name),
        }
    }
}

impl Snapshot {
    /// What a view shows; `None` when there is no such view.
    pub(crate) fn exposure(&self, view: &View) -> Option<Arc<Exposure>> {
        self.views.get(view).map(Arc::clone)
    }
}

/// The tenants of this replica.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    /// Counts what is put in and out of force.
    changes: watch::Sender<u64>,
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
        self.tell();
    }

    /// Puts the snapshots of many tenants in force at once, for none of which anything is.
    pub(crate) fn put_all(&self, snapshots: Vec<Snapshot>) {
        let slots = snapshots.into_iter().map(|snapshot| {
            let tenant = snapshot.tenant.clone();
            (tenant, Arc::new(ArcSwap::from_pointee(snapshot)))
        });
        let slots: Vec<_> = slots.collect();
        if slots.is_empty() {
            return;
        }
        drop(self.by_id.rcu(|tenants| {
            let mut tenants = BTreeMap::clone(tenants);
            tenants.extend(slots.iter().cloned());
            tenants
        }));
        self.tell();
    }

    /// Takes a tenant out of force.
    pub(crate) fn remove(&self, tenant: &TenantId) {
        drop(self.by_id.rcu(|tenants| {
            let mut tenants = BTreeMap::clone(tenants);
            tenants.remove(tenant);
            tenants
        }));
        self.tell();
    }

    /// Whether nothing is in force yet, or any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.load().is_empty()
    }

    /// Tells when another configuration of any tenant is in force.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tell(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
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
