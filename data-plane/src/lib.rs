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
mod fleet;
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

use futures_util::future::join_all;
use gateway_core::Deadline;
use gateway_plugins::Spools;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use config::cache::Keeper;
use config::{Authorization, Compiler, Follower, InForce};
use fleet::Fleet;
use gateway::Gateway;
use server::Door;
use session::{ReplicaTag, Sessions};

pub use access::{Access, Refusal};
pub use config::{
    Cache, CacheError, ClientTls, ControlPlane, JoinError, JoinToken, Permits, channel, is_loopback,
};
pub use fleet::FleetOptions;
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
    pub join_token: Option<JoinToken>,
    /// What configurations may ask of this process.
    pub permits: Permits,
    /// The keys that legacy session ids are sealed with.
    pub session_keys: SessionKeys,
    /// How it takes part in a fleet; `None`: other replicas do not reach it, and it none of them.
    pub fleet: Option<FleetOptions>,
    /// Where the last good configuration is kept; `None`: nowhere.
    pub cache: Option<Cache>,
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
    cache: Option<Keeper>,
    in_sync: watch::Receiver<bool>,
    stop: CancellationToken,
    /// Cancelled when neither control planes nor other replicas are listened to any more.
    alone: CancellationToken,
    /// Cancelled when all requests are answered, or given up.
    ended: CancellationToken,
    following: TaskTracker,
}

impl DataPlane {
    /// Starts to follow the control planes, of which there is at least one: one at a time.
    ///
    /// # Errors
    /// The join token is no token.
    pub fn start(options: Options, control_planes: Vec<ControlPlane>) -> Result<Self, JoinError> {
        let token = options.join_token;
        let authorization = token.map(Authorization::new).transpose()?;
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let replica = options.replica;
        let tag = options.fleet.as_ref().map(|_| ReplicaTag::of(&replica));
        let gateway = Arc::new(Gateway {
            tenants: snapshot::Tenants::default(),
            sessions: Sessions::new(options.session_keys, &replica),
            live: live::LiveSessions::new(tag),
            fleet: options.fleet.map(|fleet| Fleet::new(&replica, fleet)),
            access: options.access,
            hosts: hosts::Hosts::default(),
            limits: options.limits,
            load: load::Load::of_all(&options.limits),
            load_of_nobody: load::Load::of_tenant(&options.limits),
            connections: Arc::new(Semaphore::new(options.limits.max_connections)),
            listeners: gateway::Listeners::default(),
            metrics: options.permits.registry.metrics(),
            plugins: options.permits.registry.conditions(),
            requests: TaskTracker::new(),
            handed_on: TaskTracker::new(),
            handing: TaskTracker::new(),
            draining: connection::Draining::default(),
            spools: options.permits.registry.spools(),
            stopping: stopping.clone(),
            giving_up: CancellationToken::new(),
            tasks: tasks.clone(),
        });
        let (in_sync_sender, in_sync) = watch::channel(false);
        let keeper = options.cache.as_ref().map(Cache::keeper);
        let follower = Follower {
            replica,
            authorization,
            in_force: InForce {
                gateway: Arc::clone(&gateway),
                compiler: Compiler {
                    permits: options.permits,
                    limits: options.limits,
                    tasks,
                    stopping,
                },
                keeper: keeper.clone(),
                in_sync: in_sync_sender,
            },
        };
        if let Some(spools) = gateway.spools.clone() {
            drop(gateway.tasks.spawn(look_for_unclaimed(
                spools,
                in_sync.clone(),
                gateway.stopping.clone(),
            )));
        }
        let alone = CancellationToken::new();
        let following = TaskTracker::new();
        drop(following.spawn(follower.run(control_planes, options.cache, alone.clone())));
        Ok(Self {
            gateway,
            cache: keeper,
            in_sync,
            stop: CancellationToken::new(),
            alone,
            ended: CancellationToken::new(),
            following,
        })
    }

    /// Seals sessions with the first of these keys from now on. Sessions under keys that are not among
    /// them are unknown then.
    pub fn replace_session_keys(&self, keys: Arc<SessionKeys>) {
        if let Some(cache) = &self.cache {
            cache.replace_keys(&keys);
        }
        self.gateway.sessions.replace_keys(keys);
    }

    /// Serves MCP clients until [`shut_down`](Self::shut_down), by TLS or in plain text.
    pub async fn serve(&self, listener: TcpListener, tls: Option<ServerTls>) {
        note(&self.gateway.listeners.mcp, &listener);
        let gateway = Arc::clone(&self.gateway);
        // What is accepted to the last is waited for.
        let _accepting = gateway.requests.token();
        let keeper = Arc::clone(&gateway);
        server::serve(keeper, Door::Clients, listener, tls, self.stop.clone()).await;
    }

    /// Serves other replicas of the fleet until [`shut_down`](Self::shut_down) has answered everybody, by
    /// TLS or in plain text.
    pub async fn serve_replicas(&self, listener: TcpListener, tls: Option<ServerTls>) {
        note(&self.gateway.listeners.replicas, &listener);
        let gateway = Arc::clone(&self.gateway);
        let _accepting = self.gateway.handing.token();
        server::serve(gateway, Door::Replicas, listener, tls, self.alone.clone()).await;
    }

    /// Serves the operations endpoints until [`shut_down`](Self::shut_down) has answered everybody.
    pub async fn serve_operations(&self, listener: TcpListener) {
        note(&self.gateway.listeners.operations, &listener);
        let in_sync = self.in_sync.clone();
        operations::serve(
            Arc::clone(&self.gateway),
            in_sync,
            listener,
            self.ended.clone(),
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

    /// Says that it is not ready any more, and serves on for as long as `delay`, while whoever chooses
    /// among replicas turns to others. Who comes back over the same connection is asked to connect anew.
    pub async fn drain(&self, delay: Duration) {
        self.gateway.draining.begin();
        if !delay.is_zero() {
            info!("not ready any more; clients are taken on for another {delay:?}");
            tokio::time::sleep(delay).await;
        }
    }

    /// Stops taking connections, lets requests under way finish for as long as `grace`, then ends
    /// servers and their children. Audit events that wait for their sinks have what is left of the time.
    pub async fn shut_down(&self, grace: Duration) {
        let deadline = Deadline::after(grace);
        self.gateway.draining.begin();
        self.stop.cancel();
        // They would stay open for as long as their clients do.
        self.gateway.stopping.cancel();
        self.gateway.live.close();
        self.following.close();
        let (requests, handing) = (&self.gateway.requests, &self.gateway.handing);
        let handed_on = &self.gateway.handed_on;
        for tracker in [requests, handed_on, handing] {
            tracker.close();
        }
        let answered = async {
            requests.wait().await;
            handed_on.wait().await;
            // Until then another replica may bring an answer that one of them waits for, which it knows from
            // a control plane where to bring.
            self.alone.cancel();
            handing.wait().await;
        };
        if timeout(grace, answered).await.is_err() {
            warn!("requests that are still under way are given up");
            self.gateway.giving_up.cancel();
            self.alone.cancel();
            // They only have to say so. A client that reads nothing is not waited for.
            let told = async { tokio::join!(requests.wait(), handing.wait()) };
            timeout(GIVING_UP, told).await.ok();
        }
        self.ended.cancel();
        self.following.wait().await;
        self.close_telemetry().await;
        // Servers end when nothing holds them any more: neither a snapshot nor a request.
        self.gateway.tenants.clear();
        self.gateway.tasks.close();
        let ended = timeout(SERVERS_GRACE, self.gateway.tasks.wait());
        if ended.await.is_err() {
            warn!("servers that did not end in time are given up");
        }
        if let Some(spools) = &self.gateway.spools {
            spools.shut_down(deadline.remaining()).await;
        }
    }

    /// Has all measurements sent that are still queued.
    async fn close_telemetry(&self) {
        let snapshots = self.gateway.tenants.all();
        let closing = snapshots
            .iter()
            .map(|snapshot| snapshot.plugins.telemetry.close());
        if timeout(TELEMETRY_GRACE, join_all(closing)).await.is_err() {
            warn!("measurements that were not sent in time are given up");
        }
    }
}

/// Once it is known which audit sinks there are, warns of events that wait for others.
async fn look_for_unclaimed(
    spools: Spools,
    mut in_sync: watch::Receiver<bool>,
    stopping: CancellationToken,
) {
    let known = async { in_sync.wait_for(|in_sync| *in_sync).await.is_ok() };
    if stopping.run_until_cancelled(known).await == Some(true) {
        spools.warn_of_unclaimed().await;
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

/// How long the last measurements may take to be sent.
const TELEMETRY_GRACE: Duration = Duration::from_secs(3);

/// How long servers may take to end: their input is closed, then SIGTERM, then SIGKILL.
const SERVERS_GRACE: Duration = Duration::from_secs(6);
