//! The current configuration of every tenant, as of one moment of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::{Revision, TenantId};

use super::Recipient;
use super::feed::Step;
use crate::store::{Head, Heads};

/// Which revision each tenant has, as of one sequence of the store. Shared, not copied: a replica
/// that is behind costs one pointer to where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The store's sequence.
    pub(crate) sequence: u64,
    /// Every tenant that exists at it.
    pub(crate) revisions: Arc<BTreeMap<TenantId, Revision>>,
}

/// What is current, with the encoded documents. Immutable: a change makes a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    position: Position,
    heads: BTreeMap<TenantId, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    sequence: u64,
    /// `None`: the tenant was removed.
    current: Option<(Revision, Bytes)>,
    /// What it had before, as far as this process has seen it.
    before: Option<Revision>,
}

impl Entry {
    fn revision(&self) -> Option<Revision> {
        self.current.as_ref().map(|(revision, _)| *revision)
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
                current,
            } = head;
            let known = heads.get(&tenant);
            if known.is_none_or(|known| sequence > known.sequence) {
                let before = known.and_then(Entry::revision);
                let entry = Entry {
                    sequence,
                    current,
                    before,
                };
                heads.insert(tenant, entry);
            }
        }
        let live = heads
            .iter()
            .filter_map(|(tenant, entry)| Some((tenant.clone(), entry.revision()?)));
        let position = Position {
            sequence: read.sequence,
            revisions: Arc::new(live.collect()),
        };
        Some(Self { position, heads })
    }

    /// Which revision each tenant has.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// When a tenant last changed and what it has; `None` if there never was one.
    pub(super) fn tenant(&self, tenant: &TenantId) -> Option<(u64, Option<Revision>)> {
        let entry = self.heads.get(tenant)?;
        Some((entry.sequence, entry.revision()))
    }

    /// The tenants that have changed since a sequence, each with that of its last change.
    pub(super) fn changed_since(&self, sequence: u64) -> impl Iterator<Item = (&TenantId, u64)> {
        let heads = self.heads.iter();
        let heads = heads.map(|(tenant, entry)| (tenant, entry.sequence));
        heads.filter(move |(_, changed)| *changed > sequence)
    }

    /// What a tenant had at a sequence, as far as that is known here.
    pub(super) fn tenant_at(&self, tenant: &TenantId, sequence: u64) -> Option<Revision> {
        let entry = self.heads.get(tenant)?;
        match entry.sequence <= sequence {
            true => entry.revision(),
            false => entry.before,
        }
    }

    /// What leads a recipient from `sequence` to here, in the order of the changes.
    pub(super) fn since(&self, sequence: u64, recipient: &Recipient) -> Vec<Step> {
        let mut steps: Vec<_> = self
            .heads
            .iter()
            .filter(|(_, entry)| entry.sequence > sequence)
            .filter(|(tenant, _)| recipient.may_have(tenant))
            .map(|(tenant, entry)| (entry.sequence, step(tenant, entry)))
            .collect();
        steps.sort_by_key(|(sequence, _)| *sequence);
        steps.into_iter().map(|(_, step)| step).collect()
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
        let stays = |tenant: &TenantId| {
            self.position.revisions.contains_key(tenant) && recipient.may_have(tenant)
        };
        let removed = held.keys().filter(|tenant| !stays(tenant));
        let mut steps: Vec<_> = removed.cloned().map(Step::Remove).collect();
        let changed = self
            .since(0, recipient)
            .into_iter()
            .filter(|step| match step {
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
