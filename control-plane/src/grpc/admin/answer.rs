//! What the store and the hub have, as messages.

use std::collections::BTreeSet;

use gateway_core::{Revision, TenantId};
use gateway_proto::admin::v1 as pb;
use jiff::Timestamp;
use tonic::Status;

use crate::store::{HostRecord, StoredRevision, TenantRecord, TokenRecord};
use crate::token::Role;
use crate::{Applied, Difference, DifferenceKind, ReplicaStatus, RevisionRecord};

pub(super) fn tenant(record: TenantRecord) -> pb::Tenant {
    let TenantRecord {
        tenant,
        revision,
        created_at,
        author,
    } = record;
    pb::Tenant {
        name: tenant_name(&tenant),
        etag: etag(revision),
        revision: revision.0,
        update_time: Some(timestamp(created_at)),
        author,
        submitted: String::new(),
        config: None,
        host_names: Vec::new(),
    }
}

/// A tenant by its current revision.
pub(super) fn tenant_without_document(name: &TenantId, record: RevisionRecord) -> pb::Tenant {
    tenant(TenantRecord {
        tenant: name.clone(),
        revision: record.revision,
        created_at: record.created_at,
        author: record.author,
    })
}

pub(super) fn tenant_with_document(
    tenant: &TenantId,
    stored: StoredRevision,
) -> Result<pb::Tenant, Status> {
    let StoredRevision {
        mut record,
        resolved,
    } = stored;
    Ok(pb::Tenant {
        submitted: std::mem::take(&mut record.submitted),
        config: Some(config(&resolved)?),
        ..tenant_without_document(tenant, record)
    })
}

pub(super) fn revision(tenant: &TenantId, record: RevisionRecord) -> pb::Revision {
    let RevisionRecord {
        revision,
        created_at,
        author,
        reason,
        summary,
        submitted: _,
    } = record;
    pb::Revision {
        name: format!("{}/revisions/{revision}", tenant_name(tenant)),
        revision: revision.0,
        create_time: Some(timestamp(created_at)),
        author,
        reason,
        summary,
        submitted: String::new(),
        config: None,
    }
}

pub(super) fn revision_with_document(
    tenant: &TenantId,
    stored: StoredRevision,
) -> Result<pb::Revision, Status> {
    let StoredRevision { record, resolved } = stored;
    let submitted = record.submitted.clone();
    Ok(pb::Revision {
        submitted,
        config: Some(config(&resolved)?),
        ..revision(tenant, record)
    })
}

pub(super) fn applied(applied: Applied) -> pb::ApplyTenantResponse {
    let Applied {
        revision,
        changed,
        differences,
    } = applied;
    let etag = match revision {
        Revision(0) => String::new(),
        revision => etag(revision),
    };
    pb::ApplyTenantResponse {
        revision: revision.0,
        etag,
        changed,
        changes: differences.into_iter().map(change).collect(),
    }
}

fn change(difference: Difference) -> pb::Change {
    use pb::change::Kind;
    let Difference { path, kind } = difference;
    let (kind, before, after) = match kind {
        DifferenceKind::Added(after) => (Kind::Added, String::new(), after),
        DifferenceKind::Changed { before, after } => (Kind::Changed, before, after),
        DifferenceKind::Removed(before) => (Kind::Removed, before, String::new()),
    };
    pb::Change {
        kind: kind.into(),
        path,
        before,
        after,
    }
}

/// A replica, and where it is with one tenant, or with all that it has or should have.
pub(super) fn replica(status: &ReplicaStatus, only: Option<&TenantId>) -> pb::Replica {
    let tenants: BTreeSet<_> = match only {
        Some(only) => BTreeSet::from([only]),
        None => status.tenants(),
    };
    pb::Replica {
        name: format!("replicas/{}", status.replica),
        version: status.version.clone(),
        connect_time: Some(timestamp(status.connected_at)),
        tenants: tenants
            .into_iter()
            .map(|tenant| replica_tenant(status, tenant))
            .collect(),
        control_plane: status.control_plane.to_string(),
        advertise: status.advertise.clone().unwrap_or_default(),
    }
}

fn replica_tenant(status: &ReplicaStatus, tenant: &TenantId) -> pb::ReplicaTenant {
    let found = status.tenant(tenant);
    let number = |revision: Option<Revision>| revision.unwrap_or_default().0;
    let (refused_revision, violations) = match found.refusal {
        Some(refusal) => (refusal.revision.0, refusal.violations),
        None => (0, Vec::new()),
    };
    pb::ReplicaTenant {
        tenant: tenant_name(tenant),
        desired_revision: number(found.desired),
        in_force_revision: number(found.in_force),
        refused_revision,
        delivered_revision: number(found.delivered),
        violations: violations
            .into_iter()
            .map(|violation| pb::Violation {
                path: violation.path,
                reason: violation.reason,
            })
            .collect(),
    }
}

pub(super) fn host(record: HostRecord) -> pb::Host {
    let HostRecord {
        host,
        tenant,
        created_at,
        author,
    } = record;
    pb::Host {
        name: format!("hosts/{host}"),
        tenant: tenant_name(&tenant),
        create_time: Some(timestamp(created_at)),
        author,
    }
}

pub(super) fn token(record: TokenRecord) -> pb::Token {
    let name = record.id().resource_name();
    let TokenRecord {
        name: _,
        role,
        created_at,
        author,
        expires_at,
        revoked_at,
    } = record;
    let tenants = match &role {
        Role::Join(scope) => scope.tenants().into_iter().flatten(),
        _ => None.into_iter().flatten(),
    };
    let tenants = tenants.map(tenant_name).collect();
    let role = match role {
        Role::Administrator => pb::Role::Administrator,
        Role::TenantAdministrator(_) => pb::Role::TenantAdministrator,
        Role::TenantViewer(_) => pb::Role::TenantViewer,
        Role::Join(_) => pb::Role::Join,
    };
    pb::Token {
        name,
        role: role.into(),
        expire_time: expires_at.map(timestamp),
        create_time: Some(timestamp(created_at)),
        author,
        revoke_time: revoked_at.map(timestamp),
        tenants,
    }
}

pub(super) fn tenant_name(tenant: &TenantId) -> String {
    format!("tenants/{tenant}")
}

/// No number is given out twice, so that it is tag enough.
fn etag(revision: Revision) -> String {
    revision.to_string()
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = at.subsec_nanosecond();
    // Before 1970 the fraction counts backwards here, and forwards there.
    let (seconds, nanos) = match nanos < 0 {
        true => (at.as_second() - 1, nanos + 1_000_000_000),
        false => (at.as_second(), nanos),
    };
    prost_types::Timestamp { seconds, nanos }
}

fn config(resolved: &[u8]) -> Result<gateway_proto::config::v1::TenantConfig, Status> {
    match gateway_proto::decode(resolved) {
        Ok(config) => Ok((&config).into()),
        Err(error) => {
            tracing::error!(%error, "a kept document cannot be read");
            Err(Status::internal("the kept document cannot be read"))
        }
    }
}
