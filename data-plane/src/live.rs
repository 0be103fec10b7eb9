//! What a legacy session has besides its id while it is in use: streams that can be resumed,
//! calls that the client may cancel, questions of servers that wait for the client's answers. Made when it is first needed; losing it loses no session.

mod calls;
mod feed;
mod questions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::sync::Cache;

use crate::session::SessionId;
use calls::Calls;
use feed::Feeds;
use questions::Questions;

pub(crate) use calls::Call;

/// How long a session's state is kept unused.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// How many sessions may have state; the longest unused one goes first.
const MAX_LIVE: u64 = 100_000;

/// The live state of sessions, by session.
#[derive(Debug)]
pub(crate) struct LiveSessions {
    by_id: Cache<SessionId, Arc<LiveSession>>,
}

/// One session's live state.
#[derive(Debug, Default)]
pub(crate) struct LiveSession {
    pub(crate) feeds: Feeds,
    pub(crate) questions: Questions,
    pub(crate) calls: Calls,
    /// The log level that the client has set, as raw JSON.
    level: ArcSwapOption<String>,
    /// Whether the client has subscribed to a resource.
    subscribes: AtomicBool,
    /// Whether what it is told must name the server that it comes from.
    names_servers: AtomicBool,
}

impl LiveSession {
    /// Sets the log level, as raw JSON.
    pub(crate) fn set_level(&self, level: &str) {
        self.level.store(Some(Arc::new(level.to_owned())));
    }

    pub(crate) fn level(&self) -> Option<Arc<String>> {
        self.level.load_full()
    }

    /// Takes note of a request: which it is, and what the endpoint shows names as.
    pub(crate) fn note(&self, method: &str, names_servers: bool) {
        self.names_servers.store(names_servers, Ordering::Relaxed);
        if method == "resources/subscribe" {
            self.subscribes.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the client has set something that servers keep for it, and must not keep for
    /// anybody else.
    pub(crate) fn has_state(&self) -> bool {
        self.subscribes.load(Ordering::Relaxed) || self.level.load().is_some()
    }

    pub(crate) fn names_servers(&self) -> bool {
        self.names_servers.load(Ordering::Relaxed)
    }
}

impl Default for LiveSessions {
    fn default() -> Self {
        Self {
            by_id: Cache::builder()
                .max_capacity(MAX_LIVE)
                .time_to_idle(IDLE)
                .build(),
        }
    }
}

impl LiveSessions {
    /// The state of a session that is known to be one.
    pub(crate) fn of(&self, session: SessionId) -> Arc<LiveSession> {
        self.by_id.get_with(session, Arc::default)
    }

    /// How many sessions have state, more or less: what has just come or gone may not count yet.
    pub(crate) fn count(&self) -> u64 {
        self.by_id.run_pending_tasks();
        self.by_id.entry_count()
    }

    /// Ends a session's state: its streams end, and nothing waits for its answers any more.
    pub(crate) fn end(&self, session: SessionId) {
        if let Some(live) = self.by_id.remove(&session) {
            live.feeds.close();
        }
    }

    /// Ends the standing stream of every session, because the process stops. The answers to
    /// requests come to their own end.
    pub(crate) fn close(&self) {
        for (_, live) in &self.by_id {
            live.feeds.standing().close();
        }
    }
}
