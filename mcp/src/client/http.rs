//! The channel to an HTTP server: one POST per message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::Deadline;
use http::HeaderMap;
use tokio::time::timeout;

use super::abandon::Abandon;
use super::answer::{HttpAnswer, refusal};
use super::endpoint::HttpEndpoint;
use super::error::ClientError;
use super::exchange::{Answers, Exchange};
use super::identity::Identity;
use super::session::Session;
use super::stream::Resumption;
use crate::header::{MCP_SESSION_ID, standard_headers};
use crate::message::{Message, ScanError};
use crate::params::Params;
use crate::version::Version;

/// On what terms a message is sent.
#[derive(Debug, Clone)]
pub(super) enum Terms {
    /// None yet: this is the legacy handshake.
    Opening,
    /// In a legacy session.
    Legacy(Arc<Session>),
    /// Every request for itself.
    Modern(Version),
}

impl Terms {
    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Legacy(session) => Some(session),
            Self::Opening | Self::Modern(_) => None,
        }
    }

    /// Whether the server may answer that it has lost the session.
    fn have_session_id(&self) -> bool {
        self.session().is_some_and(|session| session.has_id())
    }

    fn headers(&self, message: &Message) -> Result<HeaderMap, ScanError> {
        match self {
            Self::Opening => Ok(HeaderMap::new()),
            Self::Legacy(session) => Ok(session.headers().clone()),
            Self::Modern(version) => standard_headers(message, &Params::of(message)?, *version)
                .map_err(|error| ScanError::NotMessage {
                    reason: format!("its method or name {error}"),
                }),
        }
    }
}

/// An endpoint and the numbers of the requests to it.
#[derive(Debug)]
pub(super) struct HttpLink {
    endpoint: Arc<HttpEndpoint>,
    next_wire: AtomicU64,
}

impl HttpLink {
    pub(super) fn new(endpoint: Arc<HttpEndpoint>) -> Self {
        Self {
            endpoint,
            next_wire: AtomicU64::new(1),
        }
    }

    pub(super) fn endpoint(&self) -> &Arc<HttpEndpoint> {
        &self.endpoint
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn request(
        &self,
        terms: &Terms,
        message: &Message,
        headers: HeaderMap,
        deadline: Deadline,
    ) -> Result<Exchange, ClientError> {
        let wire = self.next_wire.fetch_add(1, Ordering::Relaxed);
        let (identity, outgoing) =
            Identity::assign(message, wire).map_err(|source| self.unsendable(source))?;
        let protocol = terms
            .headers(&outgoing)
            .map_err(|source| self.unsendable(source))?;
        // From here on a caller that goes away while waiting cancels the request.
        let mut abandon = terms
            .session()
            .map(|session| Abandon::session(session.clone(), headers.clone(), wire));
        let opening = async {
            let response = self
                .endpoint
                .post(&headers, protocol, outgoing.into_bytes())
                .await?;
            let status = response.status();
            let session_id = response.headers().get(MCP_SESSION_ID).cloned();
            let answer = HttpAnswer::open(
                &self.endpoint,
                response,
                &identity,
                terms.have_session_id(),
                self.resumption(terms, &headers),
            )
            .await?;
            Ok((status, session_id, answer))
        };
        let Ok(opened) = timeout(deadline.remaining(), opening).await else {
            return Err(self.deadline_exceeded());
        };
        let (status, session_id, answer) = opened.inspect_err(|_| {
            if let Some(abandon) = &mut abandon {
                abandon.set_tell(false);
            }
        })?;
        let name = self.endpoint.name().clone();
        Ok(
            Exchange::new(name, identity, deadline, Answers::Http(answer), abandon)
                .with_head(status, session_id),
        )
    }

    /// Sends a message that wants no response: a notification, or a response.
    pub(super) async fn notify(
        &self,
        terms: &Terms,
        message: &Message,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let protocol = terms
            .headers(message)
            .map_err(|source| self.unsendable(source))?;
        let extra = HeaderMap::new();
        let sending = async {
            let body = message.bytes().clone();
            let response = self.endpoint.post(&extra, protocol, body).await?;
            match refusal(&self.endpoint, response, terms.have_session_id()).await {
                Some(error) => Err(error),
                None => Ok(()),
            }
        };
        match timeout(deadline.remaining(), sending).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.deadline_exceeded()),
        }
    }

    /// How a stream of events that breaks off is read on; modern ones are lost.
    fn resumption(&self, terms: &Terms, headers: &HeaderMap) -> Option<Resumption> {
        terms.session().map(|session| Resumption {
            endpoint: self.endpoint.clone(),
            extra: headers.clone(),
            headers: session.headers().clone(),
        })
    }

    fn unsendable(&self, source: ScanError) -> ClientError {
        ClientError::Unsendable {
            server: self.endpoint.name().clone(),
            source,
        }
    }

    fn deadline_exceeded(&self) -> ClientError {
        ClientError::DeadlineExceeded {
            server: self.endpoint.name().clone(),
            sent: true,
        }
    }
}

#[cfg(test)]
mod tests;
