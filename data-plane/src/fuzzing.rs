//! What the fuzz targets of `tests/fuzz` reach of this crate, and nobody else.

use gateway_core::TenantId;
use gateway_mcp::version::Version;

use crate::session::{Callbacks, SessionKeys, Sessions};

pub use crate::config::cache::{KeptState, reread};
pub use crate::pipeline::rewrite_cursor;

/// Gives out and opens the session ids of one tenant.
#[derive(Debug)]
pub struct SessionIds {
    sessions: Sessions,
    tenant: TenantId,
}

/// What a session id holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    pub user: String,
    /// A JSON object.
    pub callbacks: String,
}

impl SessionIds {
    /// `None` when the system gives no random bytes.
    pub fn new() -> Option<Self> {
        Some(Self {
            sessions: Sessions::new(SessionKeys::random().ok()?, "one"),
            tenant: TenantId::default(),
        })
    }

    /// An id for a user by this name, if it can be one, whose client declared these capabilities.
    pub fn issue(&self, user: &str, capabilities: &str) -> Option<(String, Held)> {
        let version = Version::LATEST_LEGACY;
        let callbacks = Callbacks::of(capabilities, version);
        let user = user.parse().ok()?;
        let begun = self.sessions.begin(&self.tenant, user, version, callbacks);
        let (session, id) = begun?;
        Some((id, Held::of(&session)))
    }

    pub fn open(&self, id: &str) -> Option<Held> {
        let session = self.sessions.find(&self.tenant, id)?;
        Some(Held::of(&session))
    }
}

impl Held {
    fn of(session: &crate::session::Session) -> Self {
        Self {
            user: session.user.as_str().to_owned(),
            callbacks: session.callbacks.as_json().to_owned(),
        }
    }
}
