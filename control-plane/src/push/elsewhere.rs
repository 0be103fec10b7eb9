//! The replicas of the other control planes on the same store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Index;
use super::status::{Place, ReplicaStatus};
use super::told::Told;
use crate::store::Other;

/// The other control planes, by what tells each from the others.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(BTreeMap<String, Neighbour>);

#[derive(Debug)]
struct Neighbour {
    name: Arc<str>,
    /// Up to where it knows the store.
    sequence: u64,
    version: u64,
    replicas: BTreeMap<String, Arc<Told>>,
}

impl Elsewhere {
    /// Whether there is no other control plane.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where each of their replicas is.
    pub(super) fn statuses(&self, desired: &Arc<Index>) -> impl Iterator<Item = ReplicaStatus> {
        let replicas = self.0.values().flat_map(|neighbour| {
            let replicas = neighbour.replicas.iter();
            replicas.map(move |(name, told)| (neighbour, name, told))
        });
        replicas.filter_map(|(neighbour, name, told)| {
            Some(ReplicaStatus {
                replica: name.clone(),
                control_plane: Arc::clone(&neighbour.name),
                scope: told.scope()?,
                version: told.version.clone(),
                advertise: told.advertise.clone(),
                connected_at: told.connected_at(),
                desired: Arc::clone(desired),
                place: Place::Elsewhere {
                    sequence: neighbour.sequence,
                    told: Arc::clone(told),
                },
            })
        })
    }

    /// Up to which version of each what it tells is known.
    pub(super) fn known(&self) -> Vec<(String, u64)> {
        let known = self.0.iter();
        known.map(|(id, one)| (id.clone(), one.version)).collect()
    }

    /// Before everything is read again.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Takes what was read; what is not there any more is forgotten. Says whether anything is new.
    pub(super) fn take(&mut self, read: Vec<Other>) -> bool {
        let before = self.0.len();
        self.0
            .retain(|id, _| read.iter().any(|other| other.id == *id));
        let mut changed = self.0.len() != before;
        for other in read {
            changed |= self.take_one(other);
        }
        changed
    }

    fn take_one(&mut self, other: Other) -> bool {
        let Other {
            id,
            name,
            sequence,
            version,
            replicas,
        } = other;
        let is_new = !self.0.contains_key(&id);
        let one = self.0.entry(id).or_insert_with(|| Neighbour {
            name: name.into(),
            sequence,
            version,
            replicas: BTreeMap::new(),
        });
        let changed = is_new || one.sequence != sequence || !replicas.is_empty();
        (one.sequence, one.version) = (sequence, version);
        for (replica, told) in replicas {
            match told.map(|told| serde_json::from_str::<Told>(&told)) {
                Some(Ok(told)) => {
                    one.replicas.insert(replica, Arc::new(told));
                }
                Some(Err(error)) => {
                    // Of another version of this program.
                    tracing::warn!(replica, %error, "what is told of a replica cannot be read");
                    one.replicas.remove(&replica);
                }
                None => {
                    one.replicas.remove(&replica);
                }
            }
        }
        changed
    }
}
