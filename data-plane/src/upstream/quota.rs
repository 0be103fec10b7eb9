//! How many connections a tenant may have that not everybody shares.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::private::PrivatePeers;

/// How many one server may have, and all servers of a tenant together. Of those that are not in
/// use, the longest unused one ends where space is needed.
const MOST_PER_SERVER: usize = 1_000;
const MOST_PER_TENANT: usize = 4_000;

/// A tenant's connections, counted.
#[derive(Debug)]
pub(crate) struct Quota {
    pub(super) per_server: usize,
    per_tenant: usize,
    space: Arc<Semaphore>,
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    servers: Mutex<Vec<Weak<PrivatePeers>>>,
}

/// No more connections may be made, and none can be ended in favour of another.
#[derive(Debug, thiserror::Error)]
pub(super) enum Full {
    #[error("all {0} sessions that one server may have are in use: try again later")]
    Server(usize),
    #[error("all {0} sessions that the servers of one tenant may have are in use: try again later")]
    Tenant(usize),
}

impl Default for Quota {
    fn default() -> Self {
        Self::new(MOST_PER_SERVER, MOST_PER_TENANT)
    }
}

impl Quota {
    pub(super) fn new(per_server: usize, per_tenant: usize) -> Self {
        Self {
            per_server,
            per_tenant,
            space: Arc::new(Semaphore::new(per_tenant)),
            servers: Vec::new().into(),
        }
    }

    /// Has a server's connections end where space is needed.
    pub(super) fn count_in(&self, peers: &Arc<PrivatePeers>) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(peers));
    }

    /// Space for one more, made where there is none.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Full> {
        loop {
            if let Ok(space) = Arc::clone(&self.space).try_acquire_owned() {
                return Ok(space);
            }
            let servers = self.servers();
            let idle = servers
                .iter()
                .filter_map(|server| Some((server.longest_idle()?, server)));
            let longest = idle.min_by_key(|(since, _)| *since);
            if !longest.is_some_and(|(_, server)| server.end_longest_idle()) {
                return Err(Full::Tenant(self.per_tenant));
            }
        }
    }

    fn servers(&self) -> Vec<Arc<PrivatePeers>> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().filter_map(Weak::upgrade).collect()
    }
}
