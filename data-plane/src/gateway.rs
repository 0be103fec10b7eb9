//! What every request needs, in one place.

use std::sync::Arc;
use std::time::Duration;

use gateway_plugins::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::live::LiveSessions;
use crate::session::Sessions;
use crate::snapshot::Tenants;

/// Bounds that hold for every request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest message that is taken, from clients and from servers.
    pub max_body_bytes: usize,
    /// How many messages a client may send at once (2025-03-26), and how many requests of them are
    /// under way at the same time.
    pub max_batch: usize,
    pub batch_concurrency: usize,
    /// How long a client may take to send a message.
    pub body_timeout: Duration,
    /// How long a request may take in all, unless its server has a `timeout` of its own.
    pub request_timeout: Duration,
    /// How long one plugin call may take, unless the plugin has a `timeout` of its own.
    pub plugin_timeout: Duration,
    /// How many items one page of a list has at the most.
    pub page_items: usize,
    /// How long a list waits for a server that starts or hangs.
    pub list_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 16 * 1024 * 1024,
            max_batch: 100,
            batch_concurrency: 16,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(300),
            plugin_timeout: Duration::from_secs(5),
            page_items: 1_000,
            list_patience: Duration::from_secs(2),
        }
    }
}

/// The data plane's shared state.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) tenants: Tenants,
    pub(crate) sessions: Sessions,
    pub(crate) live: LiveSessions,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    /// Client connections, and requests whose client is gone; drained first.
    pub(crate) requests: TaskTracker,
    /// Cancelled when the gateway is to stop: what never ends by itself ends now.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when what is still under way then is given up.
    pub(crate) giving_up: CancellationToken,
    /// Everything that outlives a request: servers, their sessions, audit events.
    pub(crate) tasks: TaskTracker,
}
