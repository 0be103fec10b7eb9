//! The requests that wait for an answer on a channel which they share.

use std::collections::HashMap;
use std::process::ExitStatus;
#[expect(
    clippy::disallowed_types,
    reason = "short critical sections without an await"
)]
use std::sync::Mutex;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::error::ClientError;
use crate::message::Message;

/// Notifications that one request may have waiting; its caller falls behind if there are more.
const WAITING_NOTIFICATIONS: usize = 256;

/// Why a channel brings nothing more.
#[derive(Debug, Clone, Copy)]
pub(super) enum ChannelEnd {
    /// The child has ended; the status is missing if it could not be waited for.
    Exited(Option<ExitStatus>),
    /// The stream of events has ended.
    Closed,
}

impl ChannelEnd {
    /// What this means to a request that was under way.
    pub(super) fn interrupt(self, server: &Arc<str>) -> ClientError {
        let server = server.clone();
        match self {
            Self::Exited(status) => ClientError::ServerExited { server, status },
            Self::Closed => ClientError::StreamLost {
                server,
                source: None,
            },
        }
    }

    /// What this means to a request that was not sent any more.
    pub(super) fn refuse(self, server: &Arc<str>) -> ClientError {
        match self {
            Self::Exited(_) => self.interrupt(server),
            Self::Closed => ClientError::SessionLost {
                endpoint: server.clone(),
            },
        }
    }
}

/// The requests under way, by their number on the wire.
#[derive(Debug, Default)]
pub(super) struct Pending {
    #[expect(
        clippy::disallowed_types,
        reason = "short critical sections without an await"
    )]
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    requests: HashMap<u64, Waiter>,
    /// Set once, when nothing can be answered any more.
    end: Option<ChannelEnd>,
}

/// The ends by which messages reach a waiting request.
#[derive(Debug)]
struct Waiter {
    notifications: mpsc::Sender<Message>,
    response: oneshot::Sender<Result<Message, ChannelEnd>>,
}

/// What arrives for one request: its notifications, then its response.
#[derive(Debug)]
pub(super) struct Arrivals {
    notifications: mpsc::Receiver<Message>,
    response: Option<oneshot::Receiver<Result<Message, ChannelEnd>>>,
}

impl Pending {
    /// Opens a place for the answer to request `wire`.
    pub(super) fn insert(&self, wire: u64) -> Result<Arrivals, ChannelEnd> {
        let mut table = self.lock();
        if let Some(end) = table.end {
            return Err(end);
        }
        let (notifications, waiting_notifications) = mpsc::channel(WAITING_NOTIFICATIONS);
        let (response, waiting_response) = oneshot::channel();
        table.requests.insert(
            wire,
            Waiter {
                notifications,
                response,
            },
        );
        Ok(Arrivals {
            notifications: waiting_notifications,
            response: Some(waiting_response),
        })
    }

    /// Takes the request's place away; says whether it was still waiting.
    pub(super) fn remove(&self, wire: u64) -> bool {
        self.lock().requests.remove(&wire).is_some()
    }

    /// Hands a response to the request it answers; gives it back if none waits for it.
    #[must_use]
    pub(super) fn respond(&self, wire: u64, response: Message) -> Option<Message> {
        let Some(waiter) = self.lock().requests.remove(&wire) else {
            return Some(response);
        };
        // The receiver goes only together with the request, which then needs no response.
        drop(waiter.response.send(Ok(response)));
        None
    }

    /// Hands a notification to the request it is about; gives it back if none waits for it.
    #[must_use]
    pub(super) fn notify(&self, wire: u64, notification: Message) -> Option<Message> {
        let table = self.lock();
        let Some(waiter) = table.requests.get(&wire) else {
            return Some(notification);
        };
        if waiter.notifications.try_send(notification).is_err() {
            // Waiting here would hold up every other request; the response has its own place.
            tracing::debug!(
                wire,
                "dropped a notification that its request did not take in time"
            );
        }
        None
    }

    /// Ends all waiting, now and for requests to come.
    pub(super) fn end(&self, end: ChannelEnd) {
        let mut table = self.lock();
        table.end = Some(end);
        for (_, waiter) in table.requests.drain() {
            drop(waiter.response.send(Err(end)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrivals {
    /// The next message; `None` after the response. Loses nothing when dropped before it is done.
    pub(super) async fn next(&mut self) -> Option<Result<Message, ChannelEnd>> {
        // The sender goes when the request is answered, so every notification comes first.
        if let Some(notification) = self.notifications.recv().await {
            return Some(Ok(notification));
        }
        let response = self.response.as_mut()?.await;
        self.response = None;
        Some(response.unwrap_or(Err(ChannelEnd::Closed)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(text: &'static str) -> Message {
        Message::scan(Bytes::from_static(text.as_bytes())).unwrap()
    }

    const NOTE: &str = r#"{"jsonrpc":"2.0","method":"n"}"#;
    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

    #[tokio::test]
    async fn notifications_come_before_the_response_even_when_nobody_reads_in_between() {
        let pending = Pending::default();
        let mut arrivals = pending.insert(1).unwrap();
        for _ in 0..2 {
            assert!(pending.notify(1, message(NOTE)).is_none());
        }
        assert!(pending.respond(1, message(ANSWER)).is_none());
        assert_eq!(arrivals.next().await.unwrap().unwrap(), message(NOTE));
        assert_eq!(arrivals.next().await.unwrap().unwrap(), message(NOTE));
        assert_eq!(arrivals.next().await.unwrap().unwrap(), message(ANSWER));
        assert!(arrivals.next().await.is_none());
    }

    #[tokio::test]
    async fn a_flood_of_notifications_does_not_displace_the_response() {
        let pending = Pending::default();
        let mut arrivals = pending.insert(1).unwrap();
        for _ in 0..WAITING_NOTIFICATIONS * 2 {
            assert!(pending.notify(1, message(NOTE)).is_none());
        }
        assert!(pending.respond(1, message(ANSWER)).is_none());
        let mut count = 0;
        while let Some(Ok(arrival)) = arrivals.next().await {
            count += 1;
            if arrival.id().is_some() {
                break;
            }
        }
        assert_eq!(count, WAITING_NOTIFICATIONS + 1);
    }

    #[tokio::test]
    async fn answers_are_given_once_and_to_known_requests_only() {
        let pending = Pending::default();
        assert!(pending.respond(1, message(ANSWER)).is_some());
        let _arrivals = pending.insert(1).unwrap();
        assert!(pending.respond(1, message(ANSWER)).is_none());
        assert!(pending.respond(1, message(ANSWER)).is_some());
        assert!(pending.notify(1, message(NOTE)).is_some());
        assert!(!pending.remove(1));
    }

    #[tokio::test]
    async fn the_end_reaches_those_who_wait_and_those_who_come_later() {
        let pending = Pending::default();
        let mut arrivals = pending.insert(1).unwrap();
        pending.end(ChannelEnd::Closed);
        assert!(arrivals.next().await.unwrap().is_err());
        assert!(arrivals.next().await.is_none());
        assert!(pending.insert(2).is_err());
    }
}
