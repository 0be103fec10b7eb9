//! The client of an MCP server, over HTTP and over a child process's standard streams.
//!
//! A [`Peer`] is one server whose era is known: [`Peer::request`] sends a message and returns the
//! [`Exchange`] in which the answer arrives; [`Peer::events`] brings what belongs to no request.
//! Messages stay bytes; only ids are replaced on the way out, since callers choose theirs
//! independently of each other, and put back on the way in.

mod abandon;
mod answer;
mod asides;
mod batch;
mod callback;
mod child;
mod connector;
mod endpoint;
mod error;
mod events;
mod exchange;
mod http;
mod http_sse;
mod identity;
mod initialize;
mod last_words;
mod network;
mod open;
mod pending;
mod probe;
mod relay;
mod router;
mod session;
mod socket;
mod standing;
mod stdio;
mod stream;
mod tls;

#[cfg(test)]
mod testing;

use std::fmt;
use std::sync::Arc;

use ::http::HeaderMap;
use gateway_core::Deadline;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub use self::child::ChildCommand;
pub use self::connector::{ConnectError, Connector};
pub use self::endpoint::HttpEndpoint;
pub use self::error::{BoxError, ClientError};
pub use self::events::EventReceiver;
pub use self::exchange::Exchange;
pub use self::last_words::LastWords;
pub use self::network::{Cidr, InvalidCidr, NetworkPolicy, NetworkRule};
pub use self::relay::{Relay, Relayed};
pub use self::stdio::ClosedReason;
pub use self::tls::{InvalidTls, TlsMaterial};

use self::http::{HttpLink, Terms};
use self::http_sse::SseLink;
use self::stdio::StdioLink;
use crate::author;
use crate::message::Message;
use crate::version::{Era, Version};

/// What the gateway says of itself to a server.
#[derive(Debug, Clone)]
pub struct ClientHello {
    pub name: String,
    pub version: String,
    /// A JSON object. What is declared here a legacy server may ask of the client; everything else
    /// that it asks is refused in the client's place.
    pub capabilities: String,
    /// The version that a legacy server is asked for.
    pub legacy_version: Version,
}

/// What a server said of itself.
#[derive(Clone)]
pub struct ServerHello {
    pub era: Era,
    /// The version that is spoken; the closest one before it if the server named an unknown one.
    pub version: Version,
    /// A JSON object, if the server says who it is.
    pub server_info: Option<Box<RawValue>>,
    /// A JSON object.
    pub capabilities: Box<RawValue>,
    pub instructions: Option<String>,
    /// The session that a legacy HTTP server keeps for this peer.
    pub session_id: Option<String>,
    /// How long this may be kept, in milliseconds; a legacy server does not say.
    pub ttl_ms: Option<u64>,
    /// Whether the server allows this to be shared between users.
    pub is_public: bool,
}

/// The session id is left out: who knows it can take part in the session.
impl fmt::Debug for ServerHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHello")
            .field("era", &self.era)
            .field("version", &self.version)
            .field("server_info", &self.server_info)
            .field("capabilities", &self.capabilities)
            .field("has_session", &self.session_id.is_some())
            .finish_non_exhaustive()
    }
}

/// One MCP server, reached and its era known: with a legacy HTTP server one session, with a
/// command one child.
///
/// Dropping it ends session or child in the background, once the last exchange is over;
/// [`Peer::close`] ends them at once and waits.
#[derive(Debug)]
pub struct Peer {
    hello: ServerHello,
    transport: Transport,
    /// The `_meta` of modern requests that the peer makes by itself.
    meta: Box<str>,
    since: Instant,
}

#[derive(Debug)]
enum Transport {
    Http { link: HttpLink, terms: Terms },
    Sse(Arc<SseLink>),
    Child(Arc<StdioLink>),
}

impl Peer {
    /// What the server said of itself.
    pub fn hello(&self) -> &ServerHello {
        &self.hello
    }

    /// When the server said it.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The server's name in logs and errors: the endpoint without its query, or the label.
    pub fn name(&self) -> &str {
        match &self.transport {
            Transport::Http { link, .. } => link.endpoint().name(),
            Transport::Sse(link) => link.name(),
            Transport::Child(link) => link.label(),
        }
    }

    /// Sends a request that is already in the form of the server's era, and returns its exchange.
    ///
    /// `headers` go to an HTTP server in addition to, or in the place of, the endpoint's own;
    /// those that the protocol requires are added. They mean nothing to a command.
    pub async fn request(
        &self,
        message: &Message,
        headers: HeaderMap,
        deadline: Deadline,
    ) -> Result<Exchange, ClientError> {
        match &self.transport {
            Transport::Http { link, terms } => {
                link.request(terms, message, headers, deadline).await
            }
            // On the heap, because it is large and seldom needed.
            Transport::Sse(link) => Box::pin(link.request(message, headers, deadline)).await,
            Transport::Child(link) => link.request(message, deadline).await,
        }
    }

    /// Subscribes to what a modern server has to tell; `filter` is a raw JSON object, the
    /// `notifications` of the request.
    ///
    /// By `deadline` the server must have begun to answer; the exchange then stays open until the
    /// server ends the subscription or the exchange is dropped. The acknowledgment comes first;
    /// the end is a response, or `notifications/cancelled`, after which no response may follow.
    /// Messages name the subscription by the id 0.
    pub async fn listen(&self, filter: &str, deadline: Deadline) -> Result<Exchange, ClientError> {
        const LISTEN: &str = "subscriptions/listen";
        if self.hello.era == Era::Legacy {
            return Err(ClientError::NotModern {
                server: self.name().into(),
                expected: Version::LATEST_MODERN.as_str(),
                reason: format!("it has no {LISTEN}"),
            });
        }
        let params = format!(r#"{{"_meta":{},"notifications":{filter}}}"#, self.meta);
        let message = author::request("0", LISTEN, Some(&params));
        let exchange = self.request(&message, HeaderMap::new(), deadline).await?;
        Ok(exchange.without_deadline())
    }

    /// Sends a notification, and waits until the server, or the command's queue, has taken it.
    pub async fn notify(&self, message: &Message, deadline: Deadline) -> Result<(), ClientError> {
        match &self.transport {
            Transport::Http { link, terms } => link.notify(terms, message, deadline).await,
            Transport::Sse(link) => link.notify(message, deadline).await,
            Transport::Child(link) => link.notify(message, deadline).await,
        }
    }

    /// Sends the client's response to what a legacy server asked, under the server's own id, and
    /// waits until the server, or the command's queue, has taken it.
    pub async fn respond(&self, response: &Message, deadline: Deadline) -> Result<(), ClientError> {
        self.notify(response, deadline).await
    }

    /// What the server says without its belonging to a request: notifications, and what a legacy
    /// server asks of the client where it does not say on account of which request.
    ///
    /// A command's output and a stream of the HTTP+SSE transport are read in any case; a legacy
    /// session's standing stream is opened by this call, kept open for as long as the server
    /// offers it, and closed with the session or the receiver. Modern HTTP servers have none: see
    /// [`Peer::listen`]. There is one receiver; nothing comes for those who call later.
    pub fn events(&self) -> EventReceiver {
        match &self.transport {
            Transport::Http { terms, .. } => match terms.session() {
                Some(session) => session.listen(),
                None => EventReceiver::ended(),
            },
            Transport::Sse(link) => link.events(),
            Transport::Child(link) => link.events(),
        }
    }

    /// Says that all requests to come are one client's, so that what a legacy server says or asks
    /// without naming a request can come in the exchange of the request that is under way. What
    /// comes while there is none is left to [`Peer::events`].
    pub fn serve_one_client(&self) {
        match &self.transport {
            Transport::Http { terms, .. } => {
                if let Some(session) = terms.session() {
                    session.serve_one_client();
                }
            }
            Transport::Sse(link) => link.serve_one_client(),
            Transport::Child(link) => link.serve_one_client(),
        }
    }

    /// Completes when a legacy HTTP server turns out, on a stream that is open all the time, to
    /// know the session no longer, so that the peer is of no more use. Never for other peers.
    pub async fn session_lost(&self) {
        match &self.transport {
            Transport::Http { terms, .. } => match terms.session() {
                Some(session) => session.lost().await,
                None => std::future::pending().await,
            },
            Transport::Sse(link) => link.ended().await,
            Transport::Child(_) => std::future::pending().await,
        }
    }

    /// Completes when a command can answer nothing more. Never for an HTTP server, which can come
    /// back at any time; but see [`Peer::session_lost`].
    pub async fn closed(&self) -> ClosedReason {
        match &self.transport {
            Transport::Http { .. } | Transport::Sse(_) => std::future::pending().await,
            Transport::Child(link) => link.closed().await,
        }
    }

    /// Ends a legacy session, as far as the server lets itself be told, or the child: first by
    /// closing its input, then with SIGTERM, then with SIGKILL. Returns when it is gone.
    pub async fn close(&self) {
        match &self.transport {
            Transport::Http { terms, .. } => {
                if let Some(session) = terms.session() {
                    session.close().await;
                }
            }
            Transport::Sse(link) => link.close().await,
            Transport::Child(link) => link.close().await,
        }
    }
}
