//! What rollouts need to know of the connected replicas.

use gateway_core::TenantId;

use super::Hub;
use crate::rollout::{Rollout, Seen, Tally};

impl Hub {
    /// Whether a revision is on its way that not every replica is to have yet.
    pub(crate) fn has_rollouts(&self) -> bool {
        self.index.borrow().has_rollouts()
    }

    /// The connected replicas that may have a tenant, and where they are with it.
    pub(crate) fn seen(&self, tenant: &TenantId) -> Vec<Seen> {
        let replicas = self.replicas().into_iter();
        let may_have = replicas.filter(|replica| replica.is_of(Some(tenant)));
        may_have.map(|replica| replica.seen(tenant)).collect()
    }

    /// How requests fared under a revision on its canaries, as far as they have said.
    pub(crate) fn tally(&self, rollout: &Rollout) -> Tally {
        let seen = self.seen(&rollout.tenant);
        let canaries = seen
            .iter()
            .filter(|seen| rollout.canaries.contains(&seen.replica));
        crate::rollout::tally(rollout.revision, canaries)
    }
}
