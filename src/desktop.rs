//! `mcp-gateway desktop`: both planes in one process, configured by one file.

#[cfg(unix)]
mod briefly;
mod control;
mod listeners;
mod planes;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_data_plane::{Access, Commands, Limits, Permits};
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver, SpoolOptions};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config_file::{ConfigFile, Problem, Watch};
use crate::data_dir::{self, DataDir};
use crate::descriptors::raise_descriptors;
use crate::exit::Failure;
use crate::limits::LimitsArgs;
use crate::process;
use crate::sample;
use crate::signals::StopSignals;
use crate::tls::ServerTlsArgs;
#[cfg(unix)]
pub(crate) use briefly::briefly;
use control::Control;
use listeners::Wanted;
use planes::Planes;

/// The flags of `desktop`.
#[derive(Debug, Args)]
pub(crate) struct DesktopArgs {
    /// The configuration file. Left out: ./gateway.yaml if it is there, else
    /// mcp-gateway/gateway.yaml in the user's configuration folder, made if it is missing.
    #[arg(long, env = "MCP_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where MCP clients connect, 127.0.0.1:8811 when left out; a loopback address, unless there is
    /// TLS and the configuration has an `auth_provider` that asks for credentials.
    #[arg(long, env = "MCP_GATEWAY_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where /healthz, /readyz, /servers, /plugins, /config and /metrics answer, 127.0.0.1:8813 when left
    /// out; a loopback address.
    #[arg(long, env = "MCP_GATEWAY_OPS_LISTEN", value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,

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

    /// Serves the client that started this process as well, on standard input and output, until it
    /// closes the input. Where a gateway runs on the data directory already, it is that one which
    /// the client gets.
    #[arg(long, env = "MCP_GATEWAY_STDIO")]
    stdio: bool,

    /// What the client at --stdio sees: /mcp, /s/SERVER/mcp or /p/PROFILE/mcp.
    #[arg(
        long,
        env = "MCP_GATEWAY_ENDPOINT",
        default_value = "/mcp",
        value_name = "PATH"
    )]
    endpoint: String,

    #[command(flatten)]
    tls: ServerTlsArgs,

    #[command(flatten)]
    limits: LimitsArgs,
}

/// The gateway of one data directory, not running yet.
#[derive(Debug)]
pub(crate) struct Desktop {
    file: ConfigFile,
    wanted: Wanted,
    data_dir: PathBuf,
    allowed_host: Vec<String>,
    limits: Limits,
    /// Whether standard output is for MCP.
    on_stdio: bool,
}

/// Runs until SIGINT or SIGTERM; with `--stdio`, until the client is gone.
pub(crate) fn run(args: DesktopArgs) -> Result<(), Failure> {
    process::block_on(start(args))
}

async fn start(args: DesktopArgs) -> Result<(), Failure> {
    // Before anything runs that would have to be ended in good order.
    let signals = StopSignals::listen()?;
    let (on_stdio, endpoint) = (args.stdio, args.endpoint.clone());
    let desktop = Desktop::new(args)?;
    if on_stdio {
        return Box::pin(crate::stdio::run(desktop, endpoint, signals)).await;
    }
    let stop = CancellationToken::new();
    let serving = Box::pin(desktop.serve(None, || {}, &stop));
    process::until_signal(signals, &stop, serving).await
}

impl Desktop {
    fn new(args: DesktopArgs) -> Result<Self, Failure> {
        if !gateway_data_plane::is_endpoint(&args.endpoint) {
            return Err(Failure::invalid(format!(
                "--endpoint {}: nothing answers there; it is /mcp, /s/SERVER/mcp or /p/PROFILE/mcp",
                args.endpoint
            )));
        }
        Ok(Self {
            file: args
                .config
                .map_or_else(sample::found_or_made, |path| Ok(ConfigFile::new(path)))?,
            wanted: Wanted {
                mcp: args.listen,
                operations: args.ops_listen,
                may_do_without: args.stdio,
                tls: args.tls,
            },
            data_dir: args.data_dir.map_or_else(data_dir::default_path, Ok)?,
            allowed_host: args.allowed_host,
            limits: args.limits.read(),
            on_stdio: args.stdio,
        })
    }

    #[cfg(unix)]
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    #[cfg(unix)]
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Serves until told to stop; calls `ready` once clients are answered. `taken` is the data
    /// directory, if this process has it already.
    pub(crate) async fn serve(
        &self,
        taken: Option<DataDir>,
        ready: impl FnOnce(),
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        // Before the first configuration is read, so that no edit falls in between.
        let edits = self.file.watch()?;
        let loopback_only = self.wanted.is_loopback_only();
        let checks = permits(loopback_only, &self.data_dir)?;
        let document = self
            .file
            .read()
            .and_then(|document| document.check(&checks))
            .map_err(invalid)?;
        let listeners = self.wanted.bind().await?;
        let data_dir = taken.map_or_else(|| DataDir::open(&self.data_dir), Ok)?;
        let control = Control::listen(&data_dir, self.on_stdio)?;
        let mut permits = Permits {
            max_message_bytes: self.limits.max_body_bytes,
            connects_at_once: true,
            ..permits_by(checks.connector.clone(), loopback_only, data_dir.path())
        };
        if self.on_stdio {
            info!("an audit sink `stdout` writes to standard error: MCP is on standard output");
            permits.registry = permits.registry.with_stdout_taken();
        }
        raise_descriptors();
        let own_host = self.wanted.own_host().into_iter();
        let access = Access::new(own_host.chain(self.allowed_host.iter().cloned()));
        let (planes, revision) =
            Planes::start(&data_dir, permits, access, self.limits, &document).await?;
        let work = async {
            planes.in_force(&document, revision).await?;
            ready();
            let following = follow(&planes, &self.file, edits, &checks);
            Box::pin(listeners.serve(&planes, control, following)).await
        };
        let ended = tokio::select! {
            ended = work => ended,
            () = stop.cancelled() => Ok(()),
        };
        planes.shut_down().await;
        ended
    }
}

/// Takes the file's edits, one after the other, for as long as it is let.
async fn follow(planes: &Planes, file: &ConfigFile, mut edits: Watch, permits: &Permits) {
    loop {
        edits.changed().await;
        Box::pin(planes.take_edit(file, permits)).await;
    }
}

/// What a configuration may ask for on a desktop: everything that its user may do.
pub(crate) fn permits(loopback_only: bool, data_dir: &Path) -> Result<Permits, anyhow::Error> {
    let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
    Ok(permits_by(connector, loopback_only, data_dir))
}

/// The same with a connector that is there already.
fn permits_by(connector: Connector, loopback_only: bool, data_dir: &Path) -> Permits {
    Permits {
        registry: Registry::new(Role::Desktop { loopback_only })
            .with_data_dir(data_dir)
            .with_audit_spool(SpoolOptions::in_folder(data_dir.join("audit-spool"))),
        secrets: SecretResolver::desktop(),
        connector,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
        connects_at_once: true,
    }
}

fn invalid(problems: Vec<Problem>) -> Failure {
    Failure::Invalid(problems.iter().map(Problem::to_string).collect())
}
