//! One configured MCP server of one tenant: connected, watched, reconnected. It keeps running over
//! every revision that leaves it unchanged.

mod attending;
mod catalog;
mod changes;
mod environment;
mod hearing;
mod private;
mod supervisor;
mod target;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway_core::config::{CredentialsMode, Isolation};
use gateway_core::{Deadline, ServerName};
use gateway_mcp::author;
use gateway_mcp::bridge::{self, Unbridgeable};
use gateway_mcp::client::{ClientError, Exchange, Peer, ServerHello};
use gateway_mcp::list::{Item, ListKind};
use gateway_mcp::message::Message;
use gateway_mcp::version::Era;
use http::HeaderMap;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::error::with_causes;
use crate::live::LiveSession;
use crate::session::SessionId;
use attending::attend;
use catalog::Catalog;
use hearing::overhear;
use private::PrivatePeers;
use supervisor::{Link, Links, Supervisor};

pub(crate) use attending::{pose, take_back};
pub(crate) use changes::Changes;
pub(crate) use private::SessionKey;
pub use target::Commands;
pub(crate) use target::Target;

/// How long a server may take to hear what a client says.
const TELL_PATIENCE: Duration = Duration::from_secs(5);

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
    private: Arc<PrivatePeers>,
    catalog: Catalog,
    /// Found out by asking: it does not speak as clients do that can be asked.
    only_modern: AtomicBool,
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
        let private = Arc::new(PrivatePeers::default());
        drop(tasks.spawn(Arc::clone(&private).tend(stop.clone())));
        let catalog = Catalog::new(stop.clone());
        let _stop = stop.drop_guard();
        Self {
            target,
            links,
            private,
            catalog,
            only_modern: AtomicBool::new(false),
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

    /// Tells when one of the server's lists changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Changes> {
        self.links.changes()
    }

    /// One of the server's lists, all pages of it. `None` when it cannot be had within
    /// `patience`, or at all.
    pub(crate) async fn list(&self, kind: ListKind, patience: Duration) -> Option<Arc<Vec<Item>>> {
        self.catalog
            .list(kind, &self.links, &self.tasks, patience)
            .await
    }

    /// What the server says of itself, once it is there; waits only while it is starting.
    pub(crate) async fn introduction(&self, patience: Duration) -> Option<ServerHello> {
        let peer = self.links.ready_soon(patience).await?;
        Some(peer.hello().clone())
    }

    /// Sends a request in the form of the server's era. A server that has forgotten the session,
    /// or has been restarted, is connected to anew without the client noticing; that is safe,
    /// because it has not taken the request.
    pub(crate) async fn send(
        &self,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        message: &Message,
        headers: HeaderMap,
        deadline: Deadline,
    ) -> Result<(Exchange, Arc<Peer>), UpstreamError> {
        let mut may_retry = true;
        loop {
            let lease = self.lease(key, live, deadline).await?;
            let hello = lease.peer.hello();
            let outgoing = adapt(message, key.version.era(), hello)?;
            match lease
                .peer
                .request(&outgoing, headers.clone(), deadline)
                .await
            {
                Ok(exchange) => return Ok((exchange, lease.peer)),
                Err(error) => {
                    if !needs_new_connection(&error) {
                        return Err(error.into());
                    }
                    self.give_up(lease);
                    if !error.is_before_send() || !may_retry {
                        return Err(error.into());
                    }
                    debug!(server = %self.target.name, %error, "connecting anew");
                    may_retry = false;
                }
            }
        }
    }

    /// Sets the log level of a client's session, where it has one.
    pub(crate) async fn set_level(&self, session: SessionId, level: &str) {
        for peer in self.private.of_session(session) {
            set_level(&peer, level).await;
        }
    }

    /// Passes on what a client says to the servers that it has sessions with.
    pub(crate) async fn tell(&self, session: SessionId, message: &Message) {
        for peer in self.private.of_session(session) {
            if let Err(error) = peer.notify(message, Deadline::after(TELL_PATIENCE)).await {
                debug!(server = %self.target.name, %error, "a notification was not taken");
            }
        }
    }

    /// Ends what belongs to a client session that has ended.
    pub(crate) fn end_sessions_of(&self, session: SessionId) {
        for peer in self.private.take_session(session) {
            drop(self.tasks.spawn(async move { peer.close().await }));
        }
    }

    async fn lease(
        &self,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        deadline: Deadline,
    ) -> Result<Lease, UpstreamError> {
        let shared = self.links.ready(deadline).await?;
        let is_asked = !key.callbacks.is_empty() || live.is_some_and(|live| live.has_state());
        let Some(key) = self.private_key(key, is_asked, shared.hello()) else {
            return Ok(Lease {
                peer: shared,
                key: None,
            });
        };
        match self
            .connect_private(&key, live, is_asked, shared.hello(), deadline)
            .await
        {
            Ok(peer) => Ok(Lease {
                peer,
                key: Some(key),
            }),
            // It asks nothing in its own way, and has no other.
            Err(_) if is_asked && shared.hello().era == Era::Modern => {
                self.only_modern.store(true, Ordering::Relaxed);
                Ok(Lease {
                    peer: shared,
                    key: None,
                })
            }
            Err(error) => Err(UpstreamError::Down {
                reason: with_causes(&error).into(),
            }),
        }
    }

    /// A client that can be asked, or has set something, is served in its own era, which has these
    /// things; otherwise the era is that of the shared connection.
    async fn connect_private(
        &self,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        is_asked: bool,
        hello: &ServerHello,
        deadline: Deadline,
    ) -> Result<Arc<Peer>, ClientError> {
        let era = if is_asked {
            key.version.era()
        } else {
            hello.era
        };
        let version = if key.version.era() == era {
            key.version
        } else {
            hello.version
        };
        let capabilities = key.callbacks.as_json();
        // On the heap, because it is large and seldom needed.
        let connect = || {
            Box::pin(
                self.target
                    .connect(Some(era), version, capabilities, deadline),
            )
        };
        let (peer, is_new) = self.private.get_or_connect(key, connect).await?;
        if is_new {
            self.listen_to(&peer, live.filter(|_| key.is_of_one_session()))
                .await;
        }
        Ok(peer)
    }

    /// Takes care of what a server says on a connection that is not shared: to the session that
    /// it belongs to, or, if it belongs to none, as on a shared one.
    async fn listen_to(&self, peer: &Arc<Peer>, live: Option<&Arc<LiveSession>>) {
        let events = peer.events();
        let (name, changes) = (self.name().clone(), self.links.changes_sender());
        let Some(live) = live else {
            let label = peer.name().to_owned();
            let hearing = async move { overhear(&label, events, &changes).await };
            drop(self.tasks.spawn(hearing));
            return;
        };
        peer.serve_one_client();
        if let Some(level) = live.level() {
            set_level(peer, &level).await;
        }
        let (peer, live) = (Arc::downgrade(peer), Arc::clone(live));
        drop(self.tasks.spawn(attend(name, peer, events, live, changes)));
    }

    /// Whose connection a request uses; `None`: everybody's. Left to itself, a server that gives
    /// out sessions has one for each client session, because it may keep something in it, and a client
    /// that can be asked has one of its own, so that the questions reach it and nobody else.
    fn private_key(
        &self,
        key: &SessionKey,
        is_asked: bool,
        hello: &ServerHello,
    ) -> Option<SessionKey> {
        match self.target.config.isolation {
            Some(Isolation::Shared) => None,
            Some(Isolation::PerUser) => Some(key.per_user()),
            Some(Isolation::PerSession) => Some(key.clone()),
            None => {
                let may_ask = is_asked && !self.only_modern.load(Ordering::Relaxed);
                (hello.session_id.is_some() || may_ask).then(|| key.clone())
            }
        }
    }

    fn give_up(&self, lease: Lease) {
        match lease.key {
            Some(key) => self.private.give_up(&key, &lease.peer),
            None => self.links.give_up(&lease.peer),
        }
    }
}

/// Whether the connection is at fault. A message that cannot be sent, or that waited too long for
/// its turn, says nothing against a connection that others use as well.
fn needs_new_connection(error: &ClientError) -> bool {
    error.is_peer_lost() || matches!(error, ClientError::Unreachable { .. })
}

/// Sets a log level; a server without logs need not know what it means.
async fn set_level(peer: &Peer, level: &str) {
    let params = format!(r#"{{"level":{level}}}"#);
    let request = author::request("0", "logging/setLevel", Some(&params));
    let told = peer.request(&request, HeaderMap::new(), Deadline::after(TELL_PATIENCE));
    let answered = match told.await {
        Ok(mut exchange) => exchange.next().await.transpose(),
        Err(error) => Err(error),
    };
    if let Err(error) = answered {
        debug!(server = peer.name(), %error, "a log level was not set");
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
