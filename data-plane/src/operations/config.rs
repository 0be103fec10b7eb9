//! What is in force: each tenant's configuration without its secrets, and the process's own bounds.

use gateway_plugins::{SpoolState, Spools};
use serde_json::{Value, json};

use super::redact::redacted;
use crate::Gateway;
use crate::fleet::Fleet;
use crate::gateway::Listeners;
use crate::snapshot::Snapshot;

/// The answer to `/config`.
pub(super) fn in_force(gateway: &Gateway) -> Value {
    let snapshots = gateway.tenants.all();
    let spools = gateway.spools.as_ref().map(Spools::states);
    let spools = spools.unwrap_or_default();
    let tenants: Vec<Value> = snapshots
        .iter()
        .map(|snapshot| tenant(snapshot, &spools))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "listeners": listeners(&gateway.listeners),
        "limits": gateway.limits,
        "other_replicas": gateway.fleet.as_ref().map(Fleet::named),
        "tenants": tenants,
    })
}

fn tenant(snapshot: &Snapshot, spools: &[SpoolState]) -> Value {
    let spools = spools
        .iter()
        .filter(|spool| spool.tenant == snapshot.tenant);
    json!({
        "tenant": snapshot.tenant,
        "revision": snapshot.origin.revision,
        "in_force_since": snapshot.since,
        "audit_spools": spools.collect::<Vec<_>>(),
        "config": redacted(&snapshot.config),
    })
}

fn listeners(listeners: &Listeners) -> Value {
    let Listeners {
        mcp,
        operations,
        replicas,
    } = listeners;
    json!({ "mcp": mcp.get(), "operations": operations.get(), "replicas": replicas.get() })
}
