//! The connected replicas: where each is, kept as a position and the exceptions from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};
use gateway_proto::Refusal;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::feed::Arrival;
use super::{Hub, Position};
use crate::rollout::{Seen, Tally};
use crate::token::Scope;

/// What is known of a connected replica.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    /// Tells its stream from an earlier one of the same name.
    pub(super) stream: u64,
    pub(super) superseded: CancellationToken,
    /// The tenants that it may have. Of others it counts for nothing.
    pub(super) scope: Scope,
    pub(super) version: String,
    pub(super) connected_at: Timestamp,
    /// Where what it was sent leads.
    pub(super) delivered: Position,
    /// Where it said that it is.
    pub(super) in_force: Position,
    /// The tenants for which it is not there.
    pub(super) exceptions: BTreeMap<TenantId, Exception>,
    /// How requests fared under revisions that not every replica has.
    pub(super) outcomes: BTreeMap<TenantId, (Revision, Tally)>,
}

/// A document that a replica refused, and what it serves instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exception {
    /// The last good revision; `None`: the replica does not serve the tenant.
    in_force: Option<Revision>,
    pub(super) refused: Revision,
    pub(super) violations: Vec<Violation>,
}

impl Replica {
    fn revision_in_force(&self, name: &str, tenant: &TenantId) -> Option<Revision> {
        match self.exceptions.get(tenant) {
            Some(exception) => exception.in_force,
            None => self.in_force.revision(tenant, name),
        }
    }

    /// Where it is with one tenant.
    pub(super) fn seen(&self, name: &str, tenant: &TenantId) -> Seen {
        let in_force = self.revision_in_force(name, tenant);
        let exception = self.exceptions.get(tenant);
        let outcome = self.outcomes.get(tenant);
        let outcome = outcome.filter(|(revision, _)| Some(*revision) == in_force);
        Seen {
            replica: name.to_owned(),
            in_force,
            refused: exception.map(|known| (known.refused, known.violations.clone())),
            tally: outcome.map(|(_, tally)| *tally).unwrap_or_default(),
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

    pub(super) fn status(&self, name: &str, desired: &Position) -> ReplicaStatus {
        ReplicaStatus {
            replica: name.to_owned(),
            scope: self.scope.clone(),
            version: self.version.clone(),
            connected_at: self.connected_at,
            desired: desired.clone(),
            delivered: self.delivered.clone(),
            in_force: self.in_force.clone(),
            exceptions: self.exceptions.clone(),
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

/// A connected replica and where it is.
#[derive(Debug, Clone)]
pub struct ReplicaStatus {
    /// Its name.
    pub replica: String,
    /// The tenants that it may have.
    pub scope: Scope,
    /// The version of its program.
    pub version: String,
    /// When its stream began.
    pub connected_at: Timestamp,
    /// Where it should be.
    pub desired: Position,
    /// Where what it was sent leads.
    pub delivered: Position,
    /// Where it said that it is, apart from what it refused. Its sequence is 0 until the replica's
    /// first answer; the revisions are then those that it brought along.
    pub in_force: Position,
    exceptions: BTreeMap<TenantId, Exception>,
}

/// Where a replica is with one tenant. `None` as a revision: the tenant is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantStatus {
    /// What should be in force.
    pub desired: Option<Revision>,
    /// What the replica was sent last.
    pub delivered: Option<Revision>,
    /// What the replica serves.
    pub in_force: Option<Revision>,
    /// What it refused and why, if that is what it was sent last.
    pub refusal: Option<Refusal>,
}

impl ReplicaStatus {
    /// The tenants that it has or should have.
    pub fn tenants(&self) -> BTreeSet<&TenantId> {
        let all = self.desired.tenants().chain(self.in_force.tenants());
        all.filter(|tenant| self.scope.includes(tenant)).collect()
    }

    /// Whether it may have one tenant, or any where none is named.
    pub(crate) fn is_of(&self, tenant: Option<&TenantId>) -> bool {
        tenant.is_none_or(|tenant| self.scope.includes(tenant))
    }

    /// Where the replica is with one tenant, of those that it may have.
    pub fn tenant(&self, tenant: &TenantId) -> TenantStatus {
        let may_have = self.scope.includes(tenant);
        let at = |position: &Position| {
            let revision = position.revision(tenant, &self.replica);
            revision.filter(|_| may_have)
        };
        let exception = self.exceptions.get(tenant);
        TenantStatus {
            desired: at(&self.desired),
            delivered: at(&self.delivered),
            in_force: exception.map_or_else(|| at(&self.in_force), |known| known.in_force),
            refusal: exception.map(|known| Refusal {
                tenant: tenant.clone(),
                revision: known.refused,
                violations: known.violations.clone(),
            }),
        }
    }
}
