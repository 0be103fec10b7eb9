//! Hears what a server says without being asked, for as long as it is connected.

use std::convert::Infallible;
use std::sync::Weak;
use std::time::Duration;

use gateway_core::Deadline;
use gateway_mcp::client::{ClientError, EventReceiver, Peer};
use gateway_mcp::message::Message;
use gateway_mcp::version::Era;
use tokio::sync::watch;
use tracing::{debug, info};

use super::audience::Audience;
use super::changes::Changes;

/// What a modern server is asked to tell.
const FILTER: &str =
    r#"{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;

/// How long a server may take to begin a subscription.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause before a subscription that has ended is made again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Takes note of what a server says of its lists and resources.
pub(super) async fn hear(
    peer: &Peer,
    changes: &watch::Sender<Changes>,
    audience: &Audience,
) -> Infallible {
    let mut events = peer.events();
    let is_heard = events.is_heard();
    // A modern child has log messages that name no request as well.
    let overhearing = async {
        while let Some(message) = events.recv().await {
            if !audience.tell(peer, &message) {
                take(peer.name(), &message, changes);
            }
        }
    };
    match peer.hello().era {
        Era::Legacy => {
            tokio::select! {
                () = overhearing => {}
                () = follow(is_heard, changes) => {}
            }
            Changes::set_heard(changes, false);
        }
        Era::Modern => drop(tokio::join!(overhearing, hear_modern(peer, changes))),
    }
    std::future::pending().await
}

/// Takes note of whether a legacy server is heard, until that cannot change any more.
async fn follow(mut is_heard: watch::Receiver<bool>, changes: &watch::Sender<Changes>) {
    loop {
        Changes::set_heard(changes, *is_heard.borrow_and_update());
        if is_heard.changed().await.is_err() {
            return;
        }
    }
}

/// Takes note of what a server says on a connection that belongs to no client's session.
pub(super) async fn overhear(
    server: &str,
    peer: &Weak<Peer>,
    mut events: EventReceiver,
    changes: &watch::Sender<Changes>,
    audience: &Audience,
) {
    while let Some(message) = events.recv().await {
        if !audience.tell(peer.as_ptr(), &message) {
            take(server, &message, changes);
        }
    }
}

async fn hear_modern(peer: &Peer, changes: &watch::Sender<Changes>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match subscribe(peer, changes, &mut pause).await {
            Err(ClientError::Refused { .. } | ClientError::NotModern { .. }) => return,
            Err(error) => debug!(server = peer.name(), %error, "a subscription broke"),
            Ok(Heard::Response) => debug!(server = peer.name(), "a subscription ended"),
            // It has no subscriptions, and need not be asked again.
            Ok(Heard::Nothing) => return,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        // What was said meanwhile was not heard.
        Changes::count_all(changes);
    }
}

/// How a subscription went.
enum Heard {
    /// It was answered at once with an error.
    Nothing,
    /// It lasted, and came to its end.
    Response,
}

async fn subscribe(
    peer: &Peer,
    changes: &watch::Sender<Changes>,
    pause: &mut Duration,
) -> Result<Heard, ClientError> {
    let mut exchange = peer.listen(FILTER, Deadline::after(PATIENCE)).await?;
    while let Some(message) = exchange.next().await {
        let message = message?;
        if message.error().is_some() {
            return Ok(Heard::Nothing);
        }
        *pause = FIRST_PAUSE;
        take(peer.name(), &message, changes);
    }
    Ok(Heard::Response)
}

fn take(server: &str, message: &Message, changes: &watch::Sender<Changes>) {
    let method = message.method();
    if method == Some("notifications/subscriptions/acknowledged") {
        Changes::set_heard(changes, true);
        return;
    }
    if !Changes::count(changes, method) && method == Some("notifications/message") {
        // A log line that belongs to no request is nobody's but the operator's.
        let line = message.params().unwrap_or_default();
        info!(target: "mcp_server", server, "log: {line}");
    }
}
