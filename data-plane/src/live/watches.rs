//! The resources that a session's client has subscribed to.

use std::collections::HashMap;

use gateway_core::ServerName;

use crate::pipeline::Watch;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// What keeps them watched, by server.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    has_ended: bool,
    by_server: HashMap<ServerName, Watch>,
}

impl Watches {
    /// The one for a server, started if need be; `None` when the session has ended.
    pub(crate) fn at(&self, server: &ServerName, start: impl FnOnce() -> Watch) -> Option<Watch> {
        let mut open = self.open.lock().ok()?;
        if open.has_ended {
            return None;
        }
        let watch = open.by_server.entry(server.clone()).or_insert_with(start);
        Some(watch.clone())
    }

    /// Watches nothing any more.
    pub(crate) fn end(&self) {
        if let Ok(mut open) = self.open.lock() {
            open.has_ended = true;
            open.by_server.clear();
        }
    }
}
