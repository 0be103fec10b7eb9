//! Measures how long a change takes until every replica that is connected here has answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::TenantId;
use tokio::time::Instant;

use super::Hub;
use crate::token::Scope;

/// Answers of many replicas come at once, and are looked at once.
const GATHER: Duration = Duration::from_millis(10);

impl Hub {
    /// Measures until it is dropped.
    pub(super) async fn measure_settling(&self) {
        let mut index = self.index.subscribe();
        let mut replicas = self.replicas.subscribe();
        let mut seen = index.borrow_and_update().position().sequence;
        let mut unsettled: BTreeMap<TenantId, (u64, Instant)> = BTreeMap::new();
        loop {
            tokio::select! {
                _ = index.changed() => {
                    let current = Arc::clone(&index.borrow_and_update());
                    for tenant in current.changed_since(seen) {
                        let sequence = current.tenant(tenant).map_or(seen, |(changed, _)| changed);
                        unsettled.insert(tenant.clone(), (sequence, Instant::now()));
                    }
                    seen = current.position().sequence;
                }
                _ = replicas.changed(), if !unsettled.is_empty() => {}
            }
            replicas.mark_unchanged();
            let answered = self.answered();
            unsettled.retain(|tenant, (sequence, began)| {
                let Some(has_settled) = answered.has_settled(tenant, *sequence) else {
                    // There is nobody to answer.
                    return false;
                };
                if has_settled {
                    self.metrics.settled(began.elapsed());
                }
                !has_settled
            });
            if !unsettled.is_empty() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// Up to where the replicas here have answered.
    fn answered(&self) -> Answered {
        let mut answered = Answered::default();
        for replica in self.replicas.borrow().values() {
            let sequence = replica.in_force.sequence;
            match replica.scope.tenants() {
                Some(_) => answered.of_some.push((replica.scope.clone(), sequence)),
                None => {
                    let last = answered.of_all.unwrap_or(sequence);
                    answered.of_all = Some(last.min(sequence));
                }
            }
        }
        answered
    }
}

/// Looked up once for all tenants: there may be many of them, and many replicas.
#[derive(Debug, Default)]
struct Answered {
    /// The last of those that may have every tenant.
    of_all: Option<u64>,
    of_some: Vec<(Scope, u64)>,
}

impl Answered {
    /// Whether every replica that may have a tenant has answered to a change of it; `None` where there is
    /// none.
    fn has_settled(&self, tenant: &TenantId, sequence: u64) -> Option<bool> {
        let of_some = self.of_some.iter();
        let of_tenant = of_some.filter(|(scope, _)| scope.includes(tenant));
        let of_tenant = of_tenant.map(|(_, answered)| *answered);
        let last = of_tenant.chain(self.of_all).min();
        last.map(|last| last >= sequence)
    }
}
