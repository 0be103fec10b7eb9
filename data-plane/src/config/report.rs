//! What the control plane is told of how requests fare under revisions that not every replica has yet.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_core::TenantId;
use gateway_proto::push::v1::{Outcome, Report};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::snapshot::Tenants;

/// How often it is told, while there is something to tell.
const EVERY: Duration = Duration::from_secs(1);

/// One stream's reports.
#[derive(Debug)]
pub(super) struct Reporter {
    ticks: Interval,
    /// The tenants of which it is asked.
    asked: BTreeSet<TenantId>,
    last: Vec<Outcome>,
}

impl Reporter {
    pub(super) fn new() -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            asked: BTreeSet::new(),
            last: Vec::new(),
        }
    }

    /// Notes whether it is asked how the requests of a tenant fare.
    pub(super) fn note(&mut self, tenant: &str, is_asked: bool) {
        let Ok(tenant) = tenant.parse() else { return };
        if is_asked {
            self.asked.insert(tenant);
        } else {
            self.asked.remove(&tenant);
        }
    }

    /// The next report, once it says something new. Loses nothing when it is dropped before.
    pub(super) async fn next(&mut self, tenants: &Tenants) -> Report {
        loop {
            if self.asked.is_empty() {
                std::future::pending::<()>().await;
            }
            self.ticks.tick().await;
            let outcomes: Vec<_> = self
                .asked
                .iter()
                .filter_map(|tenant| outcome(tenants, tenant))
                .collect();
            if outcomes != self.last {
                self.last.clone_from(&outcomes);
                return Report { outcomes };
            }
        }
    }
}

fn outcome(tenants: &Tenants, tenant: &TenantId) -> Option<Outcome> {
    let snapshot = tenants.get(tenant)?;
    let (requests, errors) = snapshot.tally.read()?;
    Some(Outcome {
        tenant: tenant.to_string(),
        revision: snapshot.origin.revision.0,
        requests,
        errors,
    })
}
