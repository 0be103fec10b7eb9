//! Keeps one server connected: connects, notices that it is gone, waits, connects again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gateway_core::Deadline;
use gateway_mcp::client::{ClosedReason, Peer};
use gateway_mcp::version::Version;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::audience::Audience;
use super::authorization::AuthorizationContext;
use super::changes::Changes;
use super::hearing::hear;
use super::target::Target;
use super::{UpstreamError, WANTS_CREDENTIAL};
use crate::error::with_causes;

/// The pause before the first new attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A request cuts a pause short, but never so that attempts follow each other faster than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// A server that ran this long was well: the next pause is a short one again.
const STABLE: Duration = Duration::from_secs(10);

/// How long a request waits for a server that is being connected to.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of a server now.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// Nobody has asked for it yet.
    Asleep,
    /// Being connected to since then.
    Starting(Instant),
    /// There.
    Ready(Connection),
    /// Not there; to be tried again.
    Down(Outage),
}

/// A server that is there.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) peer: Arc<Peer>,
    /// Cancelled by whoever notices that this connection, and no later one, is of no use.
    lost: CancellationToken,
}

impl Connection {
    /// Whoever has given it up must not get it again before the supervisor has noticed.
    fn is_of_use(&self) -> bool {
        !self.lost.is_cancelled()
    }
}

/// Why a server is not there.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    pub(super) reason: Arc<str>,
    /// Counts the attempts, to tell an old outage from a new one.
    attempt: u64,
}

/// The last time that a server was not there. It is remembered when the server is back.
#[derive(Debug)]
pub(crate) struct LastOutage {
    pub(crate) reason: Arc<str>,
    pub(crate) at: Timestamp,
}

/// The view of a server's state that requests have.
#[derive(Debug, Clone)]
pub(super) struct Links {
    state: watch::Receiver<Link>,
    changes: watch::Sender<Changes>,
    wanted: Arc<Notify>,
    last_outage: Arc<ArcSwapOption<LastOutage>>,
    sleeper: Arc<Sleeper>,
}

/// A server that nobody has asked for takes no task and no connection: a replica may have very many.
#[derive(Debug)]
struct Sleeper {
    is_asleep: AtomicBool,
    #[expect(
        clippy::disallowed_types,
        reason = "held for a line, never over an await"
    )]
    supervisor: std::sync::Mutex<Option<Supervisor>>,
    tasks: TaskTracker,
}

impl Sleeper {
    /// Begins to keep the server connected, unless that has begun.
    fn wake(&self) {
        if !self.is_asleep.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(supervisor) = supervisor.take() {
            supervisor
                .state
                .send_replace(Link::Starting(Instant::now()));
            drop(self.tasks.spawn(supervisor.run()));
        }
    }
}

impl Links {
    /// Begins to keep the server connected, unless that has begun.
    pub(super) fn wake(&self) {
        self.sleeper.wake();
    }

    pub(super) fn last_outage(&self) -> Option<Arc<LastOutage>> {
        self.last_outage.load_full()
    }

    /// Tells when the server's lists change.
    pub(super) fn changes(&self) -> watch::Receiver<Changes> {
        // Only a server that is connected tells of any.
        self.wake();
        self.changes.subscribe()
    }

    /// By which it is told that they have changed.
    pub(super) fn changes_sender(&self) -> watch::Sender<Changes> {
        self.changes.clone()
    }

    pub(super) fn now(&self) -> Link {
        self.state.borrow().clone()
    }

    /// Waits for the server to be there. Asking for one that is down makes it be tried at once.
    pub(super) async fn ready(&self, deadline: Deadline) -> Result<Arc<Peer>, UpstreamError> {
        self.wake();
        let mut state = self.state.clone();
        let until = deadline.within(REQUEST_PATIENCE).instant();
        let mut tried = None;
        loop {
            let link = state.borrow_and_update().clone();
            let waits_for = match link {
                Link::Ready(connection) if connection.is_of_use() => return Ok(connection.peer),
                Link::Down(outage) if tried.is_some_and(|tried| outage.attempt > tried) => {
                    return Err(UpstreamError::Down {
                        reason: outage.reason,
                    });
                }
                Link::Down(outage) => {
                    tried.get_or_insert(outage.attempt);
                    self.wanted.notify_one();
                    outage.reason
                }
                Link::Ready(_) | Link::Starting(_) | Link::Asleep => {
                    tried.get_or_insert(0);
                    "it has not started yet".into()
                }
            };
            match tokio::time::timeout_at(until.into(), state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    return Err(UpstreamError::Down {
                        reason: "it was removed".into(),
                    });
                }
                Err(_) => return Err(UpstreamError::Down { reason: waits_for }),
            }
        }
    }

    /// Waits for the server, but only while it is within `patience` of its start.
    pub(super) async fn ready_soon(&self, patience: Duration) -> Option<Arc<Peer>> {
        self.wake();
        let mut state = self.state.clone();
        loop {
            let link = state.borrow_and_update().clone();
            let until = match link {
                Link::Ready(connection) if connection.is_of_use() => return Some(connection.peer),
                Link::Ready(_) | Link::Asleep => Instant::now() + patience,
                Link::Starting(since) => since + patience,
                Link::Down(_) => {
                    self.wanted.notify_one();
                    return None;
                }
            };
            tokio::time::timeout_at(until, state.changed())
                .await
                .ok()?
                .ok()?;
        }
    }

    /// Completes when a connection is no longer the one in use.
    pub(super) async fn until_left(&self, peer: &Arc<Peer>) {
        let is_in_use =
            |link: &Link| matches!(link, Link::Ready(now) if Arc::ptr_eq(&now.peer, peer));
        let mut state = self.state.clone();
        // That nobody keeps it any more is an end as well.
        drop(state.wait_for(|link| !is_in_use(link)).await);
    }

    /// Says that a connection is of no use any more. Only the one in use counts: many requests
    /// notice the same loss.
    pub(super) fn give_up(&self, peer: &Arc<Peer>) {
        if let Link::Ready(current) = &*self.state.borrow()
            && Arc::ptr_eq(&current.peer, peer)
        {
            current.lost.cancel();
        }
    }
}

/// How a connection came to its end.
enum End {
    Stopped,
    Lost,
    Exited(String),
}

/// The task that keeps one server connected until it is told to stop.
#[derive(Debug)]
pub(super) struct Supervisor {
    target: Arc<Target>,
    audience: Arc<Audience>,
    state: watch::Sender<Link>,
    changes: watch::Sender<Changes>,
    wanted: Arc<Notify>,
    last_outage: Arc<ArcSwapOption<LastOutage>>,
    stop: CancellationToken,
}

impl Supervisor {
    /// The links of a server that is asleep; its supervisor runs among `tasks` once it wakes.
    pub(super) fn asleep(
        target: Arc<Target>,
        audience: Arc<Audience>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Links {
        let (state, link) = watch::channel(Link::Asleep);
        let changes = watch::Sender::new(Changes::default());
        let wanted = Arc::new(Notify::new());
        let last_outage = Arc::<ArcSwapOption<LastOutage>>::default();
        let supervisor = Self {
            target,
            audience,
            state,
            changes: changes.clone(),
            wanted: Arc::clone(&wanted),
            last_outage: Arc::clone(&last_outage),
            stop,
        };
        let sleeper = Sleeper {
            is_asleep: AtomicBool::new(true),
            supervisor: Some(supervisor).into(),
            tasks: tasks.clone(),
        };
        Links {
            state: link,
            changes,
            wanted,
            last_outage,
            sleeper: Arc::new(sleeper),
        }
    }

    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let began = Instant::now();
            let deadline = Deadline::after(self.target.patience());
            let connecting = self.target.connect(
                &AuthorizationContext::GATEWAY,
                None,
                Version::LATEST_LEGACY,
                "{}",
                deadline,
            );
            let connected = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = connecting => connected,
            };
            let reason = match connected {
                Ok(peer) => match self.hold(Arc::new(peer)).await {
                    End::Stopped => return,
                    // The next attempt follows at once, unless losses follow each other fast.
                    End::Lost => {
                        self.state.send_replace(Link::Starting(Instant::now()));
                        tokio::time::sleep_until(began + SHORTEST_PAUSE).await;
                        continue;
                    }
                    End::Exited(reason) => reason,
                },
                Err(error) if error.is_about_credentials() => {
                    format!("{error}; {WANTS_CREDENTIAL}")
                }
                Err(error) => with_causes(&error),
            };
            if began.elapsed() >= STABLE {
                pause = FIRST_PAUSE;
            }
            self.report_outage(reason.into(), attempt, pause);
            if !self.pause(began, pause).await {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Holds a connection until it is lost.
    async fn hold(&self, peer: Arc<Peer>) -> End {
        let version = peer.hello().version.as_str();
        info!(server = %self.target.name, version, "server is ready");
        let lost = CancellationToken::new();
        let connection = Connection {
            peer: Arc::clone(&peer),
            lost: lost.clone(),
        };
        self.state.send_replace(Link::Ready(connection));
        Changes::count_all(&self.changes);
        let end = self.end_of(&peer, &lost).await;
        Changes::count_all(&self.changes);
        end
    }

    async fn end_of(&self, peer: &Peer, lost: &CancellationToken) -> End {
        tokio::select! {
            () = self.stop.cancelled() => {
                peer.close().await;
                End::Stopped
            }
            reason = peer.closed() => End::Exited(match reason {
                ClosedReason::Exited(Some(status)) => format!("its process ended ({status})"),
                ClosedReason::Exited(None) | ClosedReason::Ended => "its process ended".to_owned(),
            }),
            () = peer.session_lost() => {
                info!(server = %self.target.name, "the server has forgotten the session; connecting anew");
                End::Lost
            }
            () = lost.cancelled() => {
                info!(server = %self.target.name, "the connection was lost; connecting anew");
                End::Lost
            }
            never = hear(peer, &self.changes, &self.audience) => match never {},
        }
    }

    fn report_outage(&self, reason: Arc<str>, attempt: u64, pause: Duration) {
        let server = &self.target.name;
        let known = matches!(&*self.state.borrow(), Link::Down(outage) if outage.reason == reason);
        if known {
            debug!(%server, %reason, ?pause, "server is still not available");
        } else {
            warn!(%server, %reason, "server is not available; it is tried again");
        }
        self.last_outage.store(Some(Arc::new(LastOutage {
            reason: Arc::clone(&reason),
            at: Timestamp::now(),
        })));
        self.state
            .send_replace(Link::Down(Outage { reason, attempt }));
    }

    /// Waits before the next attempt; a request that wants the server cuts it short. `false` when
    /// told to stop.
    async fn pause(&self, began: Instant, pause: Duration) -> bool {
        let now = Instant::now();
        let shortest = (began + SHORTEST_PAUSE).max(now);
        let wanted = async {
            self.wanted.notified().await;
            tokio::time::sleep_until(shortest).await;
        };
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
            () = wanted => true,
        }
    }
}

#[cfg(test)]
mod tests;
