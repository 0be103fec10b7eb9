//! The requests that wait for an answer on a channel which they share.

use std::collections::HashMap;
use std::process::ExitStatus;
#[expect(
    clippy::disallowed_types,
    reason = "short critical sections without an await"
)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::error::ClientError;
use super::identity::Subject;
use crate::message::Message;

/// Notifications that one request may have waiting; its caller falls behind if there are more.
const WAITING_NOTIFICATIONS: usize = 256;

/// What is asked of a server in a client's session without the client's waiting for it: nothing
/// that the server asks or logs is on account of these.
const ERRANDS: [&str; 6] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
];

/// The requests on account of which a server may ask something.
const MAY_ASK: [&str; 3] = ["tools/call", "prompts/get", "resources/read"];

/// Notifications without the name of a request that a server sends while it works on one.
const ON_ACCOUNT_OF_A_CALL: [&str; 3] = [
    "notifications/message",
    // Of a question of the server's own.
    "notifications/cancelled",
    "notifications/elicitation/complete",
];

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
    /// Whether all requests are one client's.
    serves_one_client: AtomicBool,
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
    /// Whether it can be what the server asks or logs something for.
    is_call: bool,
    /// Whether the server may ask something on its account at all.
    may_ask: bool,
    notifications: mpsc::Sender<Message>,
    response: oneshot::Sender<Result<Message, ChannelEnd>>,
}

/// What arrives for one request: its notifications and the server's questions, then its response.
#[derive(Debug)]
pub(super) struct Arrivals {
    notifications: mpsc::Receiver<Message>,
    response: Option<oneshot::Receiver<Result<Message, ChannelEnd>>>,
}

impl Pending {
    /// From now on what names no request goes to the request that it is most likely for.
    pub(super) fn serve_one_client(&self) {
        self.serves_one_client.store(true, Ordering::Relaxed);
    }

    pub(super) fn serves_one_client(&self) -> bool {
        self.serves_one_client.load(Ordering::Relaxed)
    }

    /// Opens a place for the answer to `request`, which has the number `wire`.
    pub(super) fn insert(&self, wire: u64, request: &Message) -> Result<Arrivals, ChannelEnd> {
        let mut table = self.lock();
        if let Some(end) = table.end {
            return Err(end);
        }
        let (notifications, waiting_notifications) = mpsc::channel(WAITING_NOTIFICATIONS);
        let (response, waiting_response) = oneshot::channel();
        let method = request.method().unwrap_or_default();
        table.requests.insert(
            wire,
            Waiter {
                is_call: !ERRANDS.contains(&method),
                may_ask: MAY_ASK.contains(&method),
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

    /// Brings a notification to the request that it is about; gives it back if it is about none.
    #[must_use]
    pub(super) fn bring(&self, notification: Message, is_modern: bool) -> Option<Message> {
        // In a legacy session the server takes back requests of its own only, by its own numbers.
        let subject =
            Subject::of(&notification).filter(|subject| !subject.is_cancellation || is_modern);
        let unclaimed = match subject {
            Some(subject) => self.notify(subject.wire, notification),
            None => Some(notification),
        }?;
        let method = unclaimed.method().unwrap_or_default();
        if ON_ACCOUNT_OF_A_CALL.contains(&method) {
            self.bring_to_caller(unclaimed)
        } else {
            Some(unclaimed)
        }
    }

    /// Brings what the server says or asks without naming a request to the client whose request
    /// is under way; gives it back if there is none, or if it could be another client's.
    ///
    /// Of several requests the last one gets it. Which one the server works on is not to be known,
    /// and need not be: all their streams lead to the same client, and every one of them is a
    /// legal way to it, which the standing stream is only for a client that has opened it.
    #[must_use]
    pub(super) fn bring_to_caller(&self, message: Message) -> Option<Message> {
        if !self.serves_one_client() {
            return Some(message);
        }
        let table = self.lock();
        let calls = table.requests.iter().filter(|(_, waiter)| waiter.is_call);
        match calls.max_by_key(|(wire, _)| **wire) {
            Some((_, waiter)) => waiter
                .notifications
                .try_send(message)
                .err()
                .map(TrySendError::into_inner),
            None => Some(message),
        }
    }

    /// Tells of a question that was refused the only request on account of which it can have been
    /// asked. Of several nobody knows which one it was; they get what the server makes of it.
    pub(super) fn tell_only_asker(&self, question: Message) {
        let table = self.lock();
        let mut askers = table.requests.values().filter(|waiter| waiter.may_ask);
        if let (Some(asker), None) = (askers.next(), askers.next()) {
            // One whose notifications are not read is not helped by this one.
            drop(asker.notifications.try_send(question));
        }
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
    /// The next notification or question; `None` once nothing more can come.
    pub(super) async fn next_aside(&mut self) -> Option<Message> {
        self.notifications.recv().await
    }

    /// A notification or question that is there already.
    pub(super) fn waiting_aside(&mut self) -> Option<Message> {
        self.notifications.try_recv().ok()
    }

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

    fn request(method: &str) -> Message {
        crate::author::request("1", method, None)
    }

    const NOTE: &str = r#"{"jsonrpc":"2.0","method":"n"}"#;
    const LOG: &str = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    const CHANGE: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

    #[tokio::test]
    async fn notifications_come_before_the_response_even_when_nobody_reads_in_between() {
        let pending = Pending::default();
        let mut arrivals = pending.insert(1, &request("m")).unwrap();
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
        let mut arrivals = pending.insert(1, &request("m")).unwrap();
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
        let _arrivals = pending.insert(1, &request("m")).unwrap();
        assert!(pending.respond(1, message(ANSWER)).is_none());
        assert!(pending.respond(1, message(ANSWER)).is_some());
        assert!(pending.notify(1, message(NOTE)).is_some());
        assert!(!pending.remove(1));
    }

    #[tokio::test]
    async fn a_refused_question_is_told_to_the_only_call_it_can_be_of() {
        let pending = Pending::default();
        let request = |method: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
            Message::scan(text.into()).unwrap()
        };
        let mut list = pending.insert(1, &request("tools/list")).unwrap();
        pending.tell_only_asker(message(NOTE));
        let mut call = pending.insert(2, &request("tools/call")).unwrap();
        pending.tell_only_asker(message(NOTE));
        let mut other = pending.insert(3, &request("prompts/get")).unwrap();
        pending.tell_only_asker(message(NOTE));
        assert_eq!(call.waiting_aside(), Some(message(NOTE)));
        for arrivals in [&mut list, &mut call, &mut other] {
            assert_eq!(arrivals.waiting_aside(), None);
        }
    }

    #[tokio::test]
    async fn the_end_reaches_those_who_wait_and_those_who_come_later() {
        let pending = Pending::default();
        let mut arrivals = pending.insert(1, &request("m")).unwrap();
        pending.end(ChannelEnd::Closed);
        assert!(arrivals.next().await.unwrap().is_err());
        assert!(arrivals.next().await.is_none());
        assert!(pending.insert(2, &request("m")).is_err());
    }
    #[tokio::test]
    async fn what_names_no_request_comes_to_the_last_call_of_the_only_client() {
        let pending = Pending::default();
        let mut first = pending.insert(1, &request("tools/call")).unwrap();
        assert!(
            pending.bring(message(LOG), false).is_some(),
            "it may be another client's"
        );
        pending.serve_one_client();
        assert!(pending.bring(message(LOG), false).is_none());
        assert_eq!(first.next().await.unwrap().unwrap(), message(LOG));
        let mut second = pending.insert(2, &request("tools/call")).unwrap();
        let _errand = pending.insert(3, &request("logging/setLevel")).unwrap();
        assert!(pending.bring_to_caller(request("roots/list")).is_none());
        assert_eq!(second.waiting_aside(), Some(request("roots/list")));
        assert_eq!(first.waiting_aside(), None, "nothing comes twice");
        assert!(pending.bring(message(CHANGE), false).is_some());
        assert!(pending.remove(1) && pending.remove(2));
        assert!(pending.bring(message(LOG), false).is_some());
    }
}
