//! The current configuration of every tenant, as of one moment of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::{Revision, TenantId};

use super::feed::Step;
use crate::store::{self, Head, Heads};

/// Which revision each tenant has, as of one sequence of the store. Shared, not copied: a replica
/// that is behind costs one pointer to where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The store's sequence.
    pub sequence: u64,
    /// What every tenant has that exists at it, but for canaries.
    pub revisions: Arc<BTreeMap<TenantId, Revision>>,
    /// What canaries have instead, and who they are.
    canaries: Arc<BTreeMap<TenantId, Canary>>,
}

/// The replicas that have a revision before the others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Canary {
    revision: Revision,
    replicas: Arc<BTreeSet<String>>,
}

impl Position {
    /// Where whoever holds these documents is before it has answered.
    pub(super) fn held(revisions: BTreeMap<TenantId, Revision>) -> Self {
        Self {
            sequence: 0,
            revisions: Arc::new(revisions),
            canaries: Arc::default(),
        }
    }

    /// What a replica has of a tenant, if it is here.
    pub(super) fn revision(&self, tenant: &TenantId, replica: &str) -> Option<Revision> {
        let canary = self.canaries.get(tenant);
        match canary.filter(|canary| canary.replicas.contains(replica)) {
            Some(canary) => Some(canary.revision),
            None => self.revisions.get(tenant).copied(),
        }
    }

    /// The tenants that some replica has which is here.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.revisions.keys().chain(self.canaries.keys())
    }
}

/// What is current, with the encoded documents. Immutable: a change makes a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    position: Position,
    heads: BTreeMap<TenantId, Entry>,
    /// How many tenants have a last revision that not every replica is to have yet.
    rollouts: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    sequence: u64,
    /// The last revision; `None`: the tenant was removed.
    latest: Option<Revision>,
    /// What replicas are to have; `None`: nothing.
    current: Option<(Revision, Bytes)>,
    /// What canaries are to have instead.
    canary: Option<store::Canary>,
}

impl Entry {
    fn is_rolled_out(&self) -> bool {
        let current = self.current.as_ref().map(|(revision, _)| *revision);
        self.latest != current
    }
}

impl Index {
    /// This index after what was read from the store; `None` if that is nothing new.
    pub(super) fn with(&self, read: Heads) -> Option<Self> {
        if read.sequence <= self.position.sequence {
            return None;
        }
        let mut heads = self.heads.clone();
        for head in read.heads {
            let Head {
                tenant,
                sequence,
                latest,
                current,
                canary,
            } = head;
            let known = heads.get(&tenant).map_or(0, |entry| entry.sequence);
            if sequence > known {
                let entry = Entry {
                    sequence,
                    latest,
                    current,
                    canary,
                };
                heads.insert(tenant, entry);
            }
        }
        let live = heads.iter().filter_map(|(tenant, entry)| {
            let (revision, _) = entry.current.as_ref()?;
            Some((tenant.clone(), *revision))
        });
        let canaries = heads.iter().filter_map(|(tenant, entry)| {
            let canary = entry.canary.as_ref()?;
            let (revision, replicas) = (canary.revision, Arc::clone(&canary.replicas));
            Some((tenant.clone(), Canary { revision, replicas }))
        });
        let position = Position {
            sequence: read.sequence,
            revisions: Arc::new(live.collect()),
            canaries: Arc::new(canaries.collect()),
        };
        let mut entries = heads.values();
        let rollouts = entries.by_ref().filter(|entry| entry.is_rolled_out());
        let rollouts = rollouts.count();
        Some(Self {
            position,
            heads,
            rollouts,
        })
    }

    /// Which revision each tenant has.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// When a tenant last changed and its last revision; `None` if there never was one.
    pub(super) fn tenant(&self, tenant: &TenantId) -> Option<(u64, Option<Revision>)> {
        let entry = self.heads.get(tenant)?;
        Some((entry.sequence, entry.latest))
    }

    /// The tenants that there are, in the order of their names.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        let live = self
            .heads
            .iter()
            .filter(|(_, entry)| entry.latest.is_some());
        live.map(|(tenant, _)| tenant)
    }

    /// Whether a revision is on its way that not every replica is to have yet.
    pub(super) fn has_rollouts(&self) -> bool {
        self.rollouts > 0
    }

    /// What leads from `sequence` to here, in the order of the changes.
    pub(super) fn since(&self, sequence: u64) -> Vec<Step> {
        let mut steps: Vec<_> = self
            .heads
            .iter()
            .filter(|(_, entry)| entry.sequence > sequence)
            .map(|(tenant, entry)| (entry.sequence, step(tenant, entry)))
            .collect();
        steps.sort_by_key(|(sequence, _)| *sequence);
        steps.into_iter().map(|(_, step)| step).collect()
    }

    /// What leads from the documents that a replica holds to here: removals, then documents in the
    /// order of their changes. `comparable`: equal revisions are equal documents.
    pub(super) fn since_held(
        &self,
        held: &BTreeMap<TenantId, Revision>,
        comparable: bool,
    ) -> Vec<Step> {
        let removed = held
            .keys()
            .filter(|tenant| !self.position.revisions.contains_key(*tenant));
        let mut steps: Vec<_> = removed.cloned().map(Step::Remove).collect();
        let changed = self.since(0).into_iter().filter(|step| match step {
            Step::Put {
                tenant, revision, ..
            } => !comparable || held.get(tenant) != Some(revision),
            // What the replica does not hold need not be taken away.
            Step::Remove(_) => false,
        });
        steps.extend(changed);
        steps
    }
}

fn step(tenant: &TenantId, entry: &Entry) -> Step {
    match &entry.current {
        Some((revision, config)) => Step::Put {
            tenant: tenant.clone(),
            revision: *revision,
            config: config.clone(),
        },
        None => Step::Remove(tenant.clone()),
    }
}
