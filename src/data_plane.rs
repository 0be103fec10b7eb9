//! `mcp-gateway data-plane`: serves MCP clients by what a control plane of another process pushes.

mod audit;
mod cache;
mod drain;
mod join;
mod keys;
mod permitted;
mod replicas;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use gateway_data_plane::{Access, DataPlane, JoinError, Options};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::descriptors::raise_descriptors;
use crate::exit::Failure;
use crate::kept::{self, Kept};
use crate::limits::LimitsArgs;
use crate::listen::{self, MCP_PORT, OPERATIONS_PORT, loopback};
use crate::process;
use crate::signals::StopSignals;
use crate::tls::{HTTP, ServerTlsArgs};
use audit::AuditArgs;
use cache::CacheArgs;
use drain::DrainArgs;
use join::JoinArgs;
use keys::Keys;
use permitted::PermittedArgs;
use replicas::{ReplicaListener, ReplicasArgs};

/// The flags of `data-plane`.
#[derive(Debug, Args)]
pub(crate) struct DataPlaneArgs {
    #[command(flatten)]
    join: JoinArgs,

    /// Where MCP clients connect, 127.0.0.1:8811 when left out; a loopback address, unless there is
    /// TLS.
    #[arg(long, env = "MCP_GATEWAY_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where /healthz, /readyz, /servers, /plugins, /config and /metrics answer, 127.0.0.1:8813 when left
    /// out; a loopback address.
    #[arg(long, env = "MCP_GATEWAY_OPS_LISTEN", value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,

    /// A further host name under which clients and web pages may use the gateway; may be given
    /// several times.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOWED_HOST",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    allowed_host: Vec<String>,

    /// The keys that session ids are sealed with, one a line, made if the file is missing and read
    /// again when it changes: the first seals, all open. Left out: a key that ends with the process, and with it the
    /// sessions of its clients.
    #[arg(long, env = "MCP_GATEWAY_SESSION_KEY_FILE", value_name = "FILE")]
    session_key_file: Option<PathBuf>,

    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    audit: AuditArgs,

    #[command(flatten)]
    tls: ServerTlsArgs,

    #[command(flatten)]
    replicas: ReplicasArgs,

    #[command(flatten)]
    permitted: PermittedArgs,

    #[command(flatten)]
    drain: DrainArgs,

    #[command(flatten)]
    limits: LimitsArgs,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: DataPlaneArgs) -> Result<(), Failure> {
    process::block_on(start(args))
}

async fn start(args: DataPlaneArgs) -> Result<(), Failure> {
    // Before anything runs that would have to be ended in good order.
    let signals = StopSignals::listen()?;
    let DataPlaneArgs {
        join,
        listen,
        ops_listen,
        allowed_host,
        session_key_file,
        cache,
        audit,
        tls,
        replicas,
        permitted,
        drain,
        limits,
    } = args;
    let listen = listen.unwrap_or_else(|| loopback(MCP_PORT));
    let ops_listen = ops_listen.unwrap_or_else(|| loopback(OPERATIONS_PORT));
    listen::check_operations(ops_listen)?;
    let tls = tls.read(HTTP, None)?;
    listen::check_plain(listen, tls.is_some())?;
    cache.check(session_key_file.is_some())?;
    let replicas = replicas
        .bind(tls.is_some(), session_key_file.is_some())
        .await?;
    let (control_planes, client_tls) = join.control_planes()?;
    let limits = limits.read();
    let (replica, join_token) = (join.name(listen)?, join.token()?);
    let (session_keys, keys) = Keys::of(session_key_file)?;
    let spool = audit.options(cache.folder());
    let options = Options {
        replica,
        join_token,
        permits: permitted.permits(listen.ip().is_loopback(), limits, spool)?,
        cache: cache.open(&session_keys)?,
        session_keys,
        fleet: replicas.as_ref().map(ReplicaListener::options),
        access: Access::new(listen::own_host(listen).into_iter().chain(allowed_host)),
        limits,
    };
    let mcp = listen::bind(listen, "--listen").await?;
    let operations = listen::bind(ops_listen, "--ops-listen").await?;
    raise_descriptors();
    let started = DataPlane::start(options, control_planes);
    let data = started.map_err(|error| Failure::Invalid(vec![chain(&error)]))?;
    let stop = CancellationToken::new();
    let served = Served {
        mcp,
        tls,
        operations,
        replicas,
        client_tls,
        keys,
    };
    let ending = async {
        stop.cancelled().await;
        data.drain(drain.delay(listen)).await;
        data.shut_down(drain.timeout()).await;
    };
    let serving = served.serve(&data, ending);
    let ended = process::until_signal(signals, &stop, Box::pin(serving)).await;
    info!("stopped");
    ended
}

/// What an error says, with what it came of.
fn chain(error: &JoinError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// What a data plane serves with.
struct Served {
    mcp: TcpListener,
    tls: Option<Kept<ServerConfig>>,
    operations: TcpListener,
    replicas: Option<ReplicaListener>,
    client_tls: Option<Kept<ClientConfig>>,
    keys: Keys,
}

impl Served {
    /// Serves until `ending` is done, which ends the listeners in their turn.
    async fn serve(
        self,
        data: &DataPlane,
        ending: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let scheme = listen::scheme(self.tls.is_some());
        info!(
            "operations on http://{}",
            listen::address(&self.operations)?
        );
        if let Some(replicas) = &self.replicas {
            info!("replicas on {scheme}://{}", replicas.address()?);
        }
        info!(
            "listening on {scheme}://{}/mcp",
            listen::address(&self.mcp)?
        );
        let current = self.tls.as_ref().map(Kept::current);
        let work = async {
            tokio::join!(
                data.serve(self.mcp, current.clone()),
                replicas::serve(data, self.replicas, current),
                data.serve_operations(self.operations),
                kept::follow(self.tls),
                kept::follow(self.client_tls),
                self.keys.follow(data),
            )
        };
        tokio::select! {
            _ = work => {}
            () = ending => {}
        }
        Ok(())
    }
}
