//! The connections to one server that not everybody shares: one session or child for each key,
//! as many as the server and its tenant may have.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use gateway_core::UserId;
use gateway_mcp::client::{ClientError, Peer};
use gateway_mcp::version::Version;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::authorization::AuthorizationContext;
use super::changes::Changes;
use super::quota::{Full, Quota};
use crate::request::Dialect;
use crate::session::{Callbacks, SessionId};

/// How long one is kept unused unless its server says otherwise, and how often that is looked at.
const IDLE: Duration = Duration::from_secs(30 * 60);
const SWEEP: Duration = Duration::from_secs(60);

/// Who a connection to a server is for. Only what is equal in all of it may share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(super) context: AuthorizationContext,
    /// `None` for what all with the same rights share.
    user: Option<UserId>,
    /// The client's session; `None` for a modern client, which has none.
    session: Option<SessionId>,
    pub(super) version: Version,
    /// What the server may ask for.
    pub(super) callbacks: Callbacks,
}

impl SessionKey {
    pub(crate) fn of(context: AuthorizationContext, user: &UserId, dialect: &Dialect) -> Self {
        Self {
            context,
            user: Some(user.clone()),
            session: dialect.session().map(|session| session.id),
            version: dialect.version(),
            callbacks: dialect
                .session()
                .map(|session| session.callbacks.clone())
                .unwrap_or_default(),
        }
    }

    /// With whose rights the server is asked.
    pub(crate) fn context(&self) -> &AuthorizationContext {
        &self.context
    }

    /// Whether everything on such a connection is on account of one client.
    pub(super) fn is_of_one_session(&self) -> bool {
        self.session.is_some()
    }

    /// The one of all that have the same rights, none of whom can be asked anything.
    pub(super) fn common(context: &AuthorizationContext) -> Self {
        Self {
            context: context.clone(),
            user: None,
            session: None,
            version: Version::LATEST_LEGACY,
            callbacks: Callbacks::default(),
        }
    }

    /// Whether it takes the place of `other`, because its user has another credential now.
    fn supersedes(&self, other: &Self) -> bool {
        let user = self.context.user();
        user.is_some() && user == other.context.user() && self.context != other.context
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPeer {
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The connections by whom they are for. One that is let go of ends by itself once the last
/// exchange on it is over.
#[derive(Debug)]
pub(super) struct PrivatePeers {
    idle: Duration,
    quota: Arc<Quota>,
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    slots: Mutex<Slots>,
    /// Counts how often one was let go of that may be in use.
    turnover: watch::Sender<u64>,
    /// Whether there is somebody who lets go of what was not used for long.
    is_tended: AtomicBool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Slots = HashMap<SessionKey, Slot>;

#[derive(Debug)]
struct Slot {
    /// Empty while it is being connected.
    peer: Arc<OnceCell<Arc<Peer>>>,
    used: Instant,
    heard: Option<Heard>,
    _space: OwnedSemaphorePermit,
}

/// A task that holds a connection to hear what the server says on it; it ends with this.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) changes: watch::Sender<Changes>,
    pub(super) _until: DropGuard,
}

impl PrivatePeers {
    /// None yet, and as many as the quota has space for; all end with `stop`.
    pub(super) fn new(
        quota: &Arc<Quota>,
        idle: Option<Duration>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let peers = Arc::new(Self {
            idle: idle.unwrap_or(IDLE),
            quota: Arc::clone(quota),
            slots: HashMap::new().into(),
            turnover: watch::Sender::new(0),
            is_tended: AtomicBool::new(false),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        quota.count_in(&peers);
        peers
    }

    /// The connection for `key`, and whether it was made for this call; many who want a new one at
    /// the same time connect once.
    pub(super) async fn get_or_connect<F>(
        self: &Arc<Self>,
        key: &SessionKey,
        connect: impl FnOnce() -> F,
    ) -> Result<(Arc<Peer>, bool), NoPeer>
    where
        F: Future<Output = Result<Peer, ClientError>>,
    {
        let cell = self.cell(key)?;
        self.have_tended();
        let mut is_new = false;
        let connected = cell.get_or_try_init(|| {
            is_new = true;
            async { connect().await.map(Arc::new) }
        });
        let peer = Arc::clone(connected.await?);
        Ok((peer, is_new))
    }

    /// The connection for `key`, if there is one.
    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<Peer>> {
        known(&mut self.lock(), key)?.get().cloned()
    }

    fn cell(&self, key: &SessionKey) -> Result<Arc<OnceCell<Arc<Peer>>>, Full> {
        if let Some(cell) = known(&mut self.lock(), key) {
            return Ok(cell);
        }
        // Nothing is locked here, because space may have to be made at another server.
        let space = self.quota.enter()?;
        let mut slots = self.lock();
        if let Some(cell) = known(&mut slots, key) {
            return Ok(cell);
        }
        slots.retain(|other, _| other != key && !key.supersedes(other));
        self.turn_over();
        if slots.len() >= self.quota.per_server && !end_longest_idle(&mut slots) {
            return Err(Full::Server(self.quota.per_server));
        }
        let peer = Arc::new(OnceCell::new());
        let slot = Slot {
            peer: Arc::clone(&peer),
            used: Instant::now(),
            heard: None,
            _space: space,
        };
        slots.insert(key.clone(), slot);
        Ok(peer)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Since when the one that was not used for longest is idle; `None` when all are in use.
    pub(super) fn longest_idle(&self) -> Option<Instant> {
        let slots = self.lock();
        let idle = slots.values().filter(|slot| !slot.is_in_use());
        idle.map(|slot| slot.used).min()
    }

    /// Makes space; `false` when all are in use.
    pub(super) fn end_longest_idle(&self) -> bool {
        end_longest_idle(&mut self.lock())
    }

    /// Has a connection held by the task that hears what the server says on it.
    pub(super) fn hold(&self, key: &SessionKey, peer: &Arc<Peer>, heard: Heard) {
        if let Some(slot) = self.lock().get_mut(key).filter(|slot| slot.holds(peer)) {
            slot.heard = Some(heard);
        }
    }

    /// Says that a connection is of no use any more. Only the one in use counts: many requests
    /// notice the same loss.
    pub(super) fn give_up(&self, key: &SessionKey, peer: &Arc<Peer>) {
        let mut slots = self.lock();
        if slots.get(key).is_some_and(|slot| slot.holds(peer)) {
            slots.remove(key);
            self.turn_over();
        }
    }

    /// Completes when a connection is no longer the one in use.
    pub(super) async fn until_left(&self, key: &SessionKey, peer: &Arc<Peer>) {
        let mut turnover = self.turnover.subscribe();
        loop {
            turnover.mark_unchanged();
            let is_in_use = self.lock().get(key).is_some_and(|slot| slot.holds(peer));
            if !is_in_use || turnover.changed().await.is_err() {
                return;
            }
        }
    }

    fn turn_over(&self) {
        self.turnover
            .send_modify(|count| *count = count.wrapping_add(1));
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
        let taken = taken.filter_map(|(_, slot)| slot.into_peer()).collect();
        self.turn_over();
        taken
    }

    /// Most servers never have a connection here, and nothing to tend.
    fn have_tended(self: &Arc<Self>) {
        if !self.is_tended.swap(true, Ordering::Relaxed) {
            let tending = Arc::clone(self).tend(self.stop.clone());
            drop(self.tasks.spawn(tending));
        }
    }

    /// Lets go of what was not used for long, until told to stop; then ends everything.
    async fn tend(self: Arc<Self>, stop: CancellationToken) {
        let pause = SWEEP.min(self.idle);
        while stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            self.let_go_of_unused(Instant::now());
        }
        let slots = std::mem::take(&mut *self.lock());
        self.turn_over();
        let peers = slots.into_values().filter_map(Slot::into_peer);
        join_all(peers.map(|peer| async move { peer.close().await })).await;
    }

    fn let_go_of_unused(&self, now: Instant) {
        self.lock().retain(|_, slot| {
            if slot.is_in_use() || slot.is_listened_to() {
                slot.used = now;
            }
            now.duration_since(slot.used) < self.idle && !slot.has_ended()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known(slots: &mut Slots, key: &SessionKey) -> Option<Arc<OnceCell<Arc<Peer>>>> {
    let slot = slots.get_mut(key).filter(|slot| !slot.has_ended())?;
    slot.used = Instant::now();
    Some(Arc::clone(&slot.peer))
}

fn end_longest_idle(slots: &mut Slots) -> bool {
    let idle = slots.iter().filter(|(_, slot)| !slot.is_in_use());
    let longest = idle
        .min_by_key(|(_, slot)| slot.used)
        .map(|(key, _)| key.clone());
    longest.is_some_and(|key| slots.remove(&key).is_some())
}

impl Slot {
    /// Whether its child has ended by itself.
    fn has_ended(&self) -> bool {
        let peer = self.peer.get();
        peer.is_some_and(|peer| peer.closed().now_or_never().is_some())
    }

    /// Whether a request waits for it or for an answer on it.
    fn is_in_use(&self) -> bool {
        match self.peer.get() {
            Some(peer) => Arc::strong_count(peer) > 1 + usize::from(self.heard.is_some()),
            None => Arc::strong_count(&self.peer) > 1,
        }
    }

    /// Whether its user wants to hear what changes at the server.
    fn is_listened_to(&self) -> bool {
        let heard = self.heard.as_ref();
        heard.is_some_and(|heard| heard.changes.receiver_count() > 0)
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
mod tests;
