//! Where the messages go that a server writes on a channel which all requests share.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::batch::read_messages;
use super::callback::{Callbacks, is_question, unheard};
use super::error::excerpt;
use super::events::EventSender;
use super::last_words::LastWords;
use super::pending::Pending;
use super::session::Errands;
use crate::lines::encode_line;
use crate::message::{Kind, Message};
use crate::version::Era;

/// How many texts that are no messages are logged; a command that logs to stdout does so with
/// every request.
const LOGGED_STRAYS: u32 = 20;

/// How many of them are kept where they are not logged: enough to tell what the command is, and to
/// leave room for its errors.
const KEPT_STRAYS: u32 = 2;

/// Brings what the server says to those whom it concerns.
pub(super) struct Router {
    pub(super) label: Arc<str>,
    pub(super) pending: Arc<Pending>,
    pub(super) outlet: Outlet,
    pub(super) events: EventSender,
    pub(super) callbacks: Callbacks,
    pub(super) era: watch::Receiver<Option<Era>>,
    /// Where texts that are no messages are kept, instead of being logged.
    pub(super) last_words: Option<LastWords>,
    /// How many texts were no messages.
    pub(super) strays: u32,
}

/// The way by which the gateway's own answers go.
pub(super) enum Outlet {
    Lines(mpsc::Sender<Bytes>),
    Posts(Errands),
}

impl Outlet {
    fn send(&self, answer: Message, label: &str) {
        match self {
            Self::Lines(lines) => {
                if lines.try_send(encode_line(&answer)).is_err() {
                    tracing::debug!(server = %label, "an answer was not sent: the queue is full");
                }
            }
            Self::Posts(errands) => errands.send(answer, Arc::default()),
        }
    }
}

impl Router {
    /// Hands on one text of the server's.
    pub(super) fn route(&mut self, text: Bytes) {
        let mut others = VecDeque::new();
        let mut next = match read_messages(text.clone(), &mut others) {
            Ok(message) => Some(message),
            Err(error) => return self.skip(&text, &error.to_string()),
        };
        while let Some(message) = next {
            match message.kind() {
                Kind::Response => self.respond(message),
                Kind::Notification => self.notify(message),
                Kind::Request => self.ask(message),
            }
            next = others.pop_front();
        }
    }

    fn respond(&self, response: Message) {
        let wire = response.id().and_then(|id| id.parse().ok());
        let unclaimed = match wire {
            Some(wire) => self.pending.respond(wire, response).is_some(),
            None => true,
        };
        if unclaimed {
            tracing::debug!(server = %self.label, "dropped a response that nobody waits for");
        }
    }

    fn notify(&self, notification: Message) {
        if let Some(notification) = self.pending.bring(notification, self.is_modern())
            && self.events.offer(notification).is_some()
        {
            tracing::debug!(server = %self.label, "dropped a notification that nobody took in time");
        }
    }

    /// The wire does not say on whose account the server asks; where that is not known either, it
    /// is for the peer's owner to find out.
    fn ask(&self, request: Message) {
        if self.is_modern() {
            tracing::warn!(
                server = %self.label,
                method = request.method(),
                "dropped a request of the server: its protocol version has none"
            );
            return;
        }
        let answer = match self.callbacks.answer(&request) {
            Some(answer) => {
                if is_question(&request) {
                    self.pending.tell_only_asker(request);
                }
                Some(answer)
            }
            None => self
                .pending
                .bring_to_caller(request)
                .and_then(|request| self.events.offer(request))
                .map(|request| unheard(&request)),
        };
        if let Some(answer) = answer {
            self.outlet.send(answer, &self.label);
        }
    }

    fn is_modern(&self) -> bool {
        *self.era.borrow() == Some(Era::Modern)
    }

    fn skip(&mut self, text: &Bytes, reason: &str) {
        self.strays = self.strays.saturating_add(1);
        if self.strays > LOGGED_STRAYS {
            return;
        }
        let text = excerpt(text, 200);
        if let Some(kept) = &self.last_words {
            if self.strays <= KEPT_STRAYS {
                kept.add(format!("(standard output) {text}"));
            }
            return;
        }
        tracing::warn!(server = %self.label, reason, "skipped what is no message: {text}");
        if self.strays == LOGGED_STRAYS {
            tracing::warn!(server = %self.label, "what else is no message is not logged");
        }
    }
}

#[cfg(test)]
mod tests;
