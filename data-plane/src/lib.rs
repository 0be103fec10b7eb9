//! The data plane: serves MCP clients by the configuration that the control plane pushes.

mod access;
mod body;
mod config;
mod connection;
#[cfg(unix)]
mod control;
mod detach;
mod endpoint;
mod error;
mod exposure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod hosts;
mod limits;
mod live;
mod load;
mod mcp_http;
mod operations;
mod pipeline;
mod request;
mod server;
mod session;
mod snapshot;
mod upstream;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway_core::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tracing::warn;

use config::{Compiler, Follower};
use gateway::Gateway;
use session::Sessions;

pub use access::Access;
pub use config::{ClientTls, JoinError, Permits, channel};
pub use limits::Limits;
pub use server::ServerTls;
pub use session::{KeyError, SessionKeys};
pub use upstream::{Commands, NotUsable};

/// What a data plane is and may do; a setting of its process, never of what is pushed.
#[derive(Debug)]
pub struct Options {
    /// The replica's name towards the control plane.
    pub replica: String,
    /// The token by which a control plane of another process lets the replica in.
    pub join_token: Option<SecretString>,
    /// What configurations may ask of this process.
    pub permits: Permits,
    /// The keys that legacy session ids are sealed with.
    pub session_keys: SessionKeys,
    /// Under which host names the listener answers.
    pub access: Access,
    /// Bounds for every request.
    pub limits: Limits,
}

/// Whether MCP clients are answered at a path, as far as its form says.
pub fn is_endpoint(path: &str) -> bool {
    endpoint::Endpoint::parse(path).is_some()
}

/// A replica of the data plane.
#[derive(Debug)]
pub struct DataPlane {
    gateway: Arc<Gateway>,
    in_sync: watch::Receiver<bool>,
    stop: CancellationToken,
    following: TaskTracker,
}

impl DataPlane {
    /// Starts to follow the control plane at the other end of `channel`.
    ///
    /// # Errors
    /// The join token is no token.
    pub fn start(options: Options, channel: Channel) -> Result<Self, JoinError> {
        let token = options.join_token.as_ref();
        let authorization = token.map(config::authorization).transpose()?;
        let tasks = TaskTracker::new();
        let gateway = Arc::new(Gateway {
            tenants: snapshot::Tenants::default(),
            sessions: Sessions::new(options.session_keys),
            live: live::LiveSessions::default(),
            access: options.access,
            hosts: hosts::Hosts::default(),
            limits: options.limits,
            load: load::Load::of_all(&options.limits),
            buffered: Arc::new(Semaphore::new(options.limits.max_buffered_bytes)),
            connections: Arc::new(Semaphore::new(options.limits.max_connections)),
            listeners: gateway::Listeners::default(),
            metrics: options.permits.registry.metrics(),
            requests: TaskTracker::new(),
            stopping: CancellationToken::new(),
            giving_up: CancellationToken::new(),
            tasks: tasks.clone(),
        });
        let (in_sync_sender, in_sync) = watch::channel(false);
        let follower = Follower {
            replica: options.replica,
            authorization,
            gateway: Arc::clone(&gateway),
            compiler: Compiler {
                permits: options.permits,
                limits: options.limits,
                tasks,
            },
            in_sync: in_sync_sender,
        };
        let stop = CancellationToken::new();
        let following = TaskTracker::new();
        drop(following.spawn(follower.run(channel, stop.clone())));
        Ok(Self {
            gateway,
            in_sync,
            stop,
            following,
        })
    }

    /// Serves MCP clients until [`shut_down`](Self::shut_down), by TLS or in plain text.
    pub async fn serve(&self, listener: TcpListener, tls: Option<ServerTls>) {
        note(&self.gateway.listeners.mcp, &listener);
        let gateway = Arc::clone(&self.gateway);
        server::serve(gateway, listener, tls, self.stop.clone()).await;
    }

    /// Serves the operations endpoints until [`shut_down`](Self::shut_down).
    pub async fn serve_operations(&self, listener: TcpListener) {
        note(&self.gateway.listeners.operations, &listener);
        let in_sync = self.in_sync.clone();
        operations::serve(
            Arc::clone(&self.gateway),
            in_sync,
            listener,
            self.stop.clone(),
        )
        .await;
    }

    /// Serves commands and bridges of the user whose gateway this is, until
    /// [`shut_down`](Self::shut_down): MCP and the operations endpoints on one socket. Who may
    /// connect is for the socket's permissions to say.
    #[cfg(unix)]
    pub async fn serve_control(&self, listener: tokio::net::UnixListener) {
        let in_sync = self.in_sync.clone();
        control::serve(
            Arc::clone(&self.gateway),
            in_sync,
            listener,
            self.stop.clone(),
        )
        .await;
    }

    /// Stops taking connections, lets requests under way finish for as long as `grace`, then ends
    /// servers and their children.
    pub async fn shut_down(&self, grace: Duration) {
        self.stop.cancel();
        // They would stay open for as long as their clients do.
        self.gateway.stopping.cancel();
        self.gateway.live.close();
        self.following.close();
        self.following.wait().await;
        let requests = &self.gateway.requests;
        requests.close();
        if timeout(grace, requests.wait()).await.is_err() {
            warn!("requests that are still under way are given up");
            self.gateway.giving_up.cancel();
            // They only have to say so. A client that reads nothing is not waited for.
            timeout(GIVING_UP, requests.wait()).await.ok();
        }
        // Servers end when nothing holds them any more: neither a snapshot nor a request.
        self.gateway.tenants.clear();
        self.gateway.tasks.close();
        let ended = timeout(SERVERS_GRACE, self.gateway.tasks.wait());
        if ended.await.is_err() {
            warn!("servers that did not end in time are given up");
        }
    }
}

/// Remembers where a listener listens, for operators.
fn note(place: &OnceLock<SocketAddr>, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        // The first one stays; nobody serves twice.
        place.set(address).ok();
    }
}

/// How long requests that are given up may take to answer so.
const GIVING_UP: Duration = Duration::from_secs(1);

/// How long servers may take to end: their input is closed, then SIGTERM, then SIGKILL.
const SERVERS_GRACE: Duration = Duration::from_secs(6);
