//! An HTTP server's answer to one request: a JSON body, or a stream of events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::batch::read_messages;
use super::endpoint::HttpEndpoint;
use super::error::{ClientError, excerpt};
use super::identity::answers;
use super::stream::{EventBody, EventStream, Resumption};
use crate::message::{Message, ScanError};

/// How long a stream may take to end after its response for its connection to be used again.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(1);
/// How much space is taken for a body because its length is announced.
const BELIEVED_BYTES: usize = 1024 * 1024;
/// How much of the body of an error status is read.
const ERROR_BODY_BYTES: usize = 256 * 1024;
/// How much of such a body goes into an error's text.
const ERROR_TEXT_CHARS: usize = 300;

/// The messages that answer a request, as far as they have come.
#[derive(Debug)]
pub(super) enum HttpAnswer {
    Ready(VecDeque<Message>),
    Json(JsonBody),
    Events(Box<EventStream>),
}

impl HttpAnswer {
    /// Judges status and content type; reads the body only of an error status.
    ///
    /// With `resumption`, a stream that breaks off is opened again where it ended.
    pub(super) async fn open(
        endpoint: &HttpEndpoint,
        response: Response<Incoming>,
        wire: u64,
        in_session: bool,
        resumption: Option<Resumption>,
    ) -> Result<Self, ClientError> {
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Self::of_success(endpoint, &head, body, resumption);
        }
        let text = read_start(body, ERROR_BODY_BYTES.min(endpoint.max_message_bytes())).await;
        let error = Message::scan(text.clone())
            .ok()
            .filter(|error| error.error_range().is_some());
        if in_session && is_session_lost(head.status, error.as_ref()) {
            return Err(ClientError::SessionLost {
                endpoint: endpoint.name().clone(),
            });
        }
        match error {
            // Credentials are the connection's business, whatever the body calls it.
            Some(error) if !is_about_credentials(head.status) && answers(&error, wire) => {
                Ok(Self::Ready(VecDeque::from([error])))
            }
            _ => Err(status_error(endpoint, head.status, &text)),
        }
    }

    fn of_success(
        endpoint: &HttpEndpoint,
        head: &Parts,
        body: Incoming,
        resumption: Option<Resumption>,
    ) -> Result<Self, ClientError> {
        let limit = endpoint.max_message_bytes();
        let server = endpoint.name();
        if matches!(head.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Err(unreadable(
                server,
                format!("status {} without a response", head.status),
            ));
        }
        match media_type(&head.headers).as_str() {
            "text/event-stream" => {
                let body = EventBody::new(endpoint, body);
                Ok(Self::Events(Box::new(EventStream::new(body, resumption))))
            }
            // Some small servers leave the type out; whether it is JSON shows soon enough.
            "application/json" | "" => {
                let announced = announced_length(&head.headers);
                if announced > limit {
                    return Err(ClientError::TooLarge {
                        server: server.clone(),
                        limit,
                    });
                }
                Ok(Self::Json(JsonBody {
                    body,
                    read: BytesMut::new(),
                    announced,
                    limit,
                }))
            }
            other => {
                let other = excerpt(other.as_bytes(), 100);
                Err(unreadable(
                    server,
                    format!("it is {other}, neither JSON nor an event stream"),
                ))
            }
        }
    }

    /// The next message. An end without a response is an error.
    pub(super) async fn next(&mut self, server: &Arc<str>) -> Result<Message, ClientError> {
        match self {
            Self::Ready(messages) => messages
                .pop_front()
                .ok_or_else(|| unreadable(server, "it answers another request".to_owned())),
            Self::Json(body) => {
                let text = body.read(server).await?;
                let mut others = VecDeque::new();
                let message = read_messages(text, &mut others)
                    .map_err(|source| unreadable_message(server, source))?;
                *self = Self::Ready(others);
                Ok(message)
            }
            Self::Events(events) => events.next(server).await,
        }
    }

    /// Gives the connection back after the response.
    pub(super) fn recycle(self) {
        let Self::Events(stream) = self else {
            return;
        };
        let mut body = stream.into_body();
        // A stream that is dropped before its end takes its connection with it. Servers end it
        // right behind the response, in most cases in the same packet.
        if let Some(None) = body.frame().now_or_never() {
            return;
        }
        let draining = async move { while let Some(Ok(_)) = body.frame().await {} };
        tokio::spawn(timeout(RECYCLE_TIMEOUT, draining));
    }
}

/// A body that comes as a whole.
#[derive(Debug)]
pub(super) struct JsonBody {
    body: Incoming,
    read: BytesMut,
    announced: usize,
    limit: usize,
}

impl JsonBody {
    async fn read(&mut self, server: &Arc<str>) -> Result<Bytes, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| stream_lost(server, error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if self.read.len().saturating_add(data.len()) > self.limit {
                return Err(ClientError::TooLarge {
                    server: server.clone(),
                    limit: self.limit,
                });
            }
            // Most bodies come in one piece, which is then the text as it is.
            if self.read.is_empty() {
                if self.body.is_end_stream() {
                    return Ok(data);
                }
                self.read.reserve(self.announced.min(BELIEVED_BYTES));
            }
            self.read.extend_from_slice(&data);
        }
        Ok(self.read.split().freeze())
    }
}

/// The error that a status other than success is, if it is to a message that wants no response.
pub(super) async fn refusal(
    endpoint: &HttpEndpoint,
    response: Response<Incoming>,
    in_session: bool,
) -> Option<ClientError> {
    let status = response.status();
    if status.is_success() {
        return None;
    }
    let text = read_start(response.into_body(), ERROR_BODY_BYTES).await;
    let error = Message::scan(text.clone()).ok();
    if in_session && is_session_lost(status, error.as_ref()) {
        return Some(ClientError::SessionLost {
            endpoint: endpoint.name().clone(),
        });
    }
    Some(status_error(endpoint, status, &text))
}

/// Whether the server says that it does not know the session. The specification's way is status
/// 404; common servers that were restarted answer 400 and say so in words.
fn is_session_lost(status: StatusCode, error: Option<&Message>) -> bool {
    match status {
        StatusCode::NOT_FOUND => true,
        StatusCode::BAD_REQUEST => {
            let text = error
                .and_then(Message::error)
                .unwrap_or_default()
                .to_ascii_lowercase();
            text.contains("session") || text.contains("not initialized")
        }
        _ => false,
    }
}

pub(super) fn is_about_credentials(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The beginning of a body, as far as it comes.
async fn read_start(mut body: Incoming, limit: usize) -> Bytes {
    let mut text = BytesMut::new();
    while text.len() < limit
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            text.extend_from_slice(&data);
        }
    }
    text.truncate(limit);
    text.freeze()
}

/// The content type without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn announced_length(headers: &HeaderMap) -> usize {
    let value = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

pub(super) fn unreadable_message(server: &Arc<str>, source: ScanError) -> ClientError {
    ClientError::Unreadable {
        server: server.clone(),
        reason: "it is not a message of the protocol".to_owned(),
        source: Some(source),
    }
}

fn status_error(endpoint: &HttpEndpoint, status: StatusCode, text: &[u8]) -> ClientError {
    let text = excerpt(text, ERROR_TEXT_CHARS);
    ClientError::Status {
        endpoint: endpoint.name().clone(),
        status,
        text,
    }
}

fn stream_lost(server: &Arc<str>, error: hyper::Error) -> ClientError {
    ClientError::StreamLost {
        server: server.clone(),
        source: Some(error.into()),
    }
}

fn unreadable(server: &Arc<str>, reason: String) -> ClientError {
    ClientError::Unreadable {
        server: server.clone(),
        reason,
        source: None,
    }
}
