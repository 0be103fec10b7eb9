//! What control planes tell each other of a replica: not a matrix of all its tenants, but those for
//! which it is not where it should be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Position;
use super::replicas::{Exception, Outcomes, Replica};
use crate::token::Scope;

/// Of more tenants nothing is told: the replica has hardly begun.
const MOST_TENANTS: usize = 1000;

/// A refusal has one reason for each thing that is wrong. So many are enough to see what.
const MOST_VIOLATIONS: usize = 20;

/// What is told of a replica, seen from a sequence of the store that is told beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) version: String,
    pub(super) advertise: Option<String>,
    /// Nanoseconds since 1970, so that nothing of it is lost.
    connected_at: i128,
    /// The tenants that it may have; `None`: all.
    tenants: Option<BTreeSet<TenantId>>,
    /// Whether it is where it should be with the tenants of which nothing is told.
    pub(super) rest_is_current: bool,
    /// Where it is not there.
    pub(super) behind: BTreeMap<TenantId, Behind>,
    /// How requests fared under revisions that not every replica has.
    pub(super) outcomes: Outcomes,
}

/// Where a replica is with a tenant, other than it should be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Behind {
    pub(super) delivered: Option<Revision>,
    pub(super) in_force: Option<Revision>,
    pub(super) refused: Option<Refused>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) revision: Revision,
    violations: Vec<(String, String)>,
}

impl Refused {
    fn of(exception: &Exception) -> Self {
        let violations = exception.violations.iter().take(MOST_VIOLATIONS);
        Self {
            revision: exception.refused,
            violations: violations
                .map(|one| (one.path.clone(), one.reason.clone()))
                .collect(),
        }
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        let violations = self.violations.iter();
        violations
            .map(|(path, reason)| Violation::new(path.clone(), reason.clone()))
            .collect()
    }
}

impl Told {
    pub(super) fn connected_at(&self) -> Timestamp {
        Timestamp::from_nanosecond(self.connected_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// `None`: it says something that no version of this program says.
    pub(super) fn scope(&self) -> Option<Scope> {
        match &self.tenants {
            None => Some(Scope::all()),
            Some(tenants) => Scope::only(tenants.clone()),
        }
    }
}

/// Tells of many replicas at one moment. Most are at one of few positions, which are compared with
/// where they should be once.
pub(super) struct Teller<'a> {
    desired: &'a Position,
    differences: HashMap<usize, Arc<BTreeSet<TenantId>>>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(desired: &'a Position) -> Self {
        Self {
            desired,
            differences: HashMap::new(),
        }
    }

    pub(super) fn tell(&mut self, name: &str, replica: &Replica) -> Told {
        let has_answered = replica.in_force.sequence > 0;
        let mut behind = BTreeMap::new();
        let mut rest_is_current = has_answered;
        if has_answered {
            let delivered = self.different(&replica.delivered);
            let in_force = self.different(&replica.in_force);
            let tenants = delivered.iter().chain(in_force.iter());
            let tenants = tenants.chain(replica.exceptions.keys());
            let positions = [self.desired, &replica.delivered, &replica.in_force];
            let canaries = positions.into_iter().flat_map(Position::with_canaries);
            let apart = canaries.filter(|tenant| {
                let mut revisions = positions.map(|at| at.revision(tenant, name)).into_iter();
                let first = revisions.next();
                revisions.any(|revision| Some(revision) != first)
            });
            let tenants = tenants.chain(apart);
            for tenant in tenants.filter(|tenant| replica.scope.includes(tenant)) {
                if behind.len() == MOST_TENANTS {
                    rest_is_current = false;
                    break;
                }
                let at = || Behind {
                    delivered: replica.delivered.revision(tenant, name),
                    in_force: replica.revision_in_force(name, tenant),
                    refused: replica.exceptions.get(tenant).map(Refused::of),
                };
                behind.entry(tenant.clone()).or_insert_with(at);
            }
        }
        Told {
            version: replica.version.clone(),
            advertise: replica.advertise.clone(),
            connected_at: replica.connected_at.as_nanosecond(),
            tenants: replica.scope.tenants().cloned(),
            rest_is_current,
            behind,
            outcomes: replica.outcomes.clone(),
        }
    }

    /// The tenants that have another revision at a position than they should have.
    fn different(&mut self, from: &Position) -> Arc<BTreeSet<TenantId>> {
        let desired = &self.desired.revisions;
        let place = Arc::as_ptr(&from.revisions) as usize;
        let found = self.differences.entry(place).or_insert_with(|| {
            if Arc::ptr_eq(&from.revisions, desired) {
                return Arc::default();
            }
            let others = desired.iter().chain(from.revisions.iter());
            let others =
                others.filter(|(tenant, _)| desired.get(*tenant) != from.revisions.get(*tenant));
            Arc::new(others.map(|(tenant, _)| tenant.clone()).collect())
        });
        Arc::clone(found)
    }
}
