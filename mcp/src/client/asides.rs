//! What a legacy HTTP server says of a request on the session's standing stream, beside the
//! request's own.

use std::sync::Arc;

use super::pending::{Arrivals, Pending};
use crate::message::Message;

/// The place at which it arrives, for as long as this is held.
#[derive(Debug)]
pub(super) struct Asides {
    pending: Arc<Pending>,
    wire: u64,
    arrivals: Arrivals,
}

impl Asides {
    /// Opens the place of `request`, which has the number `wire`.
    pub(super) fn open(pending: &Arc<Pending>, wire: u64, request: &Message) -> Option<Self> {
        let arrivals = pending.insert(wire, request).ok()?;
        Some(Self {
            pending: Arc::clone(pending),
            wire,
            arrivals,
        })
    }

    /// The next notification or question. Loses nothing when dropped before it is done.
    pub(super) async fn next(&mut self) -> Message {
        match self.arrivals.next_aside().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// Closes the place, and gives what is still in it.
    pub(super) fn close(mut self) -> Vec<Message> {
        self.pending.remove(self.wire);
        std::iter::from_fn(|| self.arrivals.waiting_aside()).collect()
    }
}

impl Drop for Asides {
    fn drop(&mut self) {
        self.pending.remove(self.wire);
    }
}
