//! One configured MCP server of one tenant: connected, watched, reconnected. It keeps running over
//! every revision that leaves it unchanged.

mod attending;
mod audience;
mod authorization;
mod catalog;
mod changes;
mod common;
mod environment;
mod hearing;
mod lease;
mod listing;
mod on_demand;
mod params;
mod plugin;
mod private;
mod quota;
mod readers;
mod report;
mod shelf;
mod supervisor;
mod target;
mod tool_headers;
mod turns;
mod watching;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gateway_core::config::{CredentialsMode, Isolation, TimeSpan};
use gateway_core::{Deadline, SecretString, ServerName, UserId};
use gateway_mcp::author;
use gateway_mcp::bridge::{self, Unbridgeable};
use gateway_mcp::client::{ClientError, Exchange, Peer, ServerHello};
use gateway_mcp::header::ParamError;
use gateway_mcp::list::ListKind;
use gateway_mcp::message::Message;
use gateway_mcp::version::Era;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::error::with_causes;
use crate::live::LiveSession;
use crate::session::SessionId;
use audience::Audience;
use catalog::Catalog;
use common::Common;
use listing::end_of_ttl;
use on_demand::OnDemand;
use private::{NoPeer, PrivatePeers};
use readers::Reader;
use supervisor::{Link, Supervisor};
use tool_headers::{ToolHeaders, ToolHeadersByContext};

pub(crate) use attending::{pose, take_back};
pub(crate) use audience::{Told, UPDATED};
pub(crate) use authorization::{AuthorizationContext, InvalidCredential};
pub(crate) use changes::Changes;
pub(crate) use listing::{CacheHints, Listed};
pub(crate) use private::SessionKey;
pub(crate) use quota::Quota;
pub(crate) use target::Target;
pub use target::{Commands, NotUsable};
pub(crate) use watching::Watching;

/// How long a server may take to hear what a client says.
const TELL_PATIENCE: Duration = Duration::from_secs(5);

/// What an administrator can do about a server that wants a credential and is given none.
pub(crate) const WANTS_CREDENTIAL: &str = "if it wants a credential of each user, set `credentials: required` for it; if it wants one of the gateway, set `auth` or `headers`";

/// Why nothing was sent, or nothing usable came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The server is not there.
    #[error("{reason}")]
    Down { reason: Arc<str> },
    /// The server cannot be asked this in its era.
    #[error(transparent)]
    Bridge(#[from] Unbridgeable),
    /// The call's arguments cannot stand in headers.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// The exchange failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl UpstreamError {
    /// Whether the server wants a credential, or another one than it got.
    pub(crate) fn is_about_credentials(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_about_credentials())
    }
}

impl From<NoPeer> for UpstreamError {
    fn from(error: NoPeer) -> Self {
        match error {
            NoPeer::Client(error) if error.is_about_credentials() => Self::Client(error),
            error => Self::Down {
                reason: with_causes(&error).into(),
            },
        }
    }
}

/// One server. Dropped, it ends its sessions and children.
#[derive(Debug)]
pub(crate) struct Upstream {
    target: Arc<Target>,
    common: Common,
    private: Arc<PrivatePeers>,
    catalog: Catalog,
    tool_headers: ToolHeadersByContext,
    audience: Arc<Audience>,
    /// Found out by asking: it does not speak as clients do that can be asked.
    only_modern: AtomicBool,
    tasks: TaskTracker,
    /// Cancelled with the server.
    stop: CancellationToken,
    _stop: DropGuard,
}

/// A client's request on its way to a server.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// Under the server's own names, in the client's era.
    pub(crate) message: &'a Message,
    pub(crate) headers: HeaderMap,
    /// Whether the client has written no headers that repeat these arguments.
    pub(crate) writes_params: bool,
}

impl Upstream {
    /// A server that is connected to once somebody asks for it.
    pub(crate) fn new(target: Target, quota: &Arc<Quota>, tasks: &TaskTracker) -> Self {
        let target = Arc::new(target.within(tasks));
        let stop = CancellationToken::new();
        let idle = target.config.idle_timeout.map(TimeSpan::as_duration);
        let private = PrivatePeers::new(quota, idle, tasks, &stop);
        let audience = Arc::<Audience>::default();
        let common = if target.tells_users_apart() {
            Common::OnDemand(OnDemand::new(&target, &private, &audience, tasks, &stop))
        } else {
            let (target, audience) = (Arc::clone(&target), Arc::clone(&audience));
            Common::Kept(Supervisor::asleep(target, audience, tasks, stop.clone()))
        };
        let catalog = Catalog::new(&target, &common, tasks, &stop);
        let _stop = stop.clone().drop_guard();
        Self {
            tool_headers: ToolHeadersByContext::default(),
            target,
            common,
            private,
            catalog,
            audience,
            only_modern: AtomicBool::new(false),
            tasks: tasks.clone(),
            stop,
            _stop,
        }
    }

    /// Starts to connect, where one connection is for everybody and nobody has asked for it yet, and
    /// returns at once.
    pub(crate) fn connect(&self) {
        if let Common::Kept(links) = &self.common {
            links.wake();
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

    /// With whose rights the server is asked for a user; `given` is what the credential plugin
    /// gave for the user.
    pub(crate) fn context(
        &self,
        user: &UserId,
        given: Option<Vec<(String, SecretString)>>,
    ) -> Result<AuthorizationContext, InvalidCredential> {
        if !self.target.tells_users_apart() {
            return Ok(AuthorizationContext::GATEWAY);
        }
        let credential = given
            .map(|given| self.target.credential(given))
            .transpose()?;
        let isolation = self.target.config.isolation;
        Ok(AuthorizationContext::of_user(user, credential, isolation))
    }

    /// What the server said of itself, while it is there for everybody.
    pub(crate) fn hello(&self) -> Option<ServerHello> {
        match &self.common {
            Common::Kept(links) => match links.now() {
                Link::Ready(connection) => Some(connection.peer.hello().clone()),
                Link::Asleep | Link::Starting(_) | Link::Down(_) => None,
            },
            Common::OnDemand(_) => None,
        }
    }

    /// Whether it may keep something for a client session that only this replica reaches: in a child
    /// process, or in a session. Of one that is not there for everybody that is not known.
    pub(crate) fn keeps_sessions(&self) -> bool {
        if !self.target.is_http() || self.target.config.isolation == Some(Isolation::PerSession) {
            return true;
        }
        match &self.common {
            Common::Kept(links) => match links.now() {
                Link::Ready(connection) => connection.peer.hello().session_id.is_some(),
                Link::Asleep => {
                    // So that it is known the next time.
                    links.wake();
                    true
                }
                Link::Starting(_) | Link::Down(_) => true,
            },
            Common::OnDemand(_) => true,
        }
    }

    /// Tells when one of the server's lists changes, as far as a user can notice.
    pub(crate) fn changes(&self, user: &UserId) -> watch::Receiver<Changes> {
        match &self.common {
            Common::Kept(links) => links.changes(),
            Common::OnDemand(users) => users.changes(user),
        }
    }

    /// One of the server's lists as a user may see it, all pages of it, if it is kept or can be had
    /// within `patience`. Without a user: as nobody sees it but the gateway.
    pub(crate) async fn list(
        &self,
        kind: ListKind,
        context: &AuthorizationContext,
        user: Option<&UserId>,
        patience: Duration,
    ) -> Result<Listed, Arc<UpstreamError>> {
        let tool_headers = self.tool_headers(context);
        let as_of = tool_headers.now();
        let reader = Reader::of(context, user);
        let listing = self.catalog.list(kind, &reader, &tool_headers, patience);
        let listed = listing.await?;
        if let Some(learnt) = &listed.learnt {
            tool_headers.adopt(learnt, as_of);
        }
        Ok(listed)
    }

    /// What is told of what the server is missing in. Where users differ, so may what is missing.
    pub(crate) fn hints_while_missing(&self) -> CacheHints {
        CacheHints {
            ttl: Duration::ZERO,
            is_public: !self.target.tells_users_apart(),
        }
    }

    /// What the server says of itself, once it is there; waits only while it is starting.
    pub(crate) async fn introduction(
        &self,
        context: &AuthorizationContext,
        patience: Duration,
    ) -> Option<(ServerHello, CacheHints)> {
        let peer = self.common.ready_soon(context, patience).await.ok()?;
        let hello = peer.hello().clone();
        let hints = match hello.era {
            Era::Modern => CacheHints {
                ttl: end_of_ttl(peer.since(), hello.ttl_ms)
                    .saturating_duration_since(Instant::now()),
                is_public: hello.is_public && !self.target.tells_users_apart(),
            },
            Era::Legacy => CacheHints::UNSAID,
        };
        Some((hello, hints))
    }

    /// Sends a request in the form of the server's era. A server that has forgotten the session,
    /// or has been restarted, is connected to anew without the client noticing; that is safe,
    /// because it has not taken the request.
    pub(crate) async fn send(
        self: &Arc<Self>,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        outgoing: Outgoing<'_>,
        deadline: Deadline,
    ) -> Result<(Exchange, Arc<Peer>), UpstreamError> {
        let mut may_retry = true;
        loop {
            let lease = self.lease(key, live, deadline).await?;
            let hello = lease.peer.hello();
            let adapted = adapt(outgoing.message, key.version.era(), hello)?;
            let sent = self.request(&lease.peer, &key.context, &outgoing, &adapted, deadline);
            match sent.await {
                Ok(exchange) => return Ok((exchange, lease.peer)),
                Err(UpstreamError::Client(error)) => {
                    if error.is_about_credentials() {
                        // What was listed was for a credential that is not taken any more.
                        self.catalog.distrust_all(&key.context);
                    }
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
                Err(error) => return Err(error),
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

    /// Tells others what the server says on the stream of a call and concerns them as well: that
    /// a list has changed; `true` if it concerns nobody but those who watch a resource.
    pub(crate) fn tell_others(
        &self,
        context: &AuthorizationContext,
        peer: &Arc<Peer>,
        message: &Message,
    ) -> bool {
        let method = message.method();
        if method.is_some_and(|method| method.ends_with("/list_changed")) {
            Changes::count(&self.common.changes_sender(context), method);
        }
        self.audience.tell(Arc::as_ptr(peer), message)
    }

    /// Ends what belongs to a client session that has ended.
    pub(crate) fn end_sessions_of(&self, session: SessionId) {
        for peer in self.private.take_session(session) {
            drop(self.tasks.spawn(async move { peer.close().await }));
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
fn adapt<'a>(
    message: &'a Message,
    client: Era,
    server: &ServerHello,
) -> Result<Cow<'a, Message>, Unbridgeable> {
    let adapted = match (client, server.era) {
        (Era::Legacy, Era::Modern) => {
            bridge::request_to_modern(message, target::CLIENT_INFO, "{}", server.version)
        }
        (Era::Modern, Era::Legacy) => bridge::request_to_legacy(message),
        (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => {
            return Ok(Cow::Borrowed(message));
        }
    };
    adapted.map(Cow::Owned)
}
