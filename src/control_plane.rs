//! `mcp-gateway control-plane`: keeps the configuration of tenants, and serves it to data planes.

mod database;
mod first_tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use gateway_control_plane::{CertificateRole, ControlPlane, Database, Network, Options};
use gateway_core::{ExposeSecret as _, SecretString};
use gateway_plugins::{Registry, Role};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::descriptors::raise_descriptors;
use crate::exit::Failure;
use crate::kept::{self, Kept};
use crate::listen::{self, CONTROL_OPERATIONS_PORT, CONTROL_PORT};
use crate::process;
use crate::signals::StopSignals;
use crate::tls::{GRPC, ServerTlsArgs};

/// The flags of `control-plane`. Tokens are none of them: others on the machine can read a command
/// line.
#[derive(Debug, Args)]
pub(crate) struct ControlPlaneArgs {
    /// Where the configuration is kept. sqlite://FILE, such as sqlite://gateway.db or
    /// sqlite:///var/lib/mcp-gateway/gateway.db: the file is made if it is missing, and is for one
    /// control plane. postgres://USER@HOST:PORT/DATABASE: the database must be there, and several
    /// control planes may share it; the password is best in PGPASSWORD or in ~/.pgpass, and
    /// ?sslmode=verify-full&sslrootcert=FILE demands TLS.
    #[arg(
        long,
        env = "MCP_GATEWAY_DATABASE",
        hide_env_values = true,
        value_name = "URL"
    )]
    database: SecretString,

    /// Where the administrator's token and that of data planes are kept, in `admin-token` and
    /// `join-token`: made once, unless MCP_GATEWAY_ADMIN_TOKEN and MCP_GATEWAY_JOIN_TOKEN give them,
    /// as they must with PostgreSQL. Left out: mcp-gateway in the user's data folder.
    #[arg(long, env = "MCP_GATEWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Where data planes and administrators connect by gRPC, 127.0.0.1:8812 when left out; a
    /// loopback address, unless there is TLS.
    #[arg(long, env = "MCP_GATEWAY_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where /healthz, /readyz and /metrics answer, 127.0.0.1:8814 when left out; a loopback address.
    #[arg(long, env = "MCP_GATEWAY_OPS_LISTEN", value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,

    /// The control plane's name, another one for each on the same database: `status` says by it where a
    /// data plane is connected. Left out: the machine's name and the port that is listened on.
    #[arg(long, env = "MCP_GATEWAY_NAME", value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    tls: ServerTlsArgs,

    #[command(flatten)]
    clients: ClientsArgs,
}

/// Who is known by a certificate.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
struct ClientsArgs {
    /// The certificates of whoever signs those of clients, as PEM. Clients may then present one,
    /// and have the role that --mtls-role gives it; a token beside it decides. Read again when the
    /// file changes.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_CLIENT_CA",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    tls_client_ca: Option<PathBuf>,

    /// What the holder of a certificate may do: cn:NAME=ROLE by the common name of its subject,
    /// dns:NAME=ROLE or uri:URI=ROLE by an alternative name, compared exactly; ROLE is
    /// administrator, tenant-administrator:TENANT, tenant-viewer:TENANT, join, or join:TENANT+TENANT
    /// of a data plane for these tenants only. May be given several times; the first that fits
    /// counts.
    #[arg(
        long,
        env = "MCP_GATEWAY_MTLS_ROLE",
        requires = "tls_client_ca",
        value_delimiter = ',',
        value_name = "SUBJECT=ROLE"
    )]
    mtls_role: Vec<CertificateRole>,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: ControlPlaneArgs) -> Result<(), Failure> {
    process::block_on(start(args))
}

async fn start(args: ControlPlaneArgs) -> Result<(), Failure> {
    // Before anything runs that would have to be ended in good order.
    let signals = StopSignals::listen()?;
    let ControlPlaneArgs {
        database,
        data_dir,
        listen,
        ops_listen,
        name,
        tls,
        clients,
    } = args;
    let database = database::read(database.expose_secret())
        .map_err(|reason| Failure::invalid(format!("--database: {reason}")))?;
    let address = listen.unwrap_or_else(|| listen::loopback(CONTROL_PORT));
    let ops_address = ops_listen.unwrap_or_else(|| listen::loopback(CONTROL_OPERATIONS_PORT));
    listen::check_operations(ops_address)?;
    let tls = tls.read(GRPC, clients.tls_client_ca.as_deref())?;
    listen::check_plain(address, tls.is_some())?;
    let listener = listen::bind(address, "--listen").await?;
    let operations = listen::bind(ops_address, "--ops-listen").await?;
    let name = listen::name(name.as_deref(), listen::address(&listener)?)?;
    // Holds the data directory, where one is needed.
    let (tokens, _data_dir) = match &database {
        Database::Sqlite(_) => first_tokens::read_or_make(data_dir)?,
        Database::Postgres(_) => (first_tokens::read_shared()?, None),
    };
    raise_descriptors();
    let registry = Registry::new(Role::DataPlane {
        loopback_only: true,
    });
    let control = ControlPlane::open(Options {
        name,
        database,
        check_plugins: Arc::new(move |plugins| registry.check(plugins)),
    });
    let control = control.await.map_err(anyhow::Error::from)?;
    let network = Network {
        tokens: Arc::new(tokens),
        tls: tls.as_ref().map(Kept::current),
        certificate_roles: clients.mtls_role,
    };
    let stop = CancellationToken::new();
    let serving = serve(&control, listener, operations, network, tls, &stop);
    let ended = process::until_signal(signals, &stop, serving).await;
    control.close().await;
    info!("stopped");
    ended
}

async fn serve(
    control: &ControlPlane,
    listener: TcpListener,
    operations: TcpListener,
    network: Network,
    tls: Option<Kept<ServerConfig>>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let scheme = listen::scheme(tls.is_some());
    info!("operations on http://{}", listen::address(&operations)?);
    info!(
        "control plane on {scheme}://{}",
        listen::address(&listener)?
    );
    let ending = stop.child_token();
    let network = async {
        let served = control.serve_network(listener, network, stop.clone()).await;
        ending.cancel();
        served
    };
    let operations = control.serve_operations(operations, ending.clone());
    let served = async { tokio::join!(network, operations).0 };
    let served = tokio::select! {
        served = served => served,
        () = kept::follow(tls) => Ok(()),
    };
    served.map_err(|error| anyhow::Error::from(error).into())
}
