//! The sessions that were used lately. Of one that has nothing to keep and that nobody uses, this is all there is.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gateway_core::TenantId;
use tokio::time::Instant;

use super::{IDLE, LiveSession};
use crate::session::{ReplicaTag, SessionId};

/// How many sessions are known at most.
const MOST: usize = 100_000;

/// How many of them make room when there are too many: not just one, because they are looked for among all. They are
/// those of tenants that have more than others, so that no tenant loses anything by what another one opens.
const MAKING_ROOM: usize = MOST / 16;

/// How often it is looked for what nobody has used for long.
const SWEEP: Duration = Duration::from_secs(60);

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// Sessions by their ids. No live state is let go of while it is locked, because that locks it.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Mutex<Entries>,
    /// Where they are, if there are several replicas.
    pub(super) replica: Option<ReplicaTag>,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<SessionId, Entry>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    /// `None` where another replica has told of it and nobody has used it here.
    tenant: Option<TenantId>,
    live: Live,
    used: Instant,
}

#[derive(Debug)]
enum Live {
    /// Held by its users alone, if there are any.
    Used(Weak<LiveSession>),
    /// Held here too, because there is something to keep.
    Kept(Arc<LiveSession>),
}

impl Table {
    pub(super) fn new(replica: Option<ReplicaTag>) -> Self {
        Self {
            entries: Mutex::default(),
            replica,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a session, made if need be; and that of others, which has expired.
    pub(super) fn get_or_insert(
        self: &Arc<Self>,
        tenant: Option<&TenantId>,
        id: SessionId,
    ) -> (Arc<LiveSession>, Vec<Arc<LiveSession>>) {
        let now = Instant::now();
        let mut entries = self.lock();
        let mut expired = Vec::new();
        if entries.swept.is_none_or(|swept| now >= swept + SWEEP) {
            expired = entries.sweep(now);
        }
        if let Some(live) = entries.get(id, now) {
            return (live, expired);
        }
        if entries.by_id.len() >= MOST {
            expired.extend(entries.make_room());
        }
        let live = Arc::new(LiveSession::new(id, Arc::downgrade(self)));
        let entry = Entry {
            tenant: tenant.cloned(),
            live: Live::Used(Arc::downgrade(&live)),
            used: now,
        };
        entries.by_id.insert(id, entry);
        (live, expired)
    }

    /// The state of a session, if there is any.
    pub(super) fn get(&self, id: SessionId) -> Option<Arc<LiveSession>> {
        self.lock().get(id, Instant::now())
    }

    /// Holds a session's state from now on.
    pub(super) fn keep(&self, live: &LiveSession) {
        if let Some(entry) = self.lock().entry_of(live)
            && let Some(live) = entry.live.get()
        {
            entry.live = Live::Kept(live);
        }
    }

    /// Holds on no longer to the memory of what nobody has any more.
    pub(super) fn forget(&self, live: &LiveSession) {
        if let Some(entry) = self.lock().entry_of(live) {
            entry.live = Live::Used(Weak::new());
        }
    }

    pub(super) fn remove(&self, id: SessionId) -> Option<Arc<LiveSession>> {
        let removed = self.lock().by_id.remove(&id);
        removed?.live.get()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// All that there is.
    pub(super) fn all(&self) -> Vec<Arc<LiveSession>> {
        let entries = self.lock();
        let all = entries.by_id.values();
        all.filter_map(|entry| entry.live.get()).collect()
    }

    /// Removes what has expired.
    pub(super) fn sweep(&self) -> Vec<Arc<LiveSession>> {
        self.lock().sweep(Instant::now())
    }
}

impl Entries {
    /// The state of a session, which is used now.
    fn get(&mut self, id: SessionId, now: Instant) -> Option<Arc<LiveSession>> {
        let entry = self.by_id.get_mut(&id)?;
        entry.used = now;
        entry.live.get()
    }

    /// Where a session's state is entered; not where another one has taken its place.
    fn entry_of(&mut self, live: &LiveSession) -> Option<&mut Entry> {
        let entry = self.by_id.get_mut(&live.id)?;
        entry.live.is(live).then_some(entry)
    }

    fn sweep(&mut self, now: Instant) -> Vec<Arc<LiveSession>> {
        self.swept = Some(now);
        self.remove_unused(|entry| now >= entry.used + IDLE)
    }

    /// Removes those that are unused for longest, of the tenants that have more than an equal share; of all where
    /// those have few.
    fn make_room(&mut self) -> Vec<Arc<LiveSession>> {
        let mut by_tenant: HashMap<_, usize> = HashMap::new();
        for entry in self.by_id.values() {
            *by_tenant.entry(entry.tenant.clone()).or_default() += 1;
        }
        let share = self.by_id.len() / by_tenant.len().max(1);
        by_tenant.retain(|_, count| *count > share);
        let has_more = |entry: &Entry| by_tenant.contains_key(&entry.tenant);
        let unused = self.by_id.values().filter(|entry| !entry.live.is_in_use());
        let mut times: Vec<_> = unused
            .clone()
            .filter(|entry| has_more(entry))
            .map(used)
            .collect();
        let from_all = times.len() < MAKING_ROOM;
        if from_all {
            times = unused.map(used).collect();
        }
        let Some(last) = times.len().checked_sub(1) else {
            return Vec::new();
        };
        let (_, &mut latest, _) = times.select_nth_unstable(last.min(MAKING_ROOM - 1));
        self.remove_unused(|entry| entry.used <= latest && (from_all || has_more(entry)))
    }

    /// Removes those of these that nobody uses; what was kept of them.
    fn remove_unused(&mut self, is_over: impl Fn(&Entry) -> bool) -> Vec<Arc<LiveSession>> {
        let is_over = |entry: &Entry| is_over(entry) && !entry.live.is_in_use();
        let removed = self.by_id.extract_if(|_, entry| is_over(entry));
        removed.filter_map(|(_, entry)| entry.live.get()).collect()
    }
}

fn used(entry: &Entry) -> Instant {
    entry.used
}

impl Live {
    fn get(&self) -> Option<Arc<LiveSession>> {
        match self {
            Self::Used(live) => live.upgrade(),
            Self::Kept(live) => Some(Arc::clone(live)),
        }
    }

    fn is(&self, live: &LiveSession) -> bool {
        match self {
            Self::Used(this) => ptr::eq(this.as_ptr(), live),
            Self::Kept(this) => ptr::eq(Arc::as_ptr(this), live),
        }
    }

    fn is_in_use(&self) -> bool {
        match self {
            Self::Used(live) => live.strong_count() > 0,
            Self::Kept(live) => Arc::strong_count(live) > 1,
        }
    }
}

#[cfg(test)]
mod tests;
