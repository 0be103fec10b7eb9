//! What a legacy session has besides its id while it is in use: streams that can be resumed,
//! calls that the client may cancel, questions of servers that wait for the client's answers. Made when it is first needed; losing it loses no session.

mod calls;
mod feed;
mod questions;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::sync::Cache;

use crate::session::SessionId;
use calls::Calls;
use feed::Feeds;
use questions::Questions;
use watches::Watches;

pub(crate) use calls::Call;

/// How long a session's state is kept unused.
pub(crate) const IDLE: Duration = Duration::from_secs(60 * 60);

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
    /// The resources that the client has subscribed to, by server.
    pub(crate) watches: Watches,
}

impl LiveSession {
    /// Sets the log level, as raw JSON.
    pub(crate) fn set_level(&self, level: &str) {
        self.level.store(Some(Arc::new(level.to_owned())));
    }

    pub(crate) fn level(&self) -> Option<Arc<String>> {
        self.level.load_full()
    }

    /// Whether the client has set something that servers keep for it, and must not keep for
    /// anybody else.
    pub(crate) fn has_state(&self) -> bool {
        self.level.load().is_some()
    }

    /// Lets go of what holds on to the session itself.
    fn end(&self) {
        self.watches.end();
    }
}

impl Default for LiveSessions {
    fn default() -> Self {
        Self {
            by_id: Cache::builder()
                .max_capacity(MAX_LIVE)
                .time_to_idle(IDLE)
                .eviction_listener(|_, live: Arc<LiveSession>, _| live.end())
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
            live.end();
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
