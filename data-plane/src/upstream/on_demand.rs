//! The connections to a server that tells users apart: made when a user asks, with the user's
//! rights, and ended when they are idle.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gateway_core::config::Isolation;
use gateway_core::{Deadline, UserId};
use gateway_mcp::client::Peer;
use gateway_mcp::version::Version;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::UpstreamError;
use super::audience::Audience;
use super::authorization::AuthorizationContext;
use super::changes::Changes;
use super::hearing::hear;
use super::private::{Heard, PrivatePeers, SessionKey};
use super::target::Target;

/// The pause before users are told that a connection was lost, which makes their clients ask and
/// so connect anew: longer where connections are lost again soon.
const PAUSE: Duration = Duration::from_millis(500);
const LONG_PAUSE: Duration = Duration::from_secs(30);
const STABLE: Duration = Duration::from_secs(10);

/// Makes the connections that users with the same rights have in common.
#[derive(Debug, Clone)]
pub(super) struct OnDemand {
    target: Arc<Target>,
    peers: Arc<PrivatePeers>,
    audience: Arc<Audience>,
    changes: Arc<ChangesByUser>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Who is told of changes. Without a user: all, because they share a connection.
#[derive(Debug, Default)]
struct ChangesByUser {
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    by_user: Mutex<HashMap<Option<UserId>, watch::Sender<Changes>>>,
}

impl OnDemand {
    pub(super) fn new(
        target: &Arc<Target>,
        peers: &Arc<PrivatePeers>,
        audience: &Arc<Audience>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            target: Arc::clone(target),
            peers: Arc::clone(peers),
            audience: Arc::clone(audience),
            changes: Arc::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        }
    }

    /// Tells when the lists that a user sees change.
    pub(super) fn changes(&self, user: &UserId) -> watch::Receiver<Changes> {
        let shares = self.target.config.isolation == Some(Isolation::Shared);
        let changes = self.changes.of((!shares).then(|| user.clone()));
        changes.subscribe()
    }

    /// By which those are told of changes who have these rights.
    pub(super) fn changes_sender(&self, context: &AuthorizationContext) -> watch::Sender<Changes> {
        self.changes.of(context.user().cloned())
    }

    /// The connection for these rights, made if need be. What is begun for one request goes on
    /// when that request waits no longer, so that the next one finds it.
    pub(super) async fn ready(
        &self,
        context: &AuthorizationContext,
        deadline: Deadline,
    ) -> Result<Arc<Peer>, UpstreamError> {
        let key = SessionKey::common(context);
        if let Some(peer) = self.peers.get(&key) {
            return Ok(peer);
        }
        let connecting = Box::pin(self.clone().connect(key));
        let stop = self.stop.clone();
        let task = self.tasks.spawn(stop.run_until_cancelled_owned(connecting));
        let down = |reason: &str| UpstreamError::Down {
            reason: reason.into(),
        };
        match tokio::time::timeout_at(deadline.instant().into(), task).await {
            Ok(Ok(Some(connected))) => connected,
            Ok(_) => Err(down("it was removed")),
            Err(_) => Err(down("it has not started yet")),
        }
    }

    /// Says that a connection is of no use any more.
    pub(super) fn give_up(&self, context: &AuthorizationContext, peer: &Arc<Peer>) {
        self.peers.give_up(&SessionKey::common(context), peer);
    }

    async fn connect(self, key: SessionKey) -> Result<Arc<Peer>, UpstreamError> {
        let deadline = Deadline::after(self.target.patience());
        let (target, context) = (&self.target, &key.context);
        let connect = || target.connect(context, None, Version::LATEST_LEGACY, "{}", deadline);
        let (peer, is_new) = self.peers.get_or_connect(&key, connect).await?;
        if is_new {
            self.begin_to_hear(&key, &peer);
        }
        Ok(peer)
    }

    fn begin_to_hear(&self, key: &SessionKey, peer: &Arc<Peer>) {
        let changes = self.changes_sender(&key.context);
        // The server has come, for this user.
        Changes::count_all(&changes);
        let until = CancellationToken::new();
        let hearing = hear_until_lost(self.clone(), key.clone(), Arc::clone(peer), changes.clone());
        drop(
            self.tasks
                .spawn(until.clone().run_until_cancelled_owned(hearing)),
        );
        let heard = Heard {
            changes,
            _until: until.drop_guard(),
        };
        self.peers.hold(key, peer, heard);
    }
}

async fn hear_until_lost(
    server: OnDemand,
    key: SessionKey,
    peer: Arc<Peer>,
    changes: watch::Sender<Changes>,
) {
    let began = Instant::now();
    tokio::select! {
        _ = peer.closed() => {}
        () = peer.session_lost() => {}
        never = hear(&peer, &changes, &server.audience) => match never {},
    }
    debug!(server = %server.target.name, "a user's connection was lost");
    let is_stable = began.elapsed() >= STABLE;
    // The task is not to end with the slot now.
    let pause = if is_stable { PAUSE } else { LONG_PAUSE };
    let telling = async move {
        tokio::time::sleep(pause).await;
        Changes::count_all(&changes);
    };
    let stop = server.stop.clone();
    drop(server.tasks.spawn(stop.run_until_cancelled_owned(telling)));
    server.peers.give_up(&key, &peer);
}

impl ChangesByUser {
    fn of(&self, user: Option<UserId>) -> watch::Sender<Changes> {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded by who listens and who is connected.
        by_user.retain(|_, changes| changes.receiver_count() > 0 || changes.sender_count() > 1);
        by_user.entry(user).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_neither_listens_nor_is_connected_is_forgotten() {
        let changes = ChangesByUser::default();
        let user = |name: &str| Some(name.parse().unwrap());
        let connected = changes.of(user("ada"));
        let listening = changes.of(user("eve")).subscribe();
        drop(changes.of(user("bob")));
        drop(changes.of(user("ada")));
        let count = || changes.by_user.lock().unwrap().len();
        assert_eq!(count(), 2);
        drop((connected, listening));
        drop(changes.of(None));
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_user_hears_of_no_other_users_changes() {
        let changes = ChangesByUser::default();
        let user = |name: &str| Some(name.parse().unwrap());
        let (ada, eve) = (changes.of(user("ada")), changes.of(user("eve")));
        let (mut ada, mut eve) = (ada.subscribe(), (eve.subscribe(), eve).0);
        Changes::count_all(&changes.of(user("ada")));
        assert!(ada.has_changed().unwrap() && !eve.has_changed().unwrap());
        drop((ada.borrow_and_update(), eve.borrow_and_update()));
    }
}
