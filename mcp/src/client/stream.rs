//! The events of an HTTP answer, read on where the stream broke off if the server allows it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{media_type, unreadable_message};
use super::batch::read_messages;
use super::endpoint::HttpEndpoint;
use super::error::ClientError;
use crate::header::LAST_EVENT_ID;
use crate::message::Message;
use crate::sse::{SseDecoder, SseEvent};

/// How long to wait before connecting again if the server does not say.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait that failures add up to.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often in a row opening a broken stream again may fail.
const ATTEMPTS: u32 = 4;

/// The events of one HTTP response.
#[derive(Debug)]
pub(super) struct EventBody {
    server: Arc<str>,
    body: Incoming,
    decoder: SseDecoder,
    limit: usize,
}

impl EventBody {
    /// Whether a response says that its body is a stream of events.
    pub(super) fn is_in(response: &Response<Incoming>) -> bool {
        response.status() == StatusCode::OK && media_type(response.headers()) == "text/event-stream"
    }

    pub(super) fn new(endpoint: &HttpEndpoint, body: Incoming) -> Self {
        let limit = endpoint.max_message_bytes();
        Self {
            server: endpoint.name().clone(),
            body,
            decoder: SseDecoder::new(limit),
            limit,
        }
    }

    /// The next event; `None` at the end. Loses nothing when dropped before it is done.
    pub(super) async fn next(&mut self) -> Result<Option<SseEvent>, ClientError> {
        loop {
            if let Some(event) = self.decoder.next_event() {
                return event.map(Some).map_err(|_| ClientError::TooLarge {
                    server: self.server.clone(),
                    limit: self.limit,
                });
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(error)) => {
                    return Err(ClientError::StreamLost {
                        server: self.server.clone(),
                        source: Some(error.into()),
                    });
                }
                None => return Ok(None),
            }
        }
    }
}

/// What an event says to the protocol. An event without data only sets the id from which the
/// stream can be resumed.
pub(super) fn message_text(event: SseEvent) -> Option<Bytes> {
    let is_message = event.event.is_none_or(|name| name == "message");
    (is_message && !event.data.is_empty()).then_some(event.data)
}

/// How far a stream has been read, and when to connect again.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    last_id: Option<HeaderValue>,
    retry: Option<Duration>,
}

impl Cursor {
    pub(super) fn note(&mut self, event: &SseEvent) {
        if let Some(id) = &event.id {
            // The empty id takes an earlier one back.
            let id = Some(id).filter(|id| !id.is_empty());
            self.last_id = id.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        }
        self.retry = event.retry.or(self.retry);
    }

    /// How long to wait before the stream is opened again after `failures` in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let first = self.retry.unwrap_or(DEFAULT_PAUSE);
        if failures == 0 {
            return first;
        }
        let longer = first
            .max(Duration::from_millis(100))
            .saturating_mul(2_u32.saturating_pow(failures.min(16)));
        longer.min(LONGEST_PAUSE).max(first)
    }

    pub(super) fn has_id(&self) -> bool {
        self.last_id.is_some()
    }

    /// Forgets the place; the stream is opened anew.
    pub(super) fn rewind(&mut self) {
        self.last_id = None;
    }

    /// The session's `headers` with the one that names the place.
    pub(super) fn headers(&self, headers: &HeaderMap) -> HeaderMap {
        let mut headers = headers.clone();
        if let Some(id) = &self.last_id {
            headers.insert(LAST_EVENT_ID, id.clone());
        }
        headers
    }
}

/// What it takes to open a broken stream of a session again.
#[derive(Debug, Clone)]
pub(super) struct Resumption {
    pub(super) endpoint: Arc<HttpEndpoint>,
    /// Those of the request whose stream it is.
    pub(super) extra: Arc<HeaderMap>,
    /// Those of the session.
    pub(super) headers: Arc<HeaderMap>,
}

impl Resumption {
    /// Opens the stream where `cursor` stands; `lost` is the error if that cannot be done.
    async fn reopen(self, cursor: Cursor, lost: ClientError) -> Result<EventBody, ClientError> {
        for failures in 0..ATTEMPTS {
            tokio::time::sleep(cursor.pause(failures)).await;
            let headers = cursor.headers(&self.headers);
            match self.endpoint.get(&self.extra, &headers).await {
                Ok(response) if EventBody::is_in(&response) => {
                    return Ok(EventBody::new(&self.endpoint, response.into_body()));
                }
                Ok(response) => {
                    let (server, status) = (self.endpoint.name(), response.status());
                    tracing::debug!(%server, %status, "a broken stream was not resumed");
                    if !is_passing(status) {
                        break;
                    }
                }
                Err(error) => {
                    let server = self.endpoint.name();
                    tracing::debug!(%server, %error, "a broken stream was not resumed");
                }
            }
        }
        Err(lost)
    }
}

/// Whether a refusal with this status says something of the moment only.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(
            status,
            // A server that has not yet noticed that the stream before is broken says conflict.
            StatusCode::CONFLICT
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The messages that answer a request on a stream of events.
#[derive(Debug)]
pub(super) struct EventStream {
    body: EventBody,
    /// What will take the body's place, while the stream is being opened again.
    reopening: Option<AbortOnDropHandle<Result<EventBody, ClientError>>>,
    cursor: Cursor,
    resumption: Option<Resumption>,
    /// What came together with the last message that was handed on.
    waiting: VecDeque<Message>,
}

impl EventStream {
    pub(super) fn new(body: EventBody, resumption: Option<Resumption>) -> Self {
        Self {
            body,
            reopening: None,
            cursor: Cursor::default(),
            resumption,
            waiting: VecDeque::new(),
        }
    }

    /// The next message; that there is none is an error. Loses nothing when dropped before it is
    /// done.
    pub(super) async fn next(&mut self, server: &Arc<str>) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            if let Some(reopening) = &mut self.reopening {
                // The task is aborted by its owner only, which is this stream.
                let reopened = reopening.await;
                self.reopening = None;
                self.body = reopened.unwrap_or_else(|_| Err(stream_lost(server)))?;
            }
            match self.body.next().await {
                Ok(Some(event)) => {
                    self.cursor.note(&event);
                    if let Some(text) = message_text(event) {
                        return read_messages(text, &mut self.waiting)
                            .map_err(|source| unreadable_message(server, source));
                    }
                }
                Ok(None) => self.resume(stream_lost(server))?,
                Err(lost @ ClientError::StreamLost { .. }) => self.resume(lost)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins to open the stream again; an error if it cannot be.
    fn resume(&mut self, lost: ClientError) -> Result<(), ClientError> {
        let Some(resumption) = self.resumption.clone().filter(|_| self.cursor.has_id()) else {
            return Err(lost);
        };
        let reopening = tokio::spawn(resumption.reopen(self.cursor.clone(), lost));
        self.reopening = Some(AbortOnDropHandle::new(reopening));
        Ok(())
    }

    /// What is left of the body, so that its connection can be used again.
    pub(super) fn into_body(self) -> Incoming {
        self.body.body
    }
}

fn stream_lost(server: &Arc<str>) -> ClientError {
    ClientError::StreamLost {
        server: server.clone(),
        source: None,
    }
}

#[cfg(test)]
mod tests;
