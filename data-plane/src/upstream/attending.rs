//! Attends to a connection that belongs to one client session: what the server says or asks on it
//! without naming a request is for that client.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_core::{Deadline, ServerName};
use gateway_mcp::client::Peer;
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::{author, code};
use tracing::debug;

use crate::exposure::expose_links;
use crate::live::LiveSession;

/// How long a server may take to be told that its question cannot be asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passes on what comes, until the connection ends.
pub(super) async fn attend(server: ServerName, peer: Weak<Peer>, live: Arc<LiveSession>) {
    let Some(mut events) = peer.upgrade().map(|peer| peer.events()) else {
        return;
    };
    while let Some(message) = events.recv().await {
        let Some(peer) = peer.upgrade() else { return };
        if message.kind() == Kind::Request {
            if let Some(question) = pose(&peer, &live, &message).await {
                live.feeds.standing().push(question.bytes());
            }
        } else {
            let method = message.method().unwrap_or_default().to_owned();
            let message = match live.names_servers() {
                true => expose_links(message, &method, &server),
                false => message,
            };
            live.feeds.standing().push(message.bytes());
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
