//! `mcp-gateway desktop`: both planes in one process, configured by one file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use gateway_control_plane::{ApplyError, Change, ControlPlane, Verdict, pipe};
use gateway_core::{Deadline, Revision};
use gateway_data_plane::{Access, Commands, DataPlane, Limits, Permits, SessionKeys};
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::config_file::{ConfigFile, Document, Problem};
use crate::data_dir::DataDir;
use crate::exit::Failure;

/// How long a configuration may take to be in force.
const APPLY_PATIENCE: Duration = Duration::from_secs(10);

/// How long requests under way may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// The flags of `desktop`.
#[derive(Debug, Args)]
pub(crate) struct DesktopArgs {
    /// The configuration file. Left out: ./gateway.yaml if it is there, else
    /// mcp-gateway/gateway.yaml in the user's configuration folder.
    #[arg(long, env = "MCP_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where MCP clients connect; a loopback address.
    #[arg(
        long,
        env = "MCP_GATEWAY_LISTEN",
        default_value = "127.0.0.1:8811",
        value_name = "ADDR"
    )]
    listen: SocketAddr,

    /// Where /healthz, /readyz and /servers answer; a loopback address.
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
    } = args;
    let file = ConfigFile::new(config.unwrap_or_else(default_config));
    // Before the first configuration is read, so that no edit falls in between.
    let mut edits = file.watch()?;
    let permits = permits()?;
    let document = file
        .read()
        .and_then(|document| document.check(&permits))
        .map_err(invalid)?;
    let mcp = bind(listen, "--listen").await?;
    let operations = bind(ops_listen, "--ops-listen").await?;
    let data_dir = DataDir::open(&data_dir.map_or_else(default_data_dir, Ok)?)?;
    let planes = Planes::start(&data_dir, permits, Access::new(allowed_host)).await?;
    planes
        .apply(document)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Invalid(problems) => invalid(problems),
            Refusal::Failed(error) => Failure::Failed(error),
        })?;
    info!("operations on http://{}", address(&operations)?);
    info!("listening on http://{}/mcp", address(&mcp)?);
    let stopping = stop_signal()?;
    tokio::pin!(stopping);
    let serving = async {
        tokio::join!(
            planes.data.serve(mcp),
            planes.data.serve_operations(operations)
        )
    };
    tokio::pin!(serving);
    loop {
        tokio::select! {
            _ = &mut serving => break,
            signal = &mut stopping => {
                info!("stopping on {signal}");
                break;
            }
            () = edits.changed() => planes.take_edit(&file).await,
        }
    }
    // A second signal ends the process at once.
    tokio::select! {
        () = planes.shut_down() => Ok(()),
        signal = stop_signal()? => Err(Failure::Failed(anyhow!("ended by a second {signal}"))),
    }
}

/// Both planes, and the pipe between them.
struct Planes {
    control: ControlPlane,
    data: DataPlane,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a document is not in force.
enum Refusal {
    Invalid(Vec<Problem>),
    Failed(anyhow::Error),
}

impl Planes {
    async fn start(
        data_dir: &DataDir,
        permits: Permits,
        access: Access,
    ) -> Result<Self, anyhow::Error> {
        let session_keys = SessionKeys::load_or_create(&data_dir.file("session.key"))?;
        let checks = Registry::new(Role::Desktop);
        let control = ControlPlane::open(gateway_control_plane::Options {
            database: data_dir.file("gateway.db"),
            check_plugins: Arc::new(move |plugins| checks.check(plugins)),
        })
        .await?;
        let (incoming, channel) = pipe::pipe();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (serving, stopping) = (control.clone(), stop.clone());
        drop(tasks.spawn(async move {
            if let Err(error) = serving.serve(incoming, stopping).await {
                error!(%error, "the control plane ended");
            }
        }));
        let options = gateway_data_plane::Options {
            replica: "desktop".to_owned(),
            permits,
            session_keys,
            access,
            limits: Limits::default(),
        };
        Ok(Self {
            control,
            data: DataPlane::start(options, channel),
            stop,
            tasks,
        })
    }

    /// Applies a document and waits until it is in force, or refused.
    async fn apply(&self, document: Document) -> Result<Revision, Refusal> {
        let failed = |error: anyhow::Error| Refusal::Failed(error);
        let tenant = document.config.tenant.clone();
        let change = Change {
            config: document.config.clone(),
            submitted: document.text.clone(),
            author: "desktop".to_owned(),
            reason: "the configuration file".to_owned(),
        };
        let applied = self
            .control
            .apply(change)
            .await
            .map_err(|error| match error {
                ApplyError::Invalid(violations) => Refusal::Invalid(document.locate(violations)),
                error => failed(error.into()),
            })?;
        let deadline = Deadline::after(APPLY_PATIENCE);
        let verdict = self
            .control
            .verdict(&tenant, applied.revision, deadline)
            .await;
        match verdict.map_err(|error| failed(error.into()))? {
            Verdict::InForce => Ok(applied.revision),
            Verdict::Refused(violations) => Err(Refusal::Invalid(document.locate(violations))),
            Verdict::Superseded => Err(failed(anyhow!("another configuration came first"))),
        }
    }

    /// Puts an edit of the file in force. One that cannot be leaves everything as it is.
    async fn take_edit(&self, file: &ConfigFile) {
        let refusal = match file.read() {
            Ok(document) => match self.apply(document).await {
                Ok(_) => return,
                Err(refusal) => refusal,
            },
            Err(problems) => Refusal::Invalid(problems),
        };
        match refusal {
            Refusal::Invalid(problems) => {
                for problem in problems {
                    error!("configuration refused: {problem}");
                }
            }
            Refusal::Failed(error) => error!("configuration refused: {error:#}"),
        }
        info!("the last good configuration stays in force");
    }

    async fn shut_down(&self) {
        self.data.shut_down(DRAIN).await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.control.close().await;
        info!("stopped");
    }
}

/// What a configuration may ask for on a desktop: everything that its user may do.
pub(crate) fn permits() -> Result<Permits, anyhow::Error> {
    let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
    Ok(Permits {
        registry: Registry::new(Role::Desktop),
        secrets: SecretResolver::desktop(),
        connector,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
    })
}

/// On the desktop every caller is its user, so nobody else may reach it.
async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    if !address.ip().is_loopback() {
        return Err(Failure::invalid(format!(
            "{flag} {address}: this gateway asks nobody who they are, so it listens on loopback addresses only, such as 127.0.0.1:{}",
            address.port()
        )));
    }
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

fn default_config() -> PathBuf {
    ConfigFile::default_path(folder("XDG_CONFIG_HOME", ".config"))
}

fn default_data_dir() -> Result<PathBuf, Failure> {
    let folder = folder("XDG_DATA_HOME", ".local/share").ok_or_else(|| {
        Failure::invalid("there is no home folder to keep data in: use --data-dir")
    })?;
    Ok(folder.join("mcp-gateway"))
}

/// A folder of the XDG base directory specification.
fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = &'static str>, anyhow::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = &'static str>, anyhow::Error> {
    Ok(async {
        // Where Ctrl-C cannot be listened for, the process ends by other means.
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    })
}
