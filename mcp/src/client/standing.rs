//! The standing stream of a legacy session: what the server says that no request of the gateway's
//! brought about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::answer::refusal;
use super::batch::read_messages;
use super::callback::{Callbacks, unheard};
use super::endpoint::HttpEndpoint;
use super::events::EventSender;
use super::pending::Pending;
use super::session::Errands;
use super::stream::{Cursor, EventBody, is_passing, message_text};
use crate::message::{Kind, Message};

/// How long a client's first request waits for the stream.
const SETTLING: Duration = Duration::from_secs(1);

/// Keeps the stream open for as long as the server offers it and somebody listens.
pub(super) struct Standing {
    pub(super) endpoint: Arc<HttpEndpoint>,
    /// Those of the session.
    pub(super) headers: HeaderMap,
    pub(super) has_session_id: bool,
    pub(super) callbacks: Callbacks,
    pub(super) errands: Errands,
    pub(super) events: EventSender,
    /// The requests under way in the session.
    pub(super) pending: Arc<Pending>,
    /// What is set off when the stream is open, or will not be soon.
    pub(super) settled: DropGuard,
    /// Set off when the server knows the session no longer.
    pub(super) lost: CancellationToken,
}

/// What came of opening the stream.
enum Opening {
    Stream(Box<EventBody>),
    /// It may come to something later.
    Failed,
    /// The server has none.
    Refused,
}

impl Standing {
    pub(super) async fn run(self) {
        let events = self.events.clone();
        tokio::select! {
            () = self.keep_open() => {}
            () = events.closed() => {}
            () = self.settle_in_time() => {}
        }
    }

    /// Some servers begin to answer only when they have something to say; by now they have heard.
    async fn settle_in_time(&self) {
        tokio::time::sleep(SETTLING).await;
        self.settle();
        std::future::pending().await
    }

    fn settle(&self) {
        self.settled.token().cancel();
    }

    async fn keep_open(&self) {
        let mut cursor = Cursor::default();
        let mut failures: u32 = 0;
        loop {
            let opening = self.open(&mut cursor).await;
            if matches!(opening, Opening::Stream(_)) {
                self.events.set_heard(true);
            }
            self.settle();
            let brought_something = match opening {
                Opening::Stream(body) => {
                    let brought_something = self.read(*body, &mut cursor).await;
                    self.events.set_heard(false);
                    brought_something
                }
                Opening::Failed => false,
                Opening::Refused => return,
            };
            // A stream that ends before it has said anything is no better than none.
            failures = if brought_something {
                0
            } else {
                failures.saturating_add(1)
            };
            tokio::time::sleep(cursor.pause(failures)).await;
        }
    }

    async fn open(&self, cursor: &mut Cursor) -> Opening {
        let server = self.endpoint.name();
        let extra = HeaderMap::new();
        let headers = cursor.headers(&self.headers);
        let response = match self.endpoint.get(&extra, &headers).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%server, %error, "the standing stream could not be opened");
                return Opening::Failed;
            }
        };
        if EventBody::is_in(&response) {
            let body = EventBody::new(&self.endpoint, response.into_body());
            return Opening::Stream(Box::new(body));
        }
        let status = response.status();
        tracing::debug!(%server, %status, "the server opened no standing stream");
        if let Some(error) = refusal(&self.endpoint, response, self.has_session_id).await
            && error.is_session_lost()
        {
            self.lost.cancel();
            return Opening::Refused;
        }
        // It may be the place that the server does not know any more.
        if is_passing(status) || (status == StatusCode::BAD_REQUEST && cursor.has_id()) {
            cursor.rewind();
            return Opening::Failed;
        }
        Opening::Refused
    }

    /// Hands on what comes until the stream ends; says whether there was anything.
    async fn read(&self, mut body: EventBody, cursor: &mut Cursor) -> bool {
        let mut brought_something = false;
        loop {
            let event = match body.next().await {
                Ok(Some(event)) => event,
                Ok(None) => return brought_something,
                Err(error) => {
                    let server = self.endpoint.name();
                    tracing::debug!(%server, %error, "the standing stream broke off");
                    return brought_something;
                }
            };
            brought_something = true;
            cursor.note(&event);
            if let Some(text) = message_text(event) {
                self.hand_on(text).await;
            }
        }
    }

    async fn hand_on(&self, text: Bytes) {
        let server = self.endpoint.name();
        let mut waiting = VecDeque::new();
        let mut next = match read_messages(text, &mut waiting) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::warn!(%server, %error, "skipped an event that is no message");
                None
            }
        };
        while let Some(message) = next {
            match message.kind() {
                Kind::Notification => {
                    if let Some(message) = self.pending.bring(message, false) {
                        drop(self.events.send(message).await);
                    }
                }
                Kind::Request => self.ask(message).await,
                Kind::Response => {
                    tracing::debug!(%server, "dropped a response on the standing stream");
                }
            }
            next = waiting.pop_front();
        }
    }

    async fn ask(&self, request: Message) {
        let answer = match self.callbacks.answer(&request) {
            Some(answer) => Some(answer),
            None => match self.pending.bring_to_caller(request) {
                Some(request) => {
                    let unclaimed = self.events.send(request).await;
                    unclaimed.map(|request| unheard(&request))
                }
                None => None,
            },
        };
        if let Some(answer) = answer {
            self.errands.send(answer, Arc::default());
        }
    }
}

#[cfg(test)]
mod tests;
