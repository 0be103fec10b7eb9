//! The connections to one server that not everybody shares: one session or child for each key.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use gateway_core::UserId;
use gateway_mcp::client::{ClientError, Peer};
use gateway_mcp::version::Version;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::request::Dialect;
use crate::session::{Callbacks, SessionId};

/// How many of them one server may have; the longest unused one ends first.
const MOST: usize = 1_000;

/// How long one is kept unused, and how often that is looked at.
const IDLE: Duration = Duration::from_secs(30 * 60);
const SWEEP: Duration = Duration::from_secs(60);

/// Who a connection to a server is for. Only what is equal in all of it may share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    user: UserId,
    /// The client's session; `None` for a modern client, which has none.
    session: Option<SessionId>,
    pub(super) version: Version,
    /// What the server may ask for.
    pub(super) callbacks: Callbacks,
}

impl SessionKey {
    pub(crate) fn of(user: &UserId, dialect: &Dialect) -> Self {
        Self {
            user: user.clone(),
            session: dialect.session().map(|session| session.id),
            version: dialect.version(),
            callbacks: dialect
                .session()
                .map(|session| session.callbacks.clone())
                .unwrap_or_default(),
        }
    }

    /// Whether everything on such a connection is on account of one client.
    pub(super) fn is_of_one_session(&self) -> bool {
        self.session.is_some()
    }

    /// The same for all of a user's sessions, of which none can be asked anything.
    pub(super) fn per_user(&self) -> Self {
        Self {
            session: None,
            callbacks: Callbacks::default(),
            ..self.clone()
        }
    }
}

/// The connections by whom they are for. One that is let go of ends by itself once the last
/// exchange on it is over.
#[derive(Debug, Default)]
pub(super) struct PrivatePeers {
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    slots: Mutex<HashMap<SessionKey, Slot>>,
}

#[derive(Debug)]
struct Slot {
    /// Empty while it is being connected.
    peer: Arc<OnceCell<Arc<Peer>>>,
    used: Instant,
}

impl PrivatePeers {
    /// The connection for `key`, and whether it was made for this call; many who want a new one at
    /// the same time connect once.
    pub(super) async fn get_or_connect<F>(
        &self,
        key: &SessionKey,
        connect: impl FnOnce() -> F,
    ) -> Result<(Arc<Peer>, bool), ClientError>
    where
        F: Future<Output = Result<Peer, ClientError>>,
    {
        let cell = self.cell(key);
        let mut is_new = false;
        let connected = cell.get_or_try_init(|| {
            is_new = true;
            async { connect().await.map(Arc::new) }
        });
        let peer = Arc::clone(connected.await?);
        Ok((peer, is_new))
    }

    fn cell(&self, key: &SessionKey) -> Arc<OnceCell<Arc<Peer>>> {
        let mut slots = self.lock();
        let now = Instant::now();
        if let Some(slot) = slots.get_mut(key)
            && !slot.has_ended()
        {
            slot.used = now;
            return Arc::clone(&slot.peer);
        }
        if slots.len() >= MOST
            && let Some(oldest) = slots.iter().min_by_key(|(_, slot)| slot.used)
        {
            let oldest = oldest.0.clone();
            slots.remove(&oldest);
        }
        let peer = Arc::new(OnceCell::new());
        let used = now;
        let slot = Slot {
            peer: Arc::clone(&peer),
            used,
        };
        slots.insert(key.clone(), slot);
        peer
    }

    /// Says that a connection is of no use any more. Only the one in use counts: many requests
    /// notice the same loss.
    pub(super) fn give_up(&self, key: &SessionKey, peer: &Arc<Peer>) {
        let mut slots = self.lock();
        if slots.get(key).is_some_and(|slot| slot.holds(peer)) {
            slots.remove(key);
        }
    }

    /// What belongs to a client's session.
    pub(super) fn of_session(&self, session: SessionId) -> Vec<Arc<Peer>> {
        let slots = self.lock();
        let own = slots.iter().filter(|(key, _)| key.session == Some(session));
        own.filter_map(|(_, slot)| slot.peer.get().cloned())
            .collect()
    }

    /// Takes out what belongs to a client's session, to be closed.
    pub(super) fn take_session(&self, session: SessionId) -> Vec<Arc<Peer>> {
        let mut slots = self.lock();
        let taken = slots.extract_if(|key, _| key.session == Some(session));
        taken.filter_map(|(_, slot)| slot.into_peer()).collect()
    }

    /// Lets go of what was not used for long, until told to stop; then ends everything.
    pub(super) async fn tend(self: Arc<Self>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(SWEEP))
            .await
            .is_some()
        {
            self.let_go_of_unused(Instant::now());
        }
        let slots = std::mem::take(&mut *self.lock());
        let peers = slots.into_values().filter_map(Slot::into_peer);
        join_all(peers.map(|peer| async move { peer.close().await })).await;
    }

    fn let_go_of_unused(&self, now: Instant) {
        let is_idle = |slot: &Slot| now.duration_since(slot.used) >= IDLE;
        self.lock()
            .retain(|_, slot| !is_idle(slot) && !slot.has_ended());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether its child has ended by itself.
    fn has_ended(&self) -> bool {
        let peer = self.peer.get();
        peer.is_some_and(|peer| peer.closed().now_or_never().is_some())
    }

    fn holds(&self, peer: &Arc<Peer>) -> bool {
        self.peer
            .get()
            .is_some_and(|current| Arc::ptr_eq(current, peer))
    }

    fn into_peer(self) -> Option<Arc<Peer>> {
        self.peer.get().cloned()
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::Deadline;
    use gateway_mcp::client::{ChildCommand, ClientHello};
    use gateway_mcp::version::Era;

    use super::*;

    /// A child that greets and then reads until its input ends, or ends with its first line.
    async fn connect(then: &str) -> Result<Peer, ClientError> {
        let greeting = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}"#;
        let mut command = ChildCommand::new("test", "sh");
        let script = format!("read line; echo '{greeting}'; {then}");
        command.args = vec!["-c".to_owned(), script];
        let hello = ClientHello {
            name: "test".to_owned(),
            version: "1".to_owned(),
            capabilities: "{}".to_owned(),
            legacy_version: Version::LATEST_LEGACY,
        };
        let deadline = Deadline::after(Duration::from_secs(30));
        Peer::spawn(command, hello, Some(Era::Legacy), deadline).await
    }

    const STAYS: &str = "cat >&2";

    fn key(session: u128) -> SessionKey {
        SessionKey {
            user: "ada".parse().unwrap(),
            session: Some(SessionId::from_u128(session)),
            version: Version::LATEST_LEGACY,
            callbacks: Callbacks::default(),
        }
    }

    async fn get(peers: &PrivatePeers, key: &SessionKey, then: &str) -> Arc<Peer> {
        let connected = peers.get_or_connect(key, || connect(then)).await;
        connected.unwrap().0
    }

    #[tokio::test]
    async fn those_who_want_the_same_connection_at_once_get_one() {
        let peers = PrivatePeers::default();
        let (one, other) = (key(1), key(1));
        let (one, other) = tokio::join!(get(&peers, &one, STAYS), get(&peers, &other, STAYS),);
        assert!(Arc::ptr_eq(&one, &other));
        let third = get(&peers, &key(2), STAYS).await;
        assert!(!Arc::ptr_eq(&one, &third));
    }

    #[tokio::test]
    async fn only_the_connection_that_was_lost_is_given_up() {
        let peers = PrivatePeers::default();
        let lost = get(&peers, &key(1), STAYS).await;
        peers.give_up(&key(1), &lost);
        let next = get(&peers, &key(1), STAYS).await;
        assert!(!Arc::ptr_eq(&lost, &next));
        // Another request notices the same loss, late.
        peers.give_up(&key(1), &lost);
        let kept = get(&peers, &key(1), STAYS).await;
        assert!(Arc::ptr_eq(&next, &kept));
    }

    #[tokio::test]
    async fn a_child_that_has_ended_is_replaced() {
        let peers = PrivatePeers::default();
        let ended = get(&peers, &key(1), "read line").await;
        ended.closed().await;
        let next = get(&peers, &key(1), STAYS).await;
        assert!(!Arc::ptr_eq(&ended, &next));
    }

    #[tokio::test]
    async fn what_is_not_used_for_long_ends() {
        let peers = PrivatePeers::default();
        let connected = peers.get_or_connect(&key(1), || connect(STAYS)).await;
        let peer = Arc::downgrade(&connected.unwrap().0);
        peers.let_go_of_unused(Instant::now());
        assert!(peer.upgrade().is_some());
        peers.let_go_of_unused(Instant::now() + IDLE);
        assert!(peer.upgrade().is_none(), "nothing holds it any more");
    }

    #[tokio::test]
    async fn everything_has_ended_once_it_was_told_to_stop() {
        let peers = Arc::new(PrivatePeers::default());
        let peer = get(&peers, &key(1), STAYS).await;
        let stop = CancellationToken::new();
        stop.cancel();
        Arc::clone(&peers).tend(stop).await;
        assert!(peer.closed().now_or_never().is_some());
    }
}
