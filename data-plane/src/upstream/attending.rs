//! Attends to a connection that belongs to one client session: what the server says or asks on it
//! while none of the session's calls is under way is for that client all the same.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_core::{Deadline, ServerName};
use gateway_mcp::client::{EventReceiver, Peer};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::splice::Splice;
use gateway_mcp::{author, code};
use tokio::sync::watch;
use tracing::debug;

use super::changes::Changes;
use crate::exposure::expose_links;
use crate::live::LiveSession;

/// How long a server may take to be told that its question cannot be asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passes on what comes, until the connection ends.
pub(super) async fn attend(
    server: ServerName,
    peer: Weak<Peer>,
    mut events: EventReceiver,
    live: Arc<LiveSession>,
    changes: watch::Sender<Changes>,
) {
    while let Some(message) = events.recv().await {
        let Some(peer) = peer.upgrade() else { return };
        let told = match (message.kind(), message.method()) {
            (Kind::Request, _) => pose(&peer, &live, &message).await,
            (_, Some("notifications/cancelled")) => take_back(&peer, &live, &message),
            // Clients are told together with all the others, so that nobody is told twice.
            (_, method) if Changes::count(&changes, method) => None,
            (_, method) if live.names_servers() => {
                let method = method.unwrap_or_default().to_owned();
                Some(expose_links(message, &method, &server))
            }
            _ => Some(message),
        };
        if let Some(told) = told {
            live.feeds.standing().push(told.bytes());
        }
    }
}

/// The question as the client is asked it; a server whose question cannot be asked is told so.
pub(crate) async fn pose(
    peer: &Arc<Peer>,
    live: &LiveSession,
    question: &Message,
) -> Option<Message> {
    let posed = live.questions.ask(peer, question);
    if posed.is_none() {
        let reason = "too many questions wait for the client's answers";
        let refusal = author::error(question.id(), code::INTERNAL_ERROR, reason, None);
        if let Err(error) = peer.respond(&refusal, Deadline::after(PATIENCE)).await {
            debug!(server = peer.name(), %error, "a refusal was not taken");
        }
    }
    posed
}

/// The cancellation of a server's question, by the id that the client knows it by. `None` when the
/// client knows no such question any more.
pub(crate) fn take_back(
    peer: &Arc<Peer>,
    live: &LiveSession,
    cancelled: &Message,
) -> Option<Message> {
    let bytes = cancelled.bytes();
    let place = [Field("params"), Field("requestId")];
    let range = find(bytes, 0..bytes.len(), &place).pop()?;
    let own = std::str::from_utf8(bytes.get(range.clone())?).ok()?;
    let id = live.questions.take_back(peer, own)?;
    let mut splice = Splice::new(bytes);
    splice.replace(range, id);
    cancelled.edited(splice).ok()
}
