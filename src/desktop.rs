//! `mcp-gateway desktop`: both planes in one process, configured by one file.

#[cfg(unix)]
mod briefly;
mod control;
mod planes;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use gateway_data_plane::{Access, Commands, Limits, Permits};
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver};
use tokio::net::TcpListener;
use tracing::info;

use crate::config_file::{ConfigFile, Problem, Watch};
use crate::data_dir::{self, DataDir};
use crate::descriptors::raise_descriptors;
use crate::exit::Failure;
use crate::limits::LimitsArgs;
use crate::sample;
use crate::signals::StopSignals;
#[cfg(unix)]
pub(crate) use briefly::briefly;
use control::Control;
use planes::Planes;

/// The flags of `desktop`.
#[derive(Debug, Args)]
pub(crate) struct DesktopArgs {
    /// The configuration file. Left out: ./gateway.yaml if it is there, else
    /// mcp-gateway/gateway.yaml in the user's configuration folder, made if it is missing.
    #[arg(long, env = "MCP_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where MCP clients connect; a loopback address, unless the configuration has an
    /// `auth_provider` that asks for credentials.
    #[arg(
        long,
        env = "MCP_GATEWAY_LISTEN",
        default_value = "127.0.0.1:8811",
        value_name = "ADDR"
    )]
    listen: SocketAddr,

    /// Where /healthz, /readyz, /servers, /config and /metrics answer; a loopback address.
    #[arg(
        long,
        env = "MCP_GATEWAY_OPS_LISTEN",
        default_value = "127.0.0.1:8813",
        value_name = "ADDR"
    )]
    ops_listen: SocketAddr,

    /// Where the gateway keeps its state. Left out: mcp-gateway in the user's data folder.
    #[arg(long, env = "MCP_GATEWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// A further host name under which clients and web pages may use the gateway; may be given
    /// several times.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOWED_HOST",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    allowed_host: Vec<String>,

    #[command(flatten)]
    limits: LimitsArgs,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: DesktopArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let done = runtime.block_on(serve(args));
    // What still blocks, such as a write to a full pipe, must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(args: DesktopArgs) -> Result<(), Failure> {
    let DesktopArgs {
        config,
        listen,
        ops_listen,
        data_dir,
        allowed_host,
        limits,
    } = args;
    let limits = limits.read();
    // Before anything runs that would have to be ended in good order.
    let mut signals = StopSignals::listen()?;
    let file = config.map_or_else(sample::found_or_made, |path| Ok(ConfigFile::new(path)))?;
    // Before the first configuration is read, so that no edit falls in between.
    let edits = file.watch()?;
    let loopback_only = listen.ip().is_loopback();
    let data_dir = data_dir.map_or_else(data_dir::default_path, Ok)?;
    let checks = permits(loopback_only, &data_dir)?;
    let document = file
        .read()
        .and_then(|document| document.check(&checks))
        .map_err(invalid)?;
    let listeners = Listeners {
        mcp: bind(listen, "--listen").await?,
        operations: bind_operations(ops_listen).await?,
    };
    let data_dir = DataDir::open(&data_dir)?;
    let control = Control::listen(&data_dir);
    let permits = Permits {
        max_message_bytes: limits.max_body_bytes,
        ..permits(loopback_only, data_dir.path())?
    };
    raise_descriptors();
    let access = Access::new(own_host(listen).into_iter().chain(allowed_host));
    let (planes, revision) = Planes::start(&data_dir, permits, access, limits, &document).await?;
    let work = async {
        planes.in_force(&document, revision).await?;
        let following = follow(&planes, &file, edits, &checks);
        Box::pin(listeners.serve(&planes, control, following)).await
    };
    let ended = tokio::select! {
        ended = work => ended,
        signal = signals.next() => {
            info!("stopping on {signal}");
            Ok(())
        }
    };
    // A second signal ends the process at once.
    tokio::select! {
        () = planes.shut_down() => ended,
        signal = signals.next() => Err(Failure::Failed(anyhow!("ended by a second {signal}"))),
    }
}

/// Takes the file's edits, one after the other, for as long as it is let.
async fn follow(planes: &Planes, file: &ConfigFile, mut edits: Watch, permits: &Permits) {
    loop {
        edits.changed().await;
        planes.take_edit(file, permits).await;
    }
}

/// Bound before anything is started, so that a port in use is known at once.
struct Listeners {
    mcp: TcpListener,
    operations: TcpListener,
}

impl Listeners {
    /// Serves clients and operators while `following` goes on beside it.
    async fn serve(
        self,
        planes: &Planes,
        control: Control,
        following: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        info!("operations on http://{}", address(&self.operations)?);
        info!("listening on http://{}/mcp", address(&self.mcp)?);
        tokio::join!(
            planes.data.serve(self.mcp),
            planes.data.serve_operations(self.operations),
            control.serve(planes),
            following,
        );
        Ok(())
    }
}

/// What a configuration may ask for on a desktop: everything that its user may do.
pub(crate) fn permits(loopback_only: bool, data_dir: &Path) -> Result<Permits, anyhow::Error> {
    let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
    Ok(Permits {
        registry: Registry::new(Role::Desktop { loopback_only }).with_data_dir(data_dir),
        secrets: SecretResolver::desktop(),
        connector,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
    })
}

/// The address as a host name, where it is another one than loopback. A web page cannot be served
/// under it by anybody else. All addresses at once are no host name.
fn own_host(listen: SocketAddr) -> Option<String> {
    let ip = listen.ip();
    let text = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(text)
}

/// The operations endpoints ask nobody who they are.
async fn bind_operations(address: SocketAddr) -> Result<TcpListener, Failure> {
    if !address.ip().is_loopback() {
        return Err(Failure::invalid(format!(
            "--ops-listen {address}: the operations endpoints ask nobody who they are, so they listen on loopback addresses only, such as 127.0.0.1:{}",
            address.port()
        )));
    }
    bind(address, "--ops-listen").await
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: stop what uses it, or choose another address with {flag}"
        )
    })?;
    Ok(bound)
}

fn address(listener: &TcpListener) -> Result<SocketAddr, anyhow::Error> {
    listener.local_addr().context("the listener has no address")
}

fn invalid(problems: Vec<Problem>) -> Failure {
    Failure::Invalid(problems.iter().map(Problem::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_it_listens_on_is_a_host_of_its_own() {
        let host = |address: &str| own_host(address.parse().unwrap());
        assert_eq!(host("192.0.2.7:8811").as_deref(), Some("192.0.2.7"));
        assert_eq!(host("[2001:db8::7]:8811").as_deref(), Some("[2001:db8::7]"));
        for address in ["127.0.0.1:8811", "[::1]:8811", "0.0.0.0:8811", "[::]:8811"] {
            assert_eq!(host(address), None, "{address}");
        }
    }
}
