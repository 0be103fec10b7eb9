//! The messages of the push protocol, read and written.

use std::collections::BTreeMap;

use gateway_core::{Revision, TenantId};
use gateway_proto::push::v1 as pb;
use tonic::Status;

use crate::push::{Batch, Step, Table};
use crate::rollout::Tally;
use crate::store::HostTable;
use crate::token::Scope;

pub(super) fn read_report(
    report: pb::Report,
) -> Result<BTreeMap<TenantId, (Revision, Tally)>, Status> {
    let outcomes = report.outcomes.into_iter().map(|outcome| {
        let tenant: TenantId = outcome.tenant.parse().map_err(invalid)?;
        let tally = Tally {
            requests: outcome.requests,
            errors: outcome.errors,
        };
        Ok((tenant, (Revision(outcome.revision), tally)))
    });
    outcomes.collect()
}

pub(super) fn response(batch: Batch, store: &str) -> pb::SubscribeResponse {
    let mut documents = Vec::new();
    let mut removed_tenants = Vec::new();
    for step in batch.steps {
        match step {
            Step::Put {
                tenant,
                revision: Revision(revision),
                config,
                canary,
            } => documents.push(pb::Document {
                tenant: tenant.into(),
                revision,
                config,
                canary,
            }),
            Step::Remove(tenant) => removed_tenants.push(tenant.into()),
        }
    }
    pb::SubscribeResponse {
        nonce: batch.nonce,
        store: store.to_owned(),
        sequence: batch.sequence,
        documents,
        removed_tenants,
        more: batch.more,
        peers: None,
        host_names: None,
    }
}

/// The table as one may have it who may know of some tenants only.
pub(super) fn peers(table: &Table, scope: &Scope) -> pb::Peers {
    let peers = table.iter().filter_map(|peer| {
        let common = peer.scope.tenants().map(|tenants| {
            let common = tenants.iter().filter(|tenant| scope.includes(tenant));
            common.map(TenantId::to_string).collect::<Vec<_>>()
        });
        let has_nothing_in_common = common.as_ref().is_some_and(Vec::is_empty);
        (!has_nothing_in_common).then(|| pb::Peer {
            replica: peer.replica.clone(),
            advertise: peer.advertise.clone(),
            tenants: common.unwrap_or_default(),
        })
    });
    pb::Peers {
        peers: peers.collect(),
    }
}

pub(super) fn host_names(table: &HostTable) -> pb::HostNames {
    let names = table.iter().map(|(host, tenant)| pb::HostName {
        host: host.to_string(),
        tenant: tenant.to_string(),
    });
    pb::HostNames {
        host_names: names.collect(),
    }
}

pub(super) fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}
