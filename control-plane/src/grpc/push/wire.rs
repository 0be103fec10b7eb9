//! The messages of the push protocol, read and written.

use std::collections::BTreeMap;

use gateway_core::{Revision, TenantId};
use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::subscribe_request::Message;
use tonic::{Status, Streaming};

use crate::push::{Batch, Hello, Step, Table, is_address};
use crate::rollout::Tally;
use crate::store::HostTable;
use crate::token::Scope;

const MAX_NAME_CHARS: usize = 128;

/// More than any data plane can serve.
const MAX_HELD: usize = 1_000_000;

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

/// Reads what a replica says first, in one message or several; `None`: it has gone.
pub(super) async fn read_hello(
    inbound: &mut Streaming<pb::SubscribeRequest>,
) -> Result<Option<Hello>, Status> {
    let Some(first) = inbound.message().await? else {
        return Ok(None);
    };
    let Some(Message::Hello(mut hello)) = first.message else {
        return Err(Status::invalid_argument(
            "the first message must be a hello",
        ));
    };
    let (mut documents, mut more) = (std::mem::take(&mut hello.held), hello.more_held);
    let mut held = BTreeMap::new();
    loop {
        for document in documents {
            let tenant = TenantId::try_from(document.tenant).map_err(invalid)?;
            held.insert(tenant, Revision(document.revision));
        }
        if held.len() > MAX_HELD {
            return Err(Status::invalid_argument(format!(
                "a replica may hold the documents of at most {MAX_HELD} tenants"
            )));
        }
        if !more {
            return read_first(hello, held).map(Some);
        }
        let Some(next) = inbound.message().await? else {
            return Ok(None);
        };
        let Some(Message::Held(part)) = next.message else {
            return Err(Status::invalid_argument(
                "a hello with more_held must be followed by held",
            ));
        };
        (documents, more) = (part.documents, part.more);
    }
}

fn read_first(hello: pb::Hello, held: BTreeMap<TenantId, Revision>) -> Result<Hello, Status> {
    if hello.replica.is_empty() {
        return Err(Status::invalid_argument("the replica has no name"));
    }
    for (field, text) in [("name", &hello.replica), ("version", &hello.version)] {
        if text.chars().count() > MAX_NAME_CHARS || text.chars().any(char::is_control) {
            return Err(Status::invalid_argument(format!(
                "the replica's {field} must be at most {MAX_NAME_CHARS} printable characters"
            )));
        }
    }
    let advertise = Some(hello.advertise).filter(|address| !address.is_empty());
    if advertise
        .as_deref()
        .is_some_and(|address| !is_address(address))
    {
        return Err(Status::invalid_argument(
            "where the replica is reached by others must be HOST:PORT",
        ));
    }
    Ok(Hello {
        replica: hello.replica,
        version: hello.version,
        advertise,
        store: hello.store,
        cursor: hello.cursor,
        held,
    })
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
