//! How much the spools of a tenant hold, and how much they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all spools of a tenant hold together, promises included.
#[derive(Debug)]
pub(super) struct Quota {
    limit: u64,
    taken: AtomicU64,
}

impl Quota {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            taken: AtomicU64::new(0),
        }
    }
}

/// What one spool holds of its tenant's quota.
#[derive(Debug)]
pub(super) struct Space {
    quota: Arc<Quota>,
    /// What of the quota this spool may take, so that a sink that is down leaves the rest to others.
    share: AtomicU64,
    /// What waits.
    held: AtomicU64,
    /// What is promised to requests under way.
    promised: AtomicU64,
}

impl Space {
    pub(super) fn new(quota: Arc<Quota>) -> Self {
        Self {
            share: AtomicU64::new(quota.limit),
            quota,
            held: AtomicU64::new(0),
            promised: AtomicU64::new(0),
        }
    }

    /// Shares the quota with the other spools of the tenant, so many with this one.
    pub(super) fn share_among(&self, spools: u64) {
        let share = self.quota.limit / spools.max(1);
        self.share.store(share, Ordering::Relaxed);
    }

    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn promised(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> u64 {
        self.share.load(Ordering::Relaxed)
    }

    /// Whether so much more is within the quota.
    pub(super) fn has(&self, bytes: u64) -> bool {
        let own = self.held() + self.promised() + bytes;
        let all = self.quota.taken.load(Ordering::Relaxed) + bytes;
        own <= self.limit() && all <= self.quota.limit
    }

    /// Promises space, where there is some.
    pub(super) fn promise(&self, bytes: u64) -> bool {
        self.promised.fetch_add(bytes, Ordering::Relaxed);
        self.quota.taken.fetch_add(bytes, Ordering::Relaxed);
        let has = self.has(0);
        if !has {
            self.keep_promise(bytes);
        }
        has
    }

    pub(super) fn keep_promise(&self, bytes: u64) {
        self.promised.fetch_sub(bytes, Ordering::Relaxed);
        self.quota.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn hold(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.quota.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what does not wait any more; of files that somebody else has changed, no more than was held.
    pub(super) fn release(&self, bytes: u64) {
        let released = bytes.min(self.held());
        self.held.fetch_sub(released, Ordering::Relaxed);
        self.quota.taken.fetch_sub(released, Ordering::Relaxed);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let taken = self.held() + self.promised();
        self.quota.taken.fetch_sub(taken, Ordering::Relaxed);
    }
}
