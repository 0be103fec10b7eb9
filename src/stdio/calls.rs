//! The requests of the client that are under way, which it may take back by their ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_mcp::message::Message;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// How many requests may be under way or wait for their turn.
const MOST: usize = 256;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// All of them, by their ids.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_id: Mutex<HashMap<String, Arc<State>>>,
}

/// One request, registered for as long as this is held.
#[derive(Debug)]
pub(super) struct Call {
    calls: Arc<Calls>,
    id: String,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_modern: bool,
    sent: AtomicBool,
    /// Cancelled when nothing more is to be done for it here.
    dropped: CancellationToken,
    unwanted: AtomicBool,
}

impl Calls {
    /// Registers a request; `None`: there are too many.
    pub(super) fn begin(self: &Arc<Self>, message: &Message, is_modern: bool) -> Option<Call> {
        let id = plain(message.id().unwrap_or_default());
        let state = Arc::new(State {
            is_modern,
            ..State::default()
        });
        let mut by_id = self.by_id.lock().ok()?;
        if by_id.len() >= MOST {
            return None;
        }
        by_id.insert(id.clone(), Arc::clone(&state));
        Some(Call {
            calls: Arc::clone(self),
            id,
            state,
        })
    }

    /// Takes back the request of a raw id. Says whether the gateway has to be told, which it is of a
    /// modern request by the end of the connection.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let Ok(by_id) = self.by_id.lock() else {
            return true;
        };
        let Some(state) = by_id.get(&plain(id)) else {
            return true;
        };
        state.unwanted.store(true, Ordering::Relaxed);
        let is_there = state.sent.load(Ordering::Relaxed);
        if state.is_modern || !is_there {
            state.dropped.cancel();
            return false;
        }
        true
    }
}

impl Call {
    /// From now on the gateway may have it.
    pub(super) fn set_sent(&self) {
        self.state.sent.store(true, Ordering::Relaxed);
    }

    /// Whether the client has taken it back, so that it waits for no answer.
    pub(super) fn is_unwanted(&self) -> bool {
        self.state.unwanted.load(Ordering::Relaxed)
    }

    /// Waits until nothing more is to be done for it.
    pub(super) async fn dropped(&self) {
        self.state.dropped.cancelled().await;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Ok(mut by_id) = self.calls.by_id.lock()
            // A later one under the same id, which no client may make, stays.
            && by_id.get(&self.id).is_some_and(|state| Arc::ptr_eq(state, &self.state))
        {
            by_id.remove(&self.id);
        }
    }
}

/// An id in one spelling, so that `"a"` and `"\u0061"` are the same.
fn plain(id: &str) -> String {
    serde_json::from_str::<Value>(id).map_or_else(|_| id.to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(id: &str) -> Message {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call"}}"#);
        Message::scan(Bytes::from(text)).unwrap()
    }

    #[test]
    fn the_gateway_is_told_of_what_it_has_of_a_legacy_client() {
        let calls = Arc::new(Calls::default());
        let legacy = calls.begin(&request("\"\\u0061\""), false).unwrap();
        assert!(!calls.cancel("\"a\""), "it is not sent yet");
        legacy.set_sent();
        assert!(calls.cancel("\"a\"") && legacy.is_unwanted());
        let modern = calls.begin(&request("1"), true).unwrap();
        modern.set_sent();
        assert!(!calls.cancel("1"));
        assert!(modern.state.dropped.is_cancelled());
        assert!(calls.cancel("2"), "it may be one of a batch");
        drop((legacy, modern));
        assert!(calls.by_id.lock().unwrap().is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let calls = Arc::new(Calls::default());
        let begin = |id: usize| calls.begin(&request(&id.to_string()), true);
        let begun: Vec<_> = (0..MOST).map(|id| begin(id).unwrap()).collect();
        assert!(begin(MOST).is_none());
        drop(begun);
        assert!(begin(MOST).is_some());
    }
}
