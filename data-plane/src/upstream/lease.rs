//! Which connection to a server a request uses.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use gateway_core::Deadline;
use gateway_core::config::Isolation;
use gateway_mcp::client::{Peer, ServerHello};
use gateway_mcp::version::Era;

use super::attending::Keeper;
use super::common::Common;
use super::hearing::overhear;
use super::private::{NoPeer, SessionKey};
use super::{Upstream, UpstreamError, set_level};
use crate::live::LiveSession;

/// A connection to use for one request, or to watch on.
pub(super) struct Lease {
    pub(super) peer: Arc<Peer>,
    /// `None`: the one that is kept for everybody.
    key: Option<SessionKey>,
}

impl Upstream {
    pub(super) async fn lease(
        self: &Arc<Self>,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        deadline: Deadline,
    ) -> Result<Lease, UpstreamError> {
        let (common, kept) = match &self.common {
            Common::Kept(links) => (links.ready(deadline).await?, None),
            Common::OnDemand(users) => {
                let peer = users.ready(&key.context, deadline).await?;
                (peer, Some(SessionKey::common(&key.context)))
            }
        };
        let is_asked = !key.callbacks.is_empty() || live.is_some_and(|live| live.has_state());
        if !self.wants_own(is_asked, common.hello()) {
            return Ok(Lease {
                peer: common,
                key: kept,
            });
        }
        match self
            .connect_private(key, live, is_asked, common.hello(), deadline)
            .await
        {
            Ok(peer) => Ok(Lease {
                peer,
                key: Some(key.clone()),
            }),
            // It asks nothing in its own way, and has no other.
            Err(NoPeer::Client(_)) if is_asked && common.hello().era == Era::Modern => {
                self.only_modern.store(true, Ordering::Relaxed);
                Ok(Lease {
                    peer: common,
                    key: kept,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A client that can be asked, or has set something, is served in its own era, which has these
    /// things; otherwise the era is that of the shared connection.
    async fn connect_private(
        self: &Arc<Self>,
        key: &SessionKey,
        live: Option<&Arc<LiveSession>>,
        is_asked: bool,
        hello: &ServerHello,
        deadline: Deadline,
    ) -> Result<Arc<Peer>, NoPeer> {
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
        let live = live.filter(|_| key.is_of_one_session());
        let level = live.and_then(|live| live.level());
        // On the heap, because it is large and seldom needed.
        let connect = || {
            Box::pin(async {
                let target = &self.target;
                let peer = target
                    .connect(&key.context, Some(era), version, capabilities, deadline)
                    .await?;
                // Before any call can reach the server.
                if let Some(level) = &level {
                    Box::pin(set_level(&peer, level)).await;
                }
                Ok(peer)
            })
        };
        let (peer, is_new) = self.private.get_or_connect(key, connect).await?;
        if is_new {
            self.listen_to(key, &peer, live);
            // Whoever set another one meanwhile has not seen this connection.
            let now = live.and_then(|live| live.level());
            if let Some(now) = now.filter(|now| Some(now) != level.as_ref()) {
                Box::pin(set_level(&peer, &now)).await;
            }
        }
        Ok(peer)
    }

    /// Takes care of what a server says on a connection that is not shared: to the session that
    /// it belongs to, or, if it belongs to none, as on a shared one.
    fn listen_to(
        self: &Arc<Self>,
        key: &SessionKey,
        peer: &Arc<Peer>,
        live: Option<&Arc<LiveSession>>,
    ) {
        let events = peer.events();
        let changes = self.common.changes_sender(&key.context);
        let audience = Arc::clone(&self.audience);
        let Some(live) = live else {
            let (label, peer) = (peer.name().to_owned(), Arc::downgrade(peer));
            let hearing = async move { overhear(&label, &peer, events, &changes, &audience).await };
            drop(self.tasks.spawn(hearing));
            return;
        };
        peer.serve_one_client();
        let keeper = Keeper {
            server: Arc::downgrade(self),
            key: key.clone(),
            peer: Arc::downgrade(peer),
            live: Arc::clone(live),
        };
        let attending = keeper.attend(events, changes, audience);
        let stop = self.stop.clone();
        drop(self.tasks.spawn(stop.run_until_cancelled_owned(attending)));
    }

    /// Whether a request goes over a connection of its client's own. Left to itself, a server that
    /// gives out sessions has one for each client session, because it may keep something in it, and
    /// a client that can be asked has one of its own, so that the questions reach it and nobody else.
    fn wants_own(&self, is_asked: bool, hello: &ServerHello) -> bool {
        match self.target.config.isolation {
            Some(Isolation::Shared | Isolation::PerUser) => false,
            Some(Isolation::PerSession) => true,
            None => {
                let may_ask = is_asked && !self.only_modern.load(Ordering::Relaxed);
                hello.session_id.is_some() || may_ask
            }
        }
    }

    /// Makes a client session's own connection again. Boxed, because a connection is attended to
    /// by a task that may need another one.
    pub(super) fn connect_again(
        self: Arc<Self>,
        key: SessionKey,
        live: Arc<LiveSession>,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<(), UpstreamError>> {
        Box::pin(async move {
            let lease = self.lease(&key, Some(&live), deadline);
            lease.await.map(drop)
        })
    }

    /// Completes when a connection is no longer the one in use; gives it up when it is lost.
    pub(super) fn until_left(
        self: &Arc<Self>,
        lease: Lease,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (server, private) = (Arc::downgrade(self), Arc::clone(&self.private));
        let links = match &self.common {
            Common::Kept(links) => Some(links.clone()),
            Common::OnDemand(_) => None,
        };
        async move {
            let left = async {
                match (&lease.key, &links) {
                    (Some(key), _) => private.until_left(key, &lease.peer).await,
                    (None, Some(links)) => links.until_left(&lease.peer).await,
                    (None, None) => {}
                }
            };
            tokio::select! {
                () = left => return,
                _ = lease.peer.closed() => {}
                () = lease.peer.session_lost() => {}
            }
            if let Some(server) = server.upgrade() {
                server.give_up(lease);
            }
        }
    }

    pub(super) fn give_up(&self, lease: Lease) {
        match (lease.key, &self.common) {
            (Some(key), _) => self.private.give_up(&key, &lease.peer),
            (None, Common::Kept(links)) => links.give_up(&lease.peer),
            (None, Common::OnDemand(_)) => {}
        }
    }
}
