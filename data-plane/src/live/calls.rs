//! A session's calls that are under way, which the client may cancel by their ids.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::LiveSession;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// The calls of one session that are under way, by their raw ids.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    by_id: Mutex<HashMap<String, CancellationToken>>,
}

/// One call, registered for as long as this is held.
#[derive(Debug)]
pub(crate) struct Call {
    live: Arc<LiveSession>,
    id: String,
    pub(crate) cancelled: CancellationToken,
}

impl Call {
    /// Registers a call. Of two calls under one id, which no client may make, the later one is
    /// cancelled by it.
    pub(crate) fn begin(live: &Arc<LiveSession>, id: &str) -> Self {
        let cancelled = CancellationToken::new();
        if let Ok(mut by_id) = live.calls.by_id.lock() {
            by_id.insert(id.to_owned(), cancelled.clone());
        }
        Self {
            live: Arc::clone(live),
            id: id.to_owned(),
            cancelled,
        }
    }
}

impl Call {
    /// Whose call it is.
    pub(crate) fn live(&self) -> &Arc<LiveSession> {
        &self.live
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Ok(mut by_id) = self.live.calls.by_id.lock() {
            by_id.remove(&self.id);
        }
    }
}

impl Calls {
    /// Cancels the call with this raw id; `false`: it is not under way here.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let Ok(by_id) = self.by_id.lock() else {
            return false;
        };
        let call = by_id.get(id);
        call.inspect(|call| call.cancel()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_cancelled_by_its_own_id_while_it_is_under_way() {
        let live = Arc::new(LiveSession::default());
        let (one, other) = (Call::begin(&live, "1"), Call::begin(&live, "\"1\""));
        assert!(live.calls.cancel("1"));
        assert!(!live.calls.cancel("2"));
        assert!(one.cancelled.is_cancelled() && !other.cancelled.is_cancelled());
        drop((one, other));
        assert!(live.calls.by_id.lock().unwrap().is_empty());
    }
}
