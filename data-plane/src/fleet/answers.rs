//! Answers to what servers asked: they belong to the replica that asked, wherever the session is at home by
//! now.

use std::time::Duration;

use gateway_mcp::message::{Kind, Message};
use http::Response;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Fleet;
use super::handing::{Errand, hand_to};
use crate::Gateway;
use crate::body::ReplyBody;
use crate::error::Failure;
use crate::live::replica_of_question;
use crate::session::ReplicaTag;

/// How long it takes at most until all know of a replica that is new, or back at another address, also while
/// control planes are replaced.
const NEWS: Duration = Duration::from_secs(30);

/// How often it is looked whether they do.
const LOOK: Duration = Duration::from_millis(100);

/// The replica that asked what a message answers; `None`: it answers nothing, or does not say.
pub(crate) fn asker(message: &Message) -> Option<ReplicaTag> {
    match message.kind() {
        Kind::Response => replica_of_question(message.id()?),
        _ => None,
    }
}

/// Brings an answer to whoever asked, even one that takes on nothing new. A client may know a new replica
/// before it is told of here, so that nobody is given up at once. `None`: this one asked, or nobody that can
/// be found.
pub(super) async fn bring(
    gateway: &Gateway,
    fleet: &Fleet,
    asker: ReplicaTag,
    errand: &Errand<'_>,
) -> Option<Result<Response<ReplyBody>, Failure>> {
    if asker == fleet.own {
        return None;
    }
    let until = Instant::now() + NEWS;
    let mut reason = "no replica of its name is there".to_owned();
    while Instant::now() < until {
        if let Some(peer) = fleet.known(asker) {
            match hand_to(gateway, fleet, &peer, errand).await {
                Ok(answered) => return Some(answered),
                Err(why) => reason = why,
            }
            debug!(replica = peer.name, address = %peer.address, reason, "it is not there to be answered");
        }
        tokio::time::sleep(LOOK).await;
    }
    warn!(
        reason,
        "an answer is dropped, because the replica that asked is not there any more"
    );
    None
}
