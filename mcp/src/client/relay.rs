//! Carries messages to an endpoint and back as they are, ids and all, for a bridge between a client
//! and its gateway.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::endpoint::HttpEndpoint;
use super::error::ClientError;
use super::stream::{EventBody, message_text};
use crate::header::MCP_SESSION_ID;

/// The way to an endpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay {
    endpoint: HttpEndpoint,
}

/// What comes back for one request. Dropped early, it closes its connection.
#[derive(Debug)]
pub struct Relayed {
    status: StatusCode,
    session_id: Option<HeaderValue>,
    server: Arc<str>,
    limit: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text(Incoming),
    Events(Box<EventBody>),
    Read,
}

impl Relay {
    pub fn new(endpoint: HttpEndpoint) -> Self {
        Self { endpoint }
    }

    /// Posts a message, and waits for the head of the answer.
    pub async fn post(&self, headers: HeaderMap, message: Bytes) -> Result<Relayed, ClientError> {
        let none = HeaderMap::new();
        let response = self.endpoint.post(&none, &headers, message).await?;
        Ok(self.relayed(response))
    }

    /// Asks for a session's stream of what belongs to no request.
    pub async fn get(&self, headers: HeaderMap) -> Result<Relayed, ClientError> {
        let response = self.endpoint.get(&HeaderMap::new(), &headers).await?;
        Ok(self.relayed(response))
    }

    /// Ends a session.
    pub async fn delete(&self, headers: HeaderMap) -> Result<Relayed, ClientError> {
        let response = self.endpoint.delete(&headers).await?;
        Ok(self.relayed(response))
    }

    fn relayed(&self, response: Response<Incoming>) -> Relayed {
        let is_stream = EventBody::is_in(&response);
        let (head, body) = response.into_parts();
        Relayed {
            status: head.status,
            session_id: head.headers.get(MCP_SESSION_ID).cloned(),
            server: Arc::clone(self.endpoint.name()),
            limit: self.endpoint.max_message_bytes(),
            body: if is_stream {
                Body::Events(Box::new(EventBody::new(&self.endpoint, body)))
            } else {
                Body::Text(body)
            },
        }
    }
}

impl Relayed {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The session that the answer has opened.
    pub fn session_id(&self) -> Option<&HeaderValue> {
        self.session_id.as_ref()
    }

    /// The text of the next message, or whatever else the body holds; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        if let Body::Events(events) = &mut self.body {
            while let Some(event) = events.next().await? {
                if let Some(text) = message_text(event) {
                    return Ok(Some(text));
                }
            }
            return Ok(None);
        }
        let Body::Text(body) = std::mem::replace(&mut self.body, Body::Read) else {
            return Ok(None);
        };
        match Limited::new(body, self.limit).collect().await {
            Ok(body) => Ok(Some(body.to_bytes()).filter(|text| !text.is_empty())),
            Err(error) if error.is::<LengthLimitError>() => Err(ClientError::TooLarge {
                server: Arc::clone(&self.server),
                limit: self.limit,
            }),
            Err(error) => Err(ClientError::StreamLost {
                server: Arc::clone(&self.server),
                source: Some(error),
            }),
        }
    }
}
