//! What every request needs, in one place.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use gateway_plugins::{Metrics, PluginConditions, Spools};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::connection::Draining;
use crate::fleet::Fleet;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::live::LiveSessions;
use crate::load::Load;
use crate::session::Sessions;
use crate::snapshot::Tenants;

/// Where the gateway listens, as far as it does; a unix socket is not among them.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) mcp: OnceLock<SocketAddr>,
    pub(crate) operations: OnceLock<SocketAddr>,
    pub(crate) replicas: OnceLock<SocketAddr>,
}

/// The data plane's shared state.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) tenants: Tenants,
    pub(crate) sessions: Sessions,
    pub(crate) live: LiveSessions,
    /// The other replicas; `None` for one that others do not reach.
    pub(crate) fleet: Option<Fleet>,
    pub(crate) access: Access,
    /// The host names that stand for tenants.
    pub(crate) hosts: Hosts,
    pub(crate) limits: Limits,
    /// What is under way of all tenants.
    pub(crate) load: Load,
    /// What is under way at endpoints of tenants that are not, all of them together.
    pub(crate) load_of_nobody: Load,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) listeners: Listeners,
    pub(crate) metrics: Arc<Metrics>,
    /// How the plugins are that are MCP servers.
    pub(crate) plugins: PluginConditions,
    /// Where audit events wait for sinks that are MCP servers, if there is such a place.
    pub(crate) spools: Option<Spools>,
    /// Client connections, and requests whose client is gone; drained first.
    pub(crate) requests: TaskTracker,
    /// Requests that other replicas have handed on, up to the last byte of the answer; drained next.
    pub(crate) handed_on: TaskTracker,
    /// Connections of other replicas, who may hand on what requests under way wait for; drained then.
    pub(crate) handing: TaskTracker,
    /// Begins when clients had better go elsewhere.
    pub(crate) draining: Draining,
    /// Cancelled when the gateway is to stop: what never ends by itself ends now.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when what is still under way then is given up.
    pub(crate) giving_up: CancellationToken,
    /// Everything that outlives a request: servers, their sessions, audit events.
    pub(crate) tasks: TaskTracker,
}
