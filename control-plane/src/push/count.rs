//! How many replicas are how far, tenant by tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_core::{Revision, TenantId};

use super::Hub;
use super::told::{Behind, Teller};
use crate::rollout::Stage;

/// How many of the replicas that are connected here are how far.
#[derive(Debug)]
pub(crate) struct Count {
    /// Up to where the store is known.
    pub(crate) sequence: u64,
    pub(crate) replicas: u64,
    /// Rollouts that go on, and those that are halted.
    pub(crate) rollouts: [(Stage, u64); 2],
    /// Every tenant that has a configuration.
    pub(crate) tenants: BTreeMap<TenantId, TenantCount>,
}

/// Each replica that may have the tenant counts once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct TenantCount {
    /// What should be in force.
    pub(crate) revision: Revision,
    pub(crate) in_force: i64,
    /// It was sent and not answered.
    pub(crate) delivered: i64,
    /// It was not sent.
    pub(crate) waiting: i64,
    pub(crate) refused: i64,
}

impl TenantCount {
    /// Where a replica counts of which nothing is told with this tenant.
    fn rest(&mut self, is_current: bool) -> &mut i64 {
        match is_current {
            true => &mut self.in_force,
            false => &mut self.waiting,
        }
    }

    fn add(&mut self, behind: &Behind) {
        let current = Some(self.revision);
        let refused = behind.refused.as_ref().map(|refused| refused.revision);
        let place = match behind {
            _ if refused == current => &mut self.refused,
            _ if behind.in_force == current => &mut self.in_force,
            _ if behind.delivered == current => &mut self.delivered,
            _ => &mut self.waiting,
        };
        *place += 1;
    }
}

impl Hub {
    /// Counts what is of interest to nobody but operators. Replicas are not asked tenant by tenant, but
    /// for the tenants with which they are not where they should be.
    pub(crate) fn count(&self) -> Count {
        let index = Arc::clone(&self.index.borrow());
        let position = index.position();
        let mut tenants: BTreeMap<_, _> = position
            .revisions
            .iter()
            .map(|(tenant, revision)| {
                let count = TenantCount {
                    revision: *revision,
                    ..TenantCount::default()
                };
                (tenant.clone(), count)
            })
            .collect();
        let mut teller = Teller::new(position);
        let (mut everywhere, mut nowhere) = (0, 0);
        let replicas = self.replicas.borrow();
        for (name, replica) in replicas.iter() {
            let told = teller.tell(name, replica);
            let is_current = told.rest_is_current;
            match replica.scope.tenants() {
                None if is_current => everywhere += 1,
                None => nowhere += 1,
                Some(some) => count_each(&mut tenants, some, is_current),
            }
            for (tenant, behind) in &told.behind {
                if let Some(count) = tenants.get_mut(tenant) {
                    *count.rest(is_current) -= 1;
                    count.add(behind);
                }
            }
        }
        for count in tenants.values_mut() {
            count.in_force += everywhere;
            count.waiting += nowhere;
        }
        Count {
            sequence: position.sequence,
            replicas: replicas.len() as u64,
            rollouts: index.count_rollouts(),
            tenants,
        }
    }
}

fn count_each(
    counts: &mut BTreeMap<TenantId, TenantCount>,
    tenants: &BTreeSet<TenantId>,
    is_current: bool,
) {
    for tenant in tenants {
        if let Some(count) = counts.get_mut(tenant) {
            *count.rest(is_current) += 1;
        }
    }
}
