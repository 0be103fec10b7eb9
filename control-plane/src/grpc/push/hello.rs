//! What a replica says first: who it is, and what it holds.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use gateway_core::{Revision, TenantId};
use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::subscribe_request::Message;
use tonic::{Status, Streaming};

use super::turn::{Turn, Turns, overdue};
use super::wire::invalid;
use crate::push::{Hello, is_address};

const MAX_NAME_CHARS: usize = 128;

/// More than any data plane can serve.
const MAX_HELD: usize = 1_000_000;

type Inbound = Streaming<pb::SubscribeRequest>;
type Held = BTreeMap<TenantId, Revision>;

/// Reads it, in one message or several, and gives the turn that it took to read much of it; `None`: the
/// replica has gone. Waiting for a turn costs nobody the `time` that a replica has.
pub(super) async fn read_hello(
    inbound: &mut Inbound,
    turns: &Turns,
    time: Duration,
) -> Result<Option<(Hello, Option<Turn>)>, Status> {
    let Some(first) = in_time(time, inbound.message()).await? else {
        return Ok(None);
    };
    let Some(Message::Hello(mut hello)) = first.message else {
        return Err(Status::invalid_argument(
            "the first message must be a hello",
        ));
    };
    check(&hello)?;
    let documents = std::mem::take(&mut hello.held);
    // What all hold who come at once after an outage is too much to be in memory at once.
    let mut turn = match hello.more_held {
        true => turns.take().await,
        false => None,
    };
    let held = in_time(time, read_held(inbound, documents, hello.more_held));
    let mut held = pin!(held);
    let held = loop {
        tokio::select! {
            held = held.as_mut() => break held?,
            () = overdue(turn.as_ref()) => turn = None,
        }
    };
    Ok(held.map(|held| (with(hello, held), turn)))
}

async fn in_time<T>(
    time: Duration,
    reading: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("the replica did not say hello");
    tokio::time::timeout(time, reading).await.map_err(late)?
}

async fn read_held(
    inbound: &mut Inbound,
    mut documents: Vec<pb::HeldDocument>,
    mut more: bool,
) -> Result<Option<Held>, Status> {
    let mut held = Held::new();
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
            return Ok(Some(held));
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

fn check(hello: &pb::Hello) -> Result<(), Status> {
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
    if !hello.advertise.is_empty() && !is_address(&hello.advertise) {
        return Err(Status::invalid_argument(
            "where the replica is reached by others must be HOST:PORT",
        ));
    }
    Ok(())
}

fn with(hello: pb::Hello, held: Held) -> Hello {
    Hello {
        replica: hello.replica,
        version: hello.version,
        advertise: Some(hello.advertise).filter(|address| !address.is_empty()),
        store: hello.store,
        cursor: hello.cursor,
        held,
    }
}
