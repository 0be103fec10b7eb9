//! `mcp-gateway control-plane`: keeps the configuration of tenants, and serves it to data planes.

mod database;
mod first_tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use gateway_control_plane::{ControlPlane, Database, Options, Tokens};
use gateway_core::{ExposeSecret as _, SecretString};
use gateway_plugins::{Registry, Role};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::descriptors::raise_descriptors;
use crate::exit::Failure;
use crate::listen::{self, CONTROL_PORT};
use crate::process;
use crate::signals::StopSignals;

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
    /// loopback address.
    #[arg(long, env = "MCP_GATEWAY_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
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
    } = args;
    let database = database::read(database.expose_secret())
        .map_err(|reason| Failure::invalid(format!("--database: {reason}")))?;
    let address = listen.unwrap_or_else(|| listen::loopback(CONTROL_PORT));
    check_address(address)?;
    let listener = listen::bind(address, "--listen").await?;
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
        database,
        check_plugins: Arc::new(move |plugins| registry.check(plugins)),
    });
    let control = control.await.map_err(anyhow::Error::from)?;
    let stop = CancellationToken::new();
    let serving = serve(&control, listener, tokens, stop.clone());
    let ended = process::until_signal(signals, &stop, serving).await;
    control.close().await;
    info!("stopped");
    ended
}

async fn serve(
    control: &ControlPlane,
    listener: TcpListener,
    tokens: Tokens,
    stop: CancellationToken,
) -> Result<(), Failure> {
    info!("control plane on http://{}", listen::address(&listener)?);
    let serving = control.serve_network(listener, Arc::new(tokens), stop);
    serving
        .await
        .map_err(|error| anyhow::Error::from(error).into())
}

/// Tokens and configuration would pass a network as everybody there can read them.
fn check_address(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "--listen {address}: without TLS, which this version does not have yet, the control plane listens on loopback addresses only, such as 127.0.0.1:{}",
        address.port()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_this_machine_only() {
        for address in ["127.0.0.1:0", "127.8.8.8:8812", "[::1]:8812"] {
            assert!(check_address(address.parse().unwrap()).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:8812", "192.0.2.7:8812", "[::]:8812"] {
            let Err(Failure::Invalid(said)) = check_address(address.parse().unwrap()) else {
                panic!("{address} is open to others");
            };
            assert!(said[0].contains("without TLS"), "{said:?}");
        }
    }
}
