//! One configured MCP server of one tenant: connected, watched, reconnected. It keeps running over
//! every revision that leaves it unchanged.

mod catalog;
mod environment;
mod supervisor;
mod target;

use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::{CredentialsMode, Isolation};
use gateway_core::{Deadline, ServerName, UserId};
use gateway_mcp::bridge::{self, Unbridgeable};
use gateway_mcp::client::{ClientError, Exchange, Peer, ServerHello};
use gateway_mcp::list::Item;
use gateway_mcp::message::Message;
use gateway_mcp::version::{Era, Version};
use http::HeaderMap;
use moka::future::Cache;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::request::Dialect;
use crate::session::{Callbacks, SessionId};
use catalog::Catalog;
use supervisor::{Link, Links, Supervisor};

pub use target::Commands;
pub(crate) use target::Target;

/// How many private sessions or children one server may have; the longest unused one ends first.
const MAX_PRIVATE_PEERS: u64 = 1_000;

/// How long a private session or child is kept unused.
const PRIVATE_IDLE: Duration = Duration::from_secs(30 * 60);

/// Who a connection to a server is for. Only what is equal in all of it may share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    user: UserId,
    /// The client's session; `None` for a modern client, which has none.
    session: Option<SessionId>,
    version: Version,
    /// What the server may ask for. Nothing yet: the gateway declares no capability to servers.
    callbacks: Callbacks,
}

impl SessionKey {
    pub(crate) fn of(user: &UserId, dialect: &Dialect) -> Self {
        Self {
            user: user.clone(),
            session: dialect.session().map(|session| session.id),
            version: dialect.version(),
            callbacks: Callbacks::default(),
        }
    }

    fn per_user(&self) -> Self {
        Self {
            session: None,
            ..self.clone()
        }
    }
}

/// Why nothing was sent, or nothing usable came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The server is not there.
    #[error("{reason}")]
    Down { reason: Arc<str> },
    /// The server cannot be asked this in its era.
    #[error(transparent)]
    Bridge(#[from] Unbridgeable),
    /// The exchange failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// One server. Dropped, it ends its sessions and children.
#[derive(Debug)]
pub(crate) struct Upstream {
    target: Arc<Target>,
    links: Links,
    private: Cache<SessionKey, Arc<Peer>>,
    catalog: Catalog,
    tasks: TaskTracker,
    _stop: DropGuard,
}

/// A connection to use for one request.
struct Lease {
    peer: Arc<Peer>,
    /// Set when the connection is not shared.
    key: Option<SessionKey>,
}

impl Upstream {
    /// Starts to connect, and returns at once.
    pub(crate) fn start(target: Target, tasks: &TaskTracker) -> Self {
        let target = Arc::new(target);
        let stop = CancellationToken::new();
        let (supervisor, links) = Supervisor::new(Arc::clone(&target), stop.clone());
        drop(tasks.spawn(supervisor.run()));
        let private = Cache::builder()
            .max_capacity(MAX_PRIVATE_PEERS)
            .time_to_idle(PRIVATE_IDLE)
            .build();
        let catalog = Catalog::default();
        let _stop = stop.drop_guard();
        Self {
            target,
            links,
            private,
            catalog,
            tasks: tasks.clone(),
            _stop,
        }
    }

    pub(crate) fn name(&self) -> &ServerName {
        &self.target.name
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn credentials(&self) -> CredentialsMode {
        self.target.config.credentials
    }

    /// The longest that a request may take, where the configuration says.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.target
            .config
            .timeout
            .map(|timeout| timeout.as_duration())
    }

    /// Where requests go, for credential plugins.
    pub(crate) fn target_url(&self) -> &str {
        &self.target.url
    }

    /// What the server said of itself, while it is there.
    pub(crate) fn hello(&self) -> Option<ServerHello> {
        match self.links.now() {
            Link::Ready(connection) => Some(connection.peer.hello().clone()),
            Link::Starting(_) | Link::Down(_) => None,
        }
    }

    /// `starting`, `ready` or `down`, and why, for operators.
    pub(crate) fn state(&self) -> (&'static str, Option<Arc<str>>) {
        match self.links.now() {
            Link::Starting(_) => ("starting", None),
            Link::Ready(_) => ("ready", None),
            Link::Down(outage) => ("down", Some(outage.reason)),
        }
    }

    /// The server's tools, all pages of them. `None` when they cannot be had within `patience`,
    /// or at all.
    pub(crate) async fn tools(&self, patience: Duration) -> Option<Arc<Vec<Item>>> {
        self.catalog.tools(&self.links, &self.tasks, patience).await
    }

    /// Sends a request in the form of the server's era. A server that has forgotten the session,
    /// or has been restarted, is connected to anew without the client noticing; that is safe,
    /// because it has not taken the request.
    pub(crate) async fn send(
        &self,
        key: &SessionKey,
        message: &Message,
        headers: HeaderMap,
        deadline: Deadline,
    ) -> Result<(Exchange, Era), UpstreamError> {
        let mut may_retry = true;
        loop {
            let lease = self.lease(key, deadline).await?;
            let hello = lease.peer.hello();
            let outgoing = adapt(message, key.version.era(), hello)?;
            let era = hello.era;
            match lease
                .peer
                .request(&outgoing, headers.clone(), deadline)
                .await
            {
                Ok(exchange) => return Ok((exchange, era)),
                Err(error) if error.is_before_send() && may_retry => {
                    debug!(server = %self.target.name, %error, "connecting anew");
                    may_retry = false;
                    self.give_up(lease).await;
                }
                Err(error) => {
                    if error.is_before_send() || error.is_peer_lost() {
                        self.give_up(lease).await;
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Ends what belongs to a client session that has ended.
    pub(crate) fn end_sessions_of(&self, session: SessionId) {
        let of_session = |key: &SessionKey| key.session == Some(session);
        let keys = self.private.iter().map(|(key, _)| key);
        for key in keys.filter(|key| of_session(key)) {
            let private = self.private.clone();
            drop(self.tasks.spawn(async move { end(&private, &key).await }));
        }
    }

    async fn lease(&self, key: &SessionKey, deadline: Deadline) -> Result<Lease, UpstreamError> {
        let shared = self.links.ready(deadline).await?;
        let Some(key) = self.private_key(key, shared.hello()) else {
            return Ok(Lease {
                peer: shared,
                key: None,
            });
        };
        // The era is known from the shared connection; many waiting for one key connect once.
        let hello = shared.hello();
        let version = if key.version.era() == hello.era {
            key.version
        } else {
            hello.version
        };
        let connected = self.private.try_get_with(key.clone(), async {
            self.target
                .connect(Some(hello.era), version, deadline)
                .await
                .map(Arc::new)
        });
        let peer = connected
            .await
            .map_err(|error: Arc<ClientError>| UpstreamError::Down {
                reason: error.to_string().into(),
            })?;
        Ok(Lease {
            peer,
            key: Some(key),
        })
    }

    /// Whose connection a request uses; `None`: everybody's. Left to itself, a server that gives
    /// out sessions has one for each client session, because it may keep something in it.
    fn private_key(&self, key: &SessionKey, hello: &ServerHello) -> Option<SessionKey> {
        match self.target.config.isolation {
            Some(Isolation::Shared) => None,
            Some(Isolation::PerUser) => Some(key.per_user()),
            Some(Isolation::PerSession) => Some(key.clone()),
            None => hello.session_id.is_some().then(|| key.clone()),
        }
    }

    async fn give_up(&self, lease: Lease) {
        match lease.key {
            Some(key) => self.private.invalidate(&key).await,
            None => self.links.give_up(&lease.peer),
        }
    }
}

async fn end(private: &Cache<SessionKey, Arc<Peer>>, key: &SessionKey) {
    if let Some(peer) = private.remove(key).await {
        peer.close().await;
    }
}

/// The message in the form of the server's era.
fn adapt(message: &Message, client: Era, server: &ServerHello) -> Result<Message, Unbridgeable> {
    match (client, server.era) {
        (Era::Legacy, Era::Modern) => {
            bridge::request_to_modern(message, target::CLIENT_INFO, "{}", server.version)
        }
        (Era::Modern, Era::Legacy) => bridge::request_to_legacy(message),
        (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => Ok(message.clone()),
    }
}
