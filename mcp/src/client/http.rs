//! The channel to an HTTP server: one POST per message.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use gateway_core::Deadline;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::abandon::Abandon;
use super::answer::{HttpAnswer, refusal};
use super::asides::Asides;
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

    fn headers(&self, message: &Message) -> Result<Cow<'_, HeaderMap>, ScanError> {
        match self {
            Self::Opening => Ok(Cow::Owned(HeaderMap::new())),
            Self::Legacy(session) => Ok(Cow::Borrowed(session.headers())),
            Self::Modern(version) => standard_headers(message, &Params::of(message)?, *version)
                .map(Cow::Owned)
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
        let session = terms.session();
        if let Some(session) = session
            && !session.is_settled()
            && timeout(deadline.remaining(), session.settled())
                .await
                .is_err()
        {
            let server = self.endpoint.name().clone();
            return Err(ClientError::DeadlineExceeded {
                server,
                sent: false,
            });
        }
        let asides = session.and_then(|session| session.asides(wire, message, &identity));
        let headers = Arc::new(headers);
        // From here on a caller that goes away while waiting cancels the request.
        let mut abandon = terms
            .session()
            .map(|session| Abandon::session(session.clone(), Arc::clone(&headers), wire));
        let opening = Opening {
            endpoint: self.endpoint.clone(),
            wire,
            in_session: terms.have_session_id(),
            resumption: self.resumption(terms, &headers),
        };
        let posting = self
            .endpoint
            .post(&headers, &protocol, outgoing.into_bytes());
        // On the heap, because whatever waits for it would be as large.
        let opening = opening.run(posting).boxed();
        let first = timeout(deadline.remaining(), first_of(opening, asides));
        let first = first.await.map_err(|_| self.deadline_exceeded())?;
        let name = self.endpoint.name().clone();
        let exchange = |answers, abandon| Exchange::new(name, identity, deadline, answers, abandon);
        match first {
            First::Answer(Ok(opened), asides) => {
                Ok(exchange(Answers::Http(opened.answer), abandon)
                    .with_head(opened.status, opened.session_id)
                    .with_asides(asides, None))
            }
            First::Answer(Err(error), _) => {
                if let Some(abandon) = &mut abandon {
                    abandon.set_tell(false);
                }
                Err(error)
            }
            First::Aside(aside, opening, asides) => {
                Ok(exchange(Answers::Opening(opening), abandon)
                    .with_asides(Some(asides), Some(aside)))
            }
        }
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
            let response = self.endpoint.post(&extra, &protocol, body).await?;
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
    fn resumption(&self, terms: &Terms, headers: &Arc<HeaderMap>) -> Option<Resumption> {
        terms.session().map(|session| Resumption {
            endpoint: self.endpoint.clone(),
            extra: Arc::clone(headers),
            headers: Arc::clone(session.headers()),
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

/// A request that is being sent, until its answer has begun.
struct Opening {
    endpoint: Arc<HttpEndpoint>,
    wire: u64,
    in_session: bool,
    resumption: Option<Resumption>,
}

/// An answer that has begun.
struct Opened {
    status: StatusCode,
    session_id: Option<HeaderValue>,
    answer: HttpAnswer,
}

impl Opening {
    async fn run(
        self,
        posting: impl Future<Output = Result<Response<Incoming>, ClientError>>,
    ) -> Result<Opened, ClientError> {
        let response = posting.await?;
        let status = response.status();
        let session_id = response.headers().get(MCP_SESSION_ID).cloned();
        let (in_session, resumption) = (self.in_session, self.resumption);
        let answer =
            HttpAnswer::open(&self.endpoint, response, self.wire, in_session, resumption).await?;
        Ok(Opened {
            status,
            session_id,
            answer,
        })
    }
}

/// What comes of a request first.
enum First {
    Answer(Result<Opened, ClientError>, Option<Asides>),
    /// Something on the standing stream, which may have to be answered before the answer begins.
    Aside(
        Message,
        BoxFuture<'static, Result<HttpAnswer, ClientError>>,
        Asides,
    ),
}

async fn first_of(
    mut opening: BoxFuture<'static, Result<Opened, ClientError>>,
    asides: Option<Asides>,
) -> First {
    let Some(mut asides) = asides else {
        return First::Answer(opening.await, None);
    };
    let aside = tokio::select! {
        biased;
        opened = &mut opening => return First::Answer(opened, Some(asides)),
        aside = asides.next() => aside,
    };
    let opening = opening.map_ok(|opened| opened.answer).boxed();
    First::Aside(aside, opening, asides)
}

#[cfg(test)]
mod tests;
