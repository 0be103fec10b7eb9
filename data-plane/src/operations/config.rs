//! What is in force: each tenant's configuration without its secrets, and the process's own bounds.

use serde_json::{Value, json};

use super::redact::redacted;
use crate::Gateway;
use crate::fleet::Fleet;
use crate::gateway::Listeners;
use crate::snapshot::Snapshot;

/// The answer to `/config`.
pub(super) fn in_force(gateway: &Gateway) -> Value {
    let snapshots = gateway.tenants.all();
    let tenants: Vec<Value> = snapshots.iter().map(|snapshot| tenant(snapshot)).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "listeners": listeners(&gateway.listeners),
        "limits": gateway.limits,
        "other_replicas": gateway.fleet.as_ref().map(Fleet::named),
        "tenants": tenants,
    })
}

fn tenant(snapshot: &Snapshot) -> Value {
    json!({
        "tenant": snapshot.tenant,
        "revision": snapshot.origin.revision,
        "in_force_since": snapshot.since,
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
