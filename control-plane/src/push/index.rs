//! The current configuration of every tenant, as of one moment of the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::{Revision, TenantId};

use super::Recipient;
use super::feed::Step;
use super::shared_map::{SharedMap, side_by_side};
use crate::rollout::Stage;
use crate::store::{self, Head, Heads};

/// Which revision each tenant has, as of one sequence of the store. Shared, not copied: a replica
/// that is behind costs one pointer to where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The store's sequence.
    pub(crate) sequence: u64,
    /// What every tenant has that exists at it, but for canaries.
    pub(super) revisions: Arc<SharedMap<TenantId, Revision>>,
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
    /// Where whoever holds these documents is before it has answered: mostly where all are, and only what
    /// is different there takes space.
    pub(super) fn held(held: &BTreeMap<TenantId, Revision>, current: &Self) -> Self {
        let mut revisions = Arc::clone(&current.revisions);
        for (tenant, current, held) in side_by_side(current.revisions.iter(), held.iter()) {
            match held {
                Some(held) if current != Some(held) => {
                    Arc::make_mut(&mut revisions).insert(tenant.clone(), *held);
                }
                None => Arc::make_mut(&mut revisions).remove(tenant),
                Some(_) => {}
            }
        }
        Self {
            sequence: 0,
            revisions,
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

    /// The tenants of which a few replicas have something else.
    pub(super) fn with_canaries(&self) -> impl Iterator<Item = &TenantId> {
        self.canaries.keys()
    }
}

/// What is current, with the encoded documents. Immutable: a change makes a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    position: Position,
    heads: SharedMap<TenantId, Entry>,
    /// How many tenants have a last revision that not every replica is to have yet.
    rollouts: usize,
    recent: Recent,
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
    /// What replicas had before, as far as this process has seen it.
    before: Option<Revision>,
}

impl Entry {
    fn revision(&self) -> Option<Revision> {
        self.current.as_ref().map(|(revision, _)| *revision)
    }

    fn is_rolled_out(&self) -> bool {
        self.latest != self.revision()
    }

    /// What a recipient is to have of the tenant, if it may have it.
    fn for_(&self, recipient: &Recipient) -> Option<Wanted<'_>> {
        let canary = self.canary.as_ref();
        if let Some(canary) = canary.filter(|canary| canary.replicas.contains(&recipient.replica)) {
            return Some(Wanted {
                revision: canary.revision,
                config: &canary.config,
                is_canary: true,
            });
        }
        let (revision, config) = self.current.as_ref()?;
        Some(Wanted {
            revision: *revision,
            config,
            is_canary: false,
        })
    }
}

impl Index {
    /// This index after what was read from the store; `None` if that is nothing new.
    pub(super) fn with(&self, read: Heads) -> Option<Self> {
        if read.sequence <= self.position.sequence {
            return None;
        }
        let mut next = self.clone();
        next.position.sequence = read.sequence;
        for head in read.heads {
            let known = next.heads.get(&head.tenant);
            if known.is_none_or(|known| head.sequence > known.sequence) {
                next.take(head);
            }
        }
        Some(next)
    }

    /// Takes in what has become of one tenant. All others are left as they are.
    fn take(&mut self, head: Head) {
        let Head {
            tenant,
            sequence,
            latest,
            current,
            canary,
        } = head;
        let known = self.heads.get(&tenant);
        let entry = Entry {
            sequence,
            latest,
            current,
            canary,
            before: known.and_then(Entry::revision),
        };
        self.rollouts -= usize::from(known.is_some_and(Entry::is_rolled_out));
        self.rollouts += usize::from(entry.is_rolled_out());
        let revisions = Arc::make_mut(&mut self.position.revisions);
        match entry.revision() {
            Some(revision) => revisions.insert(tenant.clone(), revision),
            None => revisions.remove(&tenant),
        }
        if entry.canary.is_some() || self.position.canaries.contains_key(&tenant) {
            let canaries = Arc::make_mut(&mut self.position.canaries);
            match &entry.canary {
                Some(store::Canary {
                    revision, replicas, ..
                }) => {
                    let (revision, replicas) = (*revision, Arc::clone(replicas));
                    canaries.insert(tenant.clone(), Canary { revision, replicas });
                }
                None => drop(canaries.remove(&tenant)),
            }
        }
        self.recent.push(sequence, tenant.clone());
        self.heads.insert(tenant, entry);
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

    /// What a replica had of a tenant at a sequence, as far as that is known here.
    pub(super) fn tenant_at(
        &self,
        tenant: &TenantId,
        replica: &str,
        sequence: u64,
    ) -> Option<Revision> {
        let entry = self.heads.get(tenant)?;
        match entry.sequence <= sequence {
            true => self.position.revision(tenant, replica),
            false => entry.before,
        }
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

    /// How many rollouts go on, and how many are halted.
    pub(super) fn count_rollouts(&self) -> [(Stage, u64); 2] {
        let entries = self.heads.iter().map(|(_, entry)| entry);
        let rolled_out = entries.filter(|entry| entry.is_rolled_out());
        let (on, halted): (Vec<_>, Vec<_>) = rolled_out.partition(|entry| entry.canary.is_some());
        [
            (Stage::Canary, on.len() as u64),
            (Stage::Halted, halted.len() as u64),
        ]
    }

    /// What leads a recipient from an earlier index to here, in the order of the changes; `None`: no
    /// change since was of a tenant that it may have. Of one that leaves to it what it had there is
    /// no step.
    pub(super) fn since(&self, before: &Self, recipient: &Recipient) -> Option<Vec<Step>> {
        let mut changed = self.changed_since(before.position.sequence);
        changed.retain(|tenant| recipient.may_have(tenant));
        if changed.is_empty() {
            return None;
        }
        let steps = changed.into_iter().filter_map(|tenant| {
            let (then, now) = (before.for_(recipient, tenant), self.for_(recipient, tenant));
            match (then, now) {
                (Some(then), Some(now)) if then.is_same(&now) => None,
                (None, None) => None,
                (_, Some(now)) => Some(now.put(tenant)),
                (Some(_), None) => Some(Step::Remove(tenant.clone())),
            }
        });
        Some(steps.collect())
    }

    /// What leads from the documents that a recipient holds to here: removals, also of what it may
    /// not have any more, then documents in the order of their changes. `comparable`: equal revisions
    /// are equal documents.
    pub(super) fn since_held(
        &self,
        held: &BTreeMap<TenantId, Revision>,
        comparable: bool,
        recipient: &Recipient,
    ) -> Vec<Step> {
        let (mut steps, mut changed) = (Vec::new(), Vec::new());
        for (tenant, entry, held) in side_by_side(self.heads.iter(), held.iter()) {
            let entry = entry.filter(|_| recipient.may_have(tenant));
            let now = entry.and_then(|entry| Some((entry.sequence, entry.for_(recipient)?)));
            let Some((sequence, now)) = now else {
                // What the replica does not hold need not be taken away.
                steps.extend(held.map(|_| Step::Remove(tenant.clone())));
                continue;
            };
            let is_held = comparable && held == Some(&now.revision);
            // A canary is asked to report, which it may have forgotten.
            if !is_held || now.is_canary {
                changed.push((sequence, now.put(tenant)));
            }
        }
        changed.sort_by_key(|(sequence, _)| *sequence);
        steps.extend(changed.into_iter().map(|(_, step)| step));
        steps
    }

    /// What a recipient is to have of a tenant that it may have.
    fn for_(&self, recipient: &Recipient, tenant: &TenantId) -> Option<Wanted<'_>> {
        self.heads.get(tenant)?.for_(recipient)
    }

    /// The tenants that changed after a sequence, in the order of their last changes.
    pub(super) fn changed_since(&self, sequence: u64) -> Vec<&TenantId> {
        if sequence >= self.recent.begin {
            let changes = &self.recent.changes;
            let later = changes.partition_point(|(changed, _)| *changed <= sequence);
            let later = changes.range(later..);
            // Of several changes of a tenant only the last one is still its head.
            let is_last = |(changed, tenant): &&(u64, TenantId)| {
                let entry = self.heads.get(tenant);
                entry.is_some_and(|entry| entry.sequence == *changed)
            };
            return later.filter(is_last).map(|(_, tenant)| tenant).collect();
        }
        let heads = self.heads.iter();
        let mut changed: Vec<_> = heads
            .filter(|(_, entry)| entry.sequence > sequence)
            .map(|(tenant, entry)| (entry.sequence, tenant))
            .collect();
        changed.sort_by_key(|(sequence, _)| *sequence);
        changed.into_iter().map(|(_, tenant)| tenant).collect()
    }
}

/// What a replica is to have of a tenant.
struct Wanted<'a> {
    revision: Revision,
    config: &'a Bytes,
    is_canary: bool,
}

impl Wanted<'_> {
    /// A revision never changes.
    fn is_same(&self, other: &Wanted<'_>) -> bool {
        (self.revision, self.is_canary) == (other.revision, other.is_canary)
    }

    fn put(&self, tenant: &TenantId) -> Step {
        Step::Put {
            tenant: tenant.clone(),
            revision: self.revision,
            config: self.config.clone(),
            canary: self.is_canary,
        }
    }
}

/// The last changes, so that who is not far behind need not look at every tenant.
#[derive(Debug, Clone, Default)]
struct Recent {
    /// All changes after this sequence are there.
    begin: u64,
    changes: VecDeque<(u64, TenantId)>,
}

impl Recent {
    /// How many are kept. Most replicas are behind by a few.
    const MOST: usize = 512;

    fn push(&mut self, sequence: u64, tenant: TenantId) {
        self.changes.push_back((sequence, tenant));
        while self.changes.len() > Self::MOST {
            if let Some((dropped, _)) = self.changes.pop_front() {
                self.begin = dropped;
            }
        }
    }
}
