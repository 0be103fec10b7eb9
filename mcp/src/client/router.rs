//! Where the messages go that a command server writes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};

use super::callback;
use super::error::excerpt;
use super::identity::Subject;
use super::pending::Pending;
use crate::lines::encode_line;
use crate::message::{Kind, Message};
use crate::version::Era;

/// How many lines of stdout that are no messages are logged; a server that logs there does so
/// with every request.
const LOGGED_STRAY_LINES: u32 = 20;

/// Brings what the child says to those whom it concerns.
pub(super) struct Router {
    pub(super) label: Arc<str>,
    pub(super) pending: Arc<Pending>,
    pub(super) lines: mpsc::Sender<Bytes>,
    pub(super) notifications: broadcast::Sender<Message>,
    pub(super) era: watch::Receiver<Option<Era>>,
    /// How many lines were no messages.
    pub(super) stray_lines: u32,
}

impl Router {
    /// Hands on one line of the child's output.
    pub(super) fn route(&mut self, line: Bytes) {
        let message = match Message::scan(line.clone()) {
            Ok(message) => message,
            Err(error) => return self.skip(&line, &error.to_string()),
        };
        match message.kind() {
            Kind::Response => {
                let wire = message.id().and_then(|id| id.parse().ok());
                let unclaimed = match wire {
                    Some(wire) => self.pending.respond(wire, message).is_some(),
                    None => true,
                };
                if unclaimed {
                    tracing::debug!(server = %self.label, "dropped a response that nobody waits for");
                }
            }
            Kind::Notification => self.notify(message),
            Kind::Request => self.answer(&message),
        }
    }

    fn notify(&self, message: Message) {
        let unclaimed = match Subject::of(&message) {
            Some(subject) => self.pending.notify(subject.wire, message),
            None => Some(message),
        };
        if let Some(message) = unclaimed {
            // Nobody listening is no loss.
            drop(self.notifications.send(message));
        }
    }

    fn answer(&self, request: &Message) {
        if *self.era.borrow() == Some(Era::Modern) {
            tracing::warn!(
                server = %self.label,
                method = request.method(),
                "dropped a request of the server: its protocol version has none"
            );
            return;
        }
        let Some(answer) = callback::answer(request) else {
            return;
        };
        if self.lines.try_send(encode_line(&answer)).is_err() {
            tracing::debug!(server = %self.label, "an answer was not sent: the queue is full");
        }
    }

    fn skip(&mut self, line: &Bytes, reason: &str) {
        self.stray_lines = self.stray_lines.saturating_add(1);
        if self.stray_lines > LOGGED_STRAY_LINES {
            return;
        }
        let line = excerpt(line, 200);
        tracing::warn!(server = %self.label, reason, "skipped a line that is no message: {line}");
        if self.stray_lines == LOGGED_STRAY_LINES {
            tracing::warn!(server = %self.label, "further lines that are no messages are not logged");
        }
    }
}
