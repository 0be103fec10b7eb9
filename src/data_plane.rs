//! `mcp-gateway data-plane`: serves MCP clients by what a control plane of another process pushes.

mod join;
mod keys;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use gateway_data_plane::{Access, Commands, DataPlane, Limits, Options, Permits};
use gateway_mcp::client::{Cidr, Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver};
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
use join::JoinArgs;
use keys::Keys;

/// How long requests under way may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// The flags of `data-plane`.
#[derive(Debug, Args)]
pub(crate) struct DataPlaneArgs {
    #[command(flatten)]
    join: JoinArgs,

    /// Where MCP clients connect, 127.0.0.1:8811 when left out; a loopback address, unless there is
    /// TLS.
    #[arg(long, env = "MCP_GATEWAY_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where /healthz, /readyz, /servers, /config and /metrics answer, 127.0.0.1:8813 when left
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
    tls: ServerTlsArgs,

    #[command(flatten)]
    permitted: PermittedArgs,

    #[command(flatten)]
    limits: LimitsArgs,
}

/// What a pushed configuration may ask of this process. No configuration can extend it.
#[derive(Debug, Args)]
#[command(next_help_heading = "What a configuration may ask for")]
struct PermittedArgs {
    /// A program that servers of `type: command` may be, by the exact text of `command`; may be
    /// given several times. Left out: none.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOW_COMMAND",
        value_delimiter = ',',
        value_name = "PROGRAM"
    )]
    allow_command: Vec<String>,

    /// A loopback or private network whose addresses may be reached, such as 10.0.0.0/8; may be
    /// given several times. Left out: public addresses only.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOW_NETWORK",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    allow_network: Vec<Cidr>,

    /// Where `from_file: NAME` of a tenant is found, in DIR/TENANT/NAME. Left out: nowhere. The
    /// variable that `from_env: NAME` means is MCP_GATEWAY_SECRET__TENANT__NAME.
    #[arg(long, env = "MCP_GATEWAY_SECRET_DIR", value_name = "DIR")]
    secret_dir: Option<PathBuf>,
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
        tls,
        permitted,
        limits,
    } = args;
    let listen = listen.unwrap_or_else(|| loopback(MCP_PORT));
    let ops_listen = ops_listen.unwrap_or_else(|| loopback(OPERATIONS_PORT));
    listen::check_operations(ops_listen)?;
    let tls = tls.read(HTTP, None)?;
    listen::check_plain(listen, tls.is_some())?;
    let (channel, client_tls) = join.channel()?;
    let limits = limits.read();
    let (replica, join_token) = (join.name(listen)?, join.token()?);
    let (session_keys, keys) = Keys::of(session_key_file)?;
    let options = Options {
        replica,
        join_token,
        permits: permitted.permits(listen.ip().is_loopback(), limits)?,
        session_keys,
        access: Access::new(listen::own_host(listen).into_iter().chain(allowed_host)),
        limits,
    };
    let mcp = listen::bind(listen, "--listen").await?;
    let operations = listen::bind(ops_listen, "--ops-listen").await?;
    raise_descriptors();
    let data =
        DataPlane::start(options, channel).map_err(|error| Failure::invalid(error.to_string()))?;
    let stop = CancellationToken::new();
    let serving = serve(&data, mcp, tls, operations, client_tls, keys, &stop);
    let ended = process::until_signal(signals, &stop, serving).await;
    info!("stopped");
    ended
}

async fn serve(
    data: &DataPlane,
    mcp: TcpListener,
    tls: Option<Kept<ServerConfig>>,
    operations: TcpListener,
    client_tls: Option<Kept<ClientConfig>>,
    keys: Keys,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let scheme = listen::scheme(tls.is_some());
    info!("operations on http://{}", listen::address(&operations)?);
    info!("listening on {scheme}://{}/mcp", listen::address(&mcp)?);
    let current = tls.as_ref().map(Kept::current);
    let work = async {
        tokio::join!(
            data.serve(mcp, current),
            data.serve_operations(operations),
            kept::follow(tls),
            kept::follow(client_tls),
            keys.follow(data),
        )
    };
    tokio::select! {
        _ = work => {}
        () = stop.cancelled() => {}
    }
    data.shut_down(DRAIN).await;
    Ok(())
}

impl PermittedArgs {
    fn permits(self, loopback_only: bool, limits: Limits) -> anyhow::Result<Permits> {
        let Self {
            allow_command,
            allow_network,
            secret_dir,
        } = self;
        let network = NetworkPolicy::public_only(allow_network);
        Ok(Permits {
            registry: Registry::new(Role::DataPlane { loopback_only }),
            secrets: SecretResolver::data_plane(secret_dir),
            connector: Connector::new(network).context("TLS cannot be set up")?,
            commands: Commands::Only(allow_command),
            max_message_bytes: limits.max_body_bytes,
        })
    }
}
