//! The client of an MCP server, over HTTP and over a child process's standard streams.
//!
//! A [`Peer`] is one server whose era is known: [`Peer::request`] sends a message and returns the
//! [`Exchange`] in which the answer arrives. Messages stay bytes; only ids are replaced on the way
//! out, since callers choose theirs independently of each other, and put back on the way in.

mod answer;
mod callback;
mod child;
mod connector;
mod endpoint;
mod error;
mod exchange;
mod http;
mod identity;
mod initialize;
mod network;
mod pending;
mod probe;
mod router;
mod session;
mod stdio;

#[cfg(test)]
mod testing;

use std::fmt;
use std::sync::Arc;

use ::http::HeaderMap;
use gateway_core::Deadline;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

pub use self::child::ChildCommand;
pub use self::connector::{ConnectError, Connector};
pub use self::endpoint::HttpEndpoint;
pub use self::error::{BoxError, ClientError};
pub use self::exchange::Exchange;
pub use self::network::{Cidr, InvalidCidr, NetworkPolicy, NetworkRule};
pub use self::stdio::ClosedReason;

use self::http::{HttpLink, Terms};
use self::probe::{Channel, greet};
use self::session::Session;
use self::stdio::StdioLink;
use crate::author;
use crate::message::Message;
use crate::version::{Era, Version};

/// What the gateway says of itself to a server.
#[derive(Debug, Clone)]
pub struct ClientHello {
    pub name: String,
    pub version: String,
    /// A JSON object.
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
}

#[derive(Debug)]
enum Transport {
    Http { link: HttpLink, terms: Terms },
    Child(Arc<StdioLink>),
}

impl Peer {
    /// Opens the conversation with an HTTP server; without `era` it is found out first.
    pub async fn connect_http(
        endpoint: Arc<HttpEndpoint>,
        hello: ClientHello,
        era: Option<Era>,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let link = HttpLink::new(endpoint);
        let greeting = greet(Channel::Http(&link), &hello, era, deadline).await?;
        let hello = greeting.hello;
        let terms = match hello.era {
            Era::Modern => Terms::Modern(hello.version),
            Era::Legacy => {
                let endpoint = link.endpoint().clone();
                let session = Session::open(endpoint, greeting.version, greeting.session_id);
                let terms = Terms::Legacy(session);
                link.notify(&terms, &initialized(), deadline).await?;
                terms
            }
        };
        Ok(Self {
            hello,
            transport: Transport::Http { link, terms },
        })
    }

    /// Starts a command and opens the conversation with it; without `era` it is found out first.
    ///
    /// A child that ends when it is asked for its era is started once more as a legacy one.
    pub async fn spawn(
        command: ChildCommand,
        hello: ClientHello,
        era: Option<Era>,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        match Self::spawn_once(&command, &hello, era, deadline).await {
            Err(ClientError::ServerExited { server, status }) if era.is_none() => {
                tracing::debug!(%server, ?status, "the command ended on a modern request");
                Self::spawn_once(&command, &hello, Some(Era::Legacy), deadline).await
            }
            outcome => outcome,
        }
    }

    async fn spawn_once(
        command: &ChildCommand,
        hello: &ClientHello,
        era: Option<Era>,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let link = StdioLink::start(command)?;
        let channel = Channel::Child {
            link: &link,
            probe_timeout: command.probe_timeout,
        };
        let hello = greet(channel, hello, era, deadline).await?.hello;
        link.set_era(hello.era);
        if hello.era == Era::Legacy {
            link.notify(&initialized(), deadline).await?;
        }
        Ok(Self {
            hello,
            transport: Transport::Child(link),
        })
    }

    /// What the server said of itself.
    pub fn hello(&self) -> &ServerHello {
        &self.hello
    }

    /// The server's name in logs and errors: the endpoint without its query, or the label.
    pub fn name(&self) -> &str {
        match &self.transport {
            Transport::Http { link, .. } => link.endpoint().name(),
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
            Transport::Child(link) => link.request(message, deadline).await,
        }
    }

    /// Sends a notification, and waits until the server, or the command's queue, has taken it.
    pub async fn notify(&self, message: &Message, deadline: Deadline) -> Result<(), ClientError> {
        match &self.transport {
            Transport::Http { link, terms } => link.notify(terms, message, deadline).await,
            Transport::Child(link) => link.notify(message, deadline).await,
        }
    }

    /// Completes when the peer can answer nothing more. An HTTP server can come back at any time,
    /// so that this never completes for one.
    pub async fn closed(&self) -> ClosedReason {
        match &self.transport {
            Transport::Http { .. } => std::future::pending().await,
            Transport::Child(link) => link.closed().await,
        }
    }

    /// What a command says without its belonging to a request. A slow reader loses the oldest. An
    /// HTTP server has no such channel: its receiver is closed from the start.
    pub fn notifications(&self) -> broadcast::Receiver<Message> {
        match &self.transport {
            Transport::Http { .. } => broadcast::channel(1).1,
            Transport::Child(link) => link.notifications(),
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
            Transport::Child(link) => link.close().await,
        }
    }
}

fn initialized() -> Message {
    author::notification("notifications/initialized", None)
}
