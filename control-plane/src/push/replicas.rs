//! The connected replicas: where each is, kept as a position and the exceptions from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};
use gateway_proto::Refusal;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::feed::Arrival;
use super::status::{Place, ReplicaStatus};
use super::{Hub, Index, Position};
use crate::rollout::Tally;
use crate::token::Scope;

/// How requests of tenants fared under a revision that not every replica has.
pub(super) type Outcomes = BTreeMap<TenantId, (Revision, Tally)>;

/// What is known of a connected replica.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    /// Tells its stream from an earlier one of the same name.
    pub(super) stream: u64,
    pub(super) superseded: CancellationToken,
    /// The tenants that it may have. Of others it counts for nothing.
    pub(super) scope: Scope,
    pub(super) version: String,
    /// Where other replicas reach it; `None`: nowhere.
    pub(super) advertise: Option<String>,
    pub(super) connected_at: Timestamp,
    /// Where what it was sent leads.
    pub(super) delivered: Position,
    /// Where it said that it is.
    pub(super) in_force: Position,
    /// The tenants for which it is not there.
    pub(super) exceptions: BTreeMap<TenantId, Exception>,
    /// How requests fared under revisions that not every replica has.
    pub(super) outcomes: Outcomes,
}

/// A document that a replica refused, and what it serves instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exception {
    /// The last good revision; `None`: the replica does not serve the tenant.
    pub(super) in_force: Option<Revision>,
    pub(super) refused: Revision,
    pub(super) violations: Vec<Violation>,
}

impl Replica {
    pub(super) fn revision_in_force(&self, name: &str, tenant: &TenantId) -> Option<Revision> {
        match self.exceptions.get(tenant) {
            Some(exception) => exception.in_force,
            None => self.in_force.revision(tenant, name),
        }
    }

    fn arrive(&mut self, name: &str, arrival: Arrival) {
        let Arrival {
            position,
            touched,
            refusals,
        } = arrival;
        let mut exceptions = Vec::with_capacity(refusals.len());
        for refusal in refusals {
            let Refusal {
                tenant,
                revision,
                violations,
            } = refusal;
            let exception = Exception {
                in_force: self.revision_in_force(name, &tenant),
                refused: revision,
                violations,
            };
            exceptions.push((tenant, exception));
        }
        for tenant in &touched {
            self.exceptions.remove(tenant);
            self.outcomes.remove(tenant);
        }
        self.exceptions.extend(exceptions);
        self.in_force = position;
    }

    pub(super) fn status(
        &self,
        name: &str,
        control_plane: &Arc<str>,
        desired: &Arc<Index>,
    ) -> ReplicaStatus {
        ReplicaStatus {
            replica: name.to_owned(),
            control_plane: Arc::clone(control_plane),
            scope: self.scope.clone(),
            version: self.version.clone(),
            advertise: self.advertise.clone(),
            connected_at: self.connected_at,
            desired: Arc::clone(desired),
            place: Place::Here {
                delivered: self.delivered.clone(),
                in_force: self.in_force.clone(),
                exceptions: self.exceptions.clone(),
                outcomes: self.outcomes.clone(),
            },
        }
    }
}

/// A replica's place among the connected ones, given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    replica: String,
    stream: u64,
    superseded: CancellationToken,
}

impl Seat {
    pub(super) fn new(
        hub: Arc<Hub>,
        replica: String,
        stream: u64,
        superseded: CancellationToken,
    ) -> Self {
        Self {
            hub,
            replica,
            stream,
            superseded,
        }
    }

    /// Whose it is.
    pub(crate) fn replica(&self) -> &str {
        &self.replica
    }

    /// Ends when a later stream of the same replica has taken the seat.
    pub(crate) async fn superseded(&self) {
        self.superseded.cancelled().await;
    }

    /// Notes that everything up to a position was sent.
    pub(crate) fn delivered(&self, position: Position) {
        self.update(|replica| replica.delivered = position);
    }

    /// Notes what the replica answered.
    pub(crate) fn arrived(&self, arrival: Arrival) {
        self.update(|replica| replica.arrive(&self.replica, arrival));
    }

    /// Notes how requests fare under revisions that not every replica has.
    pub(crate) fn reported(&self, outcomes: BTreeMap<TenantId, (Revision, Tally)>) {
        self.update(|replica| replica.outcomes = outcomes);
    }

    fn update(&self, change: impl FnOnce(&mut Replica)) {
        self.hub.replicas.send_if_modified(|replicas| {
            let entry = replicas.get_mut(&self.replica);
            match entry.filter(|replica| replica.stream == self.stream) {
                Some(replica) => {
                    change(replica);
                    true
                }
                None => false,
            }
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.replicas.send_if_modified(|replicas| {
            let entry = replicas.get(&self.replica);
            let ours = entry.is_some_and(|replica| replica.stream == self.stream);
            if ours {
                replicas.remove(&self.replica);
            }
            ours
        });
        self.hub.fleet.leave(&self.replica, self.stream);
    }
}
