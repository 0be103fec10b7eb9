//! Attends to a connection that belongs to one client session: what the server says or asks on it
//! while none of the session's calls is under way is for that client all the same.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_core::Deadline;
use gateway_mcp::client::{ClosedReason, EventReceiver, Peer};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::splice::Splice;
use gateway_mcp::{author, code};
use tokio::sync::watch;
use tracing::debug;

use super::Upstream;
use super::audience::Audience;
use super::changes::Changes;
use super::private::SessionKey;
use crate::live::LiveSession;

/// How long a server may take to be told that its question cannot be asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before a connection that was lost is made again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a connection may take to end once nothing comes from it any more.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How long a new connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(60);

/// Who attends to one connection of one client session.
pub(super) struct Keeper {
    pub(super) server: Weak<Upstream>,
    pub(super) key: SessionKey,
    pub(super) peer: Weak<Peer>,
    pub(super) live: Arc<LiveSession>,
}

impl Keeper {
    /// Passes on what comes, until the connection ends. Where the client has set a log level, it
    /// wants to hear what it does not ask for: a connection that was lost is then made again.
    pub(super) async fn attend(
        self,
        events: EventReceiver,
        changes: watch::Sender<Changes>,
        audience: Arc<Audience>,
    ) {
        pass_on(&self.peer, events, &self.live, &changes, &audience).await;
        let Self {
            server,
            key,
            peer,
            live,
        } = self;
        let (Some(peer), Some(_)) = (peer.upgrade(), live.level()) else {
            return;
        };
        if !is_lost(&peer).await {
            return;
        }
        if let Some(server) = server.upgrade() {
            server.private.give_up(&key, &peer);
        }
        drop(peer);
        let live = Arc::downgrade(&live);
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let (Some(server), Some(live)) = (server.upgrade(), live.upgrade()) else {
                return;
            };
            // The client's calls may have made it meanwhile; whoever attends to it then is another.
            let deadline = Deadline::after(CONNECT_PATIENCE);
            let name = server.name().clone();
            let connected = server.connect_again(key.clone(), live, deadline).await;
            match connected {
                Ok(_) => return,
                Err(error) => debug!(server = %name, %error, "not connected again"),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether a connection on which nothing more comes has ended by itself. A child may take a while
/// to be gone after its output.
async fn is_lost(peer: &Peer) -> bool {
    let ended = async {
        tokio::select! {
            () = peer.session_lost() => true,
            reason = peer.closed() => matches!(reason, ClosedReason::Exited(_)),
        }
    };
    let ended = tokio::time::timeout(END_PATIENCE, ended).await;
    ended.unwrap_or(false)
}

async fn pass_on(
    peer: &Weak<Peer>,
    mut events: EventReceiver,
    live: &LiveSession,
    changes: &watch::Sender<Changes>,
    audience: &Audience,
) {
    while let Some(message) = events.recv().await {
        let Some(peer) = peer.upgrade() else { return };
        let told = match (message.kind(), message.method()) {
            (Kind::Request, _) => pose(&peer, live, &message).await,
            (_, Some("notifications/cancelled")) => take_back(&peer, live, &message),
            // Clients are told together with all the others, so that nobody is told twice.
            (_, method) if Changes::count(changes, method) => None,
            _ if audience.tell(Arc::as_ptr(&peer), &message) => None,
            _ => Some(message),
        };
        if let Some(told) = told {
            live.keep().feeds.standing().push(told.bytes());
        }
    }
}

/// The question as the client is asked it; a server whose question cannot be asked is told so.
pub(crate) async fn pose(
    peer: &Arc<Peer>,
    live: &LiveSession,
    question: &Message,
) -> Option<Message> {
    let posed = live.keep().questions.ask(peer, question);
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
    let id = live.kept()?.questions.take_back(peer, own)?;
    let mut splice = Splice::new(bytes);
    splice.replace(range, id);
    cancelled.edited(splice).ok()
}
