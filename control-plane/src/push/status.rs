//! Where a replica is, at whichever control plane it is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};
use gateway_proto::Refusal;
use jiff::Timestamp;

use super::replicas::{Exception, Outcomes};
use super::told::Told;
use super::{Index, Position};
use crate::rollout::{Seen, Tally};
use crate::token::Scope;

/// A connected replica and where it is.
#[derive(Debug, Clone)]
pub struct ReplicaStatus {
    /// Its name.
    pub replica: String,
    /// The control plane that it is connected to.
    pub control_plane: Arc<str>,
    /// The tenants that it may have.
    pub scope: Scope,
    /// The version of its program.
    pub version: String,
    /// Where other replicas reach it; `None`: nowhere.
    pub advertise: Option<String>,
    /// When its stream began.
    pub connected_at: Timestamp,
    pub(super) desired: Arc<Index>,
    pub(super) place: Place,
}

/// Where what is known of it comes from.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Its stream ends here.
    Here {
        delivered: Position,
        /// Its sequence is 0 until the replica's first answer; the revisions are then those that it
        /// brought along.
        in_force: Position,
        exceptions: BTreeMap<TenantId, Exception>,
        outcomes: Outcomes,
    },
    /// Its control plane tells of it, and knows the store up to a sequence.
    Elsewhere { sequence: u64, told: Arc<Told> },
}

/// Where a replica is with one tenant. `None` as a revision: the tenant is not served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// What a replica has answered to a revision that is current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    None,
    InForce,
    Refused(Vec<Violation>),
}

impl ReplicaStatus {
    /// The tenants that it has or should have.
    pub fn tenants(&self) -> BTreeSet<&TenantId> {
        let (in_force, behind) = match &self.place {
            Place::Here { in_force, .. } => (Some(in_force.tenants()), None),
            Place::Elsewhere { told, .. } => (None, Some(told.behind.keys())),
        };
        let desired = self.desired.position().tenants();
        let all = desired.chain(in_force.into_iter().flatten());
        let all = all.chain(behind.into_iter().flatten());
        all.filter(|tenant| self.scope.includes(tenant)).collect()
    }

    /// Whether it is connected to another control plane.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.place, Place::Elsewhere { .. })
    }

    /// Whether it may have one tenant, or any where none is named.
    pub(crate) fn is_of(&self, tenant: Option<&TenantId>) -> bool {
        tenant.is_none_or(|tenant| self.scope.includes(tenant))
    }

    /// Where the replica is with one tenant, of those that it may have.
    pub fn tenant(&self, tenant: &TenantId) -> TenantStatus {
        if !self.scope.includes(tenant) {
            return TenantStatus::default();
        }
        match &self.place {
            Place::Here {
                delivered,
                in_force,
                exceptions,
                ..
            } => {
                let at = |position: &Position| position.revision(tenant, &self.replica);
                let exception = exceptions.get(tenant);
                TenantStatus {
                    desired: at(self.desired.position()),
                    delivered: at(delivered),
                    in_force: exception.map_or_else(|| at(in_force), |known| known.in_force),
                    refusal: exception
                        .map(|known| refusal(tenant, known.refused, known.violations.clone())),
                }
            }
            Place::Elsewhere { sequence, told } => self.told(tenant, *sequence, told),
        }
    }

    fn told(&self, tenant: &TenantId, sequence: u64, told: &Told) -> TenantStatus {
        let desired = self.desired.position().revision(tenant, &self.replica);
        let status = TenantStatus {
            desired,
            ..TenantStatus::default()
        };
        if let Some(behind) = told.behind.get(tenant) {
            let refused = behind.refused.as_ref();
            return TenantStatus {
                delivered: behind.delivered,
                in_force: behind.in_force,
                refusal: refused.map(|one| refusal(tenant, one.revision, one.violations())),
                ..status
            };
        }
        if !told.rest_is_current {
            return status;
        }
        let has = self.desired.tenant_at(tenant, &self.replica, sequence);
        TenantStatus {
            delivered: has,
            in_force: has,
            ..status
        }
    }

    /// What it has answered to a tenant's current revision, which came with a sequence.
    pub(super) fn answer(&self, tenant: &TenantId, sequence: u64, revision: Revision) -> Answer {
        match &self.place {
            Place::Here {
                in_force,
                exceptions,
                ..
            } => {
                let refused = exceptions.get(tenant);
                match refused.filter(|known| known.refused == revision) {
                    _ if in_force.sequence < sequence => Answer::None,
                    Some(known) => Answer::Refused(known.violations.clone()),
                    // It may not be for this one yet.
                    None if in_force.revision(tenant, &self.replica) != Some(revision) => {
                        Answer::None
                    }
                    None => Answer::InForce,
                }
            }
            Place::Elsewhere { sequence: at, told } => {
                let behind = told.behind.get(tenant);
                let refused = behind.and_then(|behind| behind.refused.as_ref());
                match refused.filter(|refused| refused.revision == revision) {
                    _ if *at < sequence => Answer::None,
                    Some(refused) => Answer::Refused(refused.violations()),
                    None if behind.is_none() && told.rest_is_current => {
                        let has = self.desired.tenant_at(tenant, &self.replica, *at);
                        match has == Some(revision) {
                            true => Answer::InForce,
                            false => Answer::None,
                        }
                    }
                    None => Answer::None,
                }
            }
        }
    }

    /// The same with one tenant, as far as it matters for a rollout.
    pub(super) fn seen(&self, tenant: &TenantId) -> Seen {
        let found = self.tenant(tenant);
        let outcomes = match &self.place {
            Place::Here { outcomes, .. } => outcomes,
            Place::Elsewhere { told, .. } => &told.outcomes,
        };
        let outcome = outcomes.get(tenant);
        let outcome = outcome.filter(|(revision, _)| Some(*revision) == found.in_force);
        let refused = found.refusal;
        Seen {
            replica: self.replica.clone(),
            in_force: found.in_force,
            refused: refused.map(|refusal| (refusal.revision, refusal.violations)),
            tally: outcome.map_or_else(Tally::default, |(_, tally)| *tally),
        }
    }

    /// Whether another entry of the same name is the same replica, which has gone there since. One
    /// that may have less is not: its token is of no use against the replicas of others.
    pub(super) fn is_superseded_by(&self, other: &Self) -> bool {
        other.connected_at > self.connected_at && other.scope.covers(&self.scope)
    }
}

fn refusal(tenant: &TenantId, revision: Revision, violations: Vec<Violation>) -> Refusal {
    Refusal {
        tenant: tenant.clone(),
        revision,
        violations,
    }
}
