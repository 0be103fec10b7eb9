//! Gives requests up: by telling the server that nobody waits for the answer any more.

use std::sync::Arc;

use http::HeaderMap;

use super::callback::Callbacks;
use super::http_sse::SseLink;
use super::session::{Errands, Session};
use super::stdio::StdioLink;
use crate::author;
use crate::json::encode_str;
use crate::message::Message;

/// Why a request is given up that is dropped.
const GAVE_UP: &str = "the client gave up waiting";

/// Gives a request up when it is dropped.
#[derive(Debug)]
pub(super) struct Abandon {
    path: Path,
    wire: u64,
    /// Whether the server has to be told.
    tell: bool,
}

/// The way by which the server is told.
#[derive(Debug)]
enum Path {
    Child(Arc<StdioLink>),
    Session {
        session: Arc<Session>,
        headers: Arc<HeaderMap>,
    },
    Sse {
        link: Arc<SseLink>,
        headers: Arc<HeaderMap>,
    },
}

impl Abandon {
    /// For a request that is about to be sent to a child, which need not be told before that.
    pub(super) fn child(link: Arc<StdioLink>, wire: u64) -> Self {
        Self {
            path: Path::Child(link),
            wire,
            tell: false,
        }
    }

    /// For a request in a session, whose cancellation carries the request's own `headers`.
    pub(super) fn session(session: Arc<Session>, headers: Arc<HeaderMap>, wire: u64) -> Self {
        Self {
            path: Path::Session { session, headers },
            wire,
            tell: true,
        }
    }

    /// For a request to a server that answers on one stream of events.
    pub(super) fn sse(link: Arc<SseLink>, headers: Arc<HeaderMap>, wire: u64) -> Self {
        Self {
            path: Path::Sse { link, headers },
            wire,
            tell: true,
        }
    }

    pub(super) fn set_tell(&mut self, tell: bool) {
        self.tell = tell;
    }

    /// Tells the server now that the request is not wanted any more, and not again later.
    pub(super) fn cancel(&mut self, reason: Option<&str>) {
        if !std::mem::replace(&mut self.tell, false) {
            return;
        }
        let message = cancelled(self.wire, reason);
        match &self.path {
            Path::Child(link) => link.dispatch(&message),
            Path::Session { session, headers } => {
                session.errands().send(message, Arc::clone(headers))
            }
            Path::Sse { link, headers } => link.errands().send(message, Arc::clone(headers)),
        }
    }

    /// How requests of the server are answered that come on this request's own stream: which of
    /// them the client answers, and by which way the gateway answers the others.
    pub(super) fn callbacks(&self) -> Option<(Callbacks, &Errands, &Arc<HeaderMap>)> {
        match &self.path {
            Path::Session { session, headers } => {
                Some((session.callbacks(), session.errands(), headers))
            }
            Path::Child(_) | Path::Sse { .. } => None,
        }
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        let is_waiting = match &self.path {
            Path::Child(link) => link.forget(self.wire),
            Path::Sse { link, .. } => link.forget(self.wire),
            Path::Session { .. } => true,
        };
        if is_waiting {
            self.cancel(Some(GAVE_UP));
        }
    }
}

/// The notification that request `wire` is not wanted any more.
fn cancelled(wire: u64, reason: Option<&str>) -> Message {
    let reason = reason.map(|reason| format!(r#","reason":{}"#, encode_str(reason)));
    let params = format!(r#"{{"requestId":{wire}{}}}"#, reason.unwrap_or_default());
    author::notification("notifications/cancelled", Some(&params))
}
