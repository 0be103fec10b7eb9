//! What a legacy session has besides its id: calls that the client may cancel while they are under way, and what outlasts
//! them, such as streams to come back to and questions that wait for answers. Losing it loses no session.

mod calls;
mod feed;
mod questions;
mod table;
mod watches;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gateway_core::TenantId;

use crate::session::{ReplicaTag, SessionId};
use calls::Calls;
use feed::Feeds;
use questions::Questions;
use table::Table;
use watches::Watches;

pub(crate) use calls::Call;
pub(crate) use feed::replica_of_stream;
pub(crate) use questions::replica_of_question;

/// How long a session's state is kept unused.
pub(crate) const IDLE: Duration = Duration::from_secs(60 * 60);

/// The live state of sessions, by session.
#[derive(Debug, Default)]
pub(crate) struct LiveSessions {
    table: Arc<Table>,
}

/// One session's live state, which ends with its last user unless there is something to keep.
#[derive(Debug, Default)]
pub(crate) struct LiveSession {
    id: SessionId,
    /// Where it is found; nowhere for a client that has no session.
    table: Weak<Table>,
    pub(crate) calls: Calls,
    /// Most sessions never have it.
    kept: OnceLock<Box<Kept>>,
}

/// What a session has for longer than a request.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) feeds: Feeds,
    pub(crate) questions: Questions,
    /// The log level that the client has set, as raw JSON.
    level: ArcSwapOption<String>,
    /// The resources that the client has subscribed to, by server.
    pub(crate) watches: Watches,
}

impl LiveSession {
    fn new(id: SessionId, table: Weak<Table>) -> Self {
        Self {
            id,
            table,
            calls: Calls::default(),
            kept: OnceLock::new(),
        }
    }

    /// What is kept of it; from here on that is kept whether or not somebody uses it.
    pub(crate) fn keep(&self) -> &Kept {
        self.kept.get_or_init(|| {
            let table = self.table.upgrade();
            if let Some(table) = &table {
                table.keep(self);
            }
            let replica = table.and_then(|table| table.replica);
            Box::new(Kept {
                feeds: Feeds::new(replica),
                questions: Questions::new(replica),
                level: ArcSwapOption::empty(),
                watches: Watches::default(),
            })
        })
    }

    /// What is kept of it so far.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.get().map(|kept| &**kept)
    }

    /// Sets the log level, as raw JSON.
    pub(crate) fn set_level(&self, level: &str) {
        self.keep().level.store(Some(Arc::new(level.to_owned())));
    }

    pub(crate) fn level(&self) -> Option<Arc<String>> {
        self.kept()?.level.load_full()
    }

    /// Whether the client has set something that servers keep for it, and must not keep for
    /// anybody else.
    pub(crate) fn has_state(&self) -> bool {
        self.kept().is_some_and(|kept| kept.level.load().is_some())
    }

    /// Lets go of what holds on to the session itself.
    fn end(&self) {
        if let Some(kept) = self.kept() {
            kept.watches.end();
        }
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.forget(self);
        }
    }
}

impl LiveSessions {
    /// None yet; `replica`: where they are, if there are several.
    pub(crate) fn new(replica: Option<ReplicaTag>) -> Self {
        let table = Table::new(replica);
        Self {
            table: Arc::new(table),
        }
    }

    /// The state of a session that is known to be one, and this tenant's, as far as that is known. All who use it at
    /// the same time get the same.
    pub(crate) fn of<'a>(
        &self,
        tenant: impl Into<Option<&'a TenantId>>,
        session: SessionId,
    ) -> Arc<LiveSession> {
        let (live, expired) = self.table.get_or_insert(tenant.into(), session);
        end_all(&expired);
        live
    }

    /// The state of a session that has some.
    pub(crate) fn find(&self, session: SessionId) -> Option<Arc<LiveSession>> {
        self.table.get(session)
    }

    /// How many sessions were used lately.
    pub(crate) fn count(&self) -> usize {
        end_all(&self.table.sweep());
        self.table.count()
    }

    /// The sessions with a log level, and which that is.
    pub(crate) fn levels(&self) -> Vec<(SessionId, Arc<String>)> {
        let all = self.table.all().into_iter();
        all.filter_map(|live| Some((live.id, live.level()?)))
            .collect()
    }

    /// Ends a session's state: its streams end, and nothing waits for its answers any more.
    pub(crate) fn end(&self, session: SessionId) {
        if let Some(live) = self.table.remove(session) {
            // Made if need be, so that a request that is still under way starts nothing more.
            let kept = live.keep();
            kept.feeds.close();
            kept.watches.end();
        }
    }

    /// Ends the standing stream of every session, because the process stops. The answers to
    /// requests come to their own end.
    pub(crate) fn close(&self) {
        for live in self.table.all() {
            if let Some(kept) = live.kept() {
                kept.feeds.standing().close();
            }
        }
    }
}

fn end_all(expired: &[Arc<LiveSession>]) {
    for live in expired {
        live.end();
    }
}
