//! How requests fare under a revision, counted while that is asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Counts requests that were answered, and those that failed by the gateway, a plugin or a server.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    is_asked_for: AtomicBool,
    requests: AtomicU64,
    errors: AtomicU64,
}

impl Tally {
    /// Counts from now on, or no longer.
    pub(crate) fn ask(&self, is_asked_for: bool) {
        self.is_asked_for.store(is_asked_for, Relaxed);
    }

    /// Counts a request.
    pub(crate) fn count(&self, failed: bool) {
        if self.is_asked_for.load(Relaxed) {
            self.requests.fetch_add(1, Relaxed);
            self.errors.fetch_add(failed.into(), Relaxed);
        }
    }

    /// The requests, and how many of them failed; `None`: nobody asks.
    pub(crate) fn read(&self) -> Option<(u64, u64)> {
        let counted = (self.requests.load(Relaxed), self.errors.load(Relaxed));
        self.is_asked_for.load(Relaxed).then_some(counted)
    }
}
