//! Measures how long a change takes until every replica that is connected here has answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::TenantId;
use tokio::time::Instant;

use super::Hub;

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
            unsettled.retain(|tenant, (sequence, began)| {
                let Some(has_settled) = self.has_settled(tenant, *sequence) else {
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

    /// Whether every replica here that may have a tenant has answered to a change of it; `None` where
    /// there is none.
    fn has_settled(&self, tenant: &TenantId, sequence: u64) -> Option<bool> {
        let replicas = self.replicas.borrow();
        let of_tenant = replicas.values();
        let mut of_tenant = of_tenant
            .filter(|replica| replica.scope.includes(tenant))
            .peekable();
        of_tenant.peek()?;
        Some(of_tenant.all(|replica| replica.in_force.sequence >= sequence))
    }
}
