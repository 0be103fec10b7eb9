//! `mcp-gateway doctor`: says what is wrong, and which command mends it.

mod configuration;
mod credentials;
mod data;
mod finding;
mod node;
mod permissions;
mod ports;
mod programs;
mod servers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use gateway_core::config::TimeSpan;
use gateway_data_plane::Permits;

use crate::config_file::{ConfigFile, Document};
use crate::data_dir::{DataDir, DataDirArgs};
use crate::desktop::permits;
use crate::exit::Failure;
use crate::output::OutputArgs;
use crate::signals::StopSignals;
use finding::Finding;

/// The flags of `doctor`: those by which `desktop` would be started, and how to look.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The configuration file. Left out: ./gateway.yaml if it is there, else
    /// mcp-gateway/gateway.yaml in the user's configuration folder.
    #[arg(long, env = "MCP_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    data_dir: DataDirArgs,

    /// Where MCP clients are to connect.
    #[arg(
        long,
        env = "MCP_GATEWAY_LISTEN",
        default_value = "127.0.0.1:8811",
        value_name = "ADDR"
    )]
    listen: SocketAddr,

    /// Where the operations endpoints are to answer.
    #[arg(
        long,
        env = "MCP_GATEWAY_OPS_LISTEN",
        default_value = "127.0.0.1:8813",
        value_name = "ADDR"
    )]
    ops_listen: SocketAddr,

    /// Starts and contacts no server.
    #[arg(long)]
    offline: bool,

    /// How long each server may take to start and to introduce itself.
    #[arg(long, default_value = "30s", value_name = "TIME")]
    timeout: TimeSpan,

    #[command(flatten)]
    output: OutputArgs,
}

/// What is looked at, as `desktop` would find it.
struct Patient {
    /// The flags that name file and data directory, as they were given.
    config_flag: String,
    data_dir_flag: String,
    file: ConfigFile,
    data_dir: PathBuf,
    permits: Permits,
    /// The process of the gateway that has the data directory.
    holder: Option<String>,
    listen: SocketAddr,
    ops_listen: SocketAddr,
    offline: bool,
    timeout: Duration,
}

/// A patient whose configuration file can be read.
#[derive(Clone, Copy)]
struct Readable<'a> {
    patient: &'a Patient,
    document: &'a Document,
}

/// Looks at everything. What is wrong is the result, on standard output; that something is, the
/// exit code.
pub(crate) fn run(args: DoctorArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let done = runtime.block_on(examine(args));
    // A keychain that answers nothing must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

async fn examine(args: DoctorArgs) -> Result<(), Failure> {
    // Servers that are started are in process groups of their own, where Ctrl-C reaches none.
    let mut signals = StopSignals::listen()?;
    let output = args.output;
    let patient = Patient::of(args)?;
    let findings = tokio::select! {
        findings = Box::pin(patient.findings()) => findings,
        signal = signals.next() => return Err(anyhow!("ended by {signal}").into()),
    };
    let records: Vec<_> = findings.iter().map(Finding::record).collect();
    output.print_or(|| finding::report(&findings), &records)?;
    match findings.iter().filter(|f| f.is_trouble()).count() {
        0 => Ok(()),
        1 => Err(anyhow!("one thing is wrong").into()),
        many => Err(anyhow!("{many} things are wrong").into()),
    }
}

impl Patient {
    fn of(args: DoctorArgs) -> Result<Self, Failure> {
        let DoctorArgs {
            config,
            data_dir,
            listen,
            ops_listen,
            offline,
            timeout,
            output: _,
        } = args;
        let given = |flag: &str, path: Option<&Path>| {
            path.map_or_else(String::new, |path| {
                format!(" {flag} {}", finding::quoted(path))
            })
        };
        let config_flag = given("--config", config.as_deref());
        let data_dir_flag = given("--data-dir", data_dir.named());
        let data_dir = data_dir.path()?;
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        Ok(Self {
            config_flag,
            data_dir_flag,
            file: ConfigFile::new(config.unwrap_or_else(ConfigFile::default_path)),
            permits: permits(listen.ip().is_loopback(), &data_dir)?,
            holder: DataDir::holder(&data_dir),
            data_dir,
            listen,
            ops_listen,
            offline,
            timeout: timeout.as_duration(),
        })
    }

    /// The flags with which another command is about the same file and data directory.
    fn flags(&self) -> String {
        format!("{}{}", self.config_flag, self.data_dir_flag)
    }

    async fn findings(&self) -> Vec<Finding> {
        let (document, mut findings) = configuration::look(self);
        findings.extend(data::look(self));
        findings.extend(ports::look(self).await);
        let Some(document) = &document else {
            return findings;
        };
        let readable = Readable {
            patient: self,
            document,
        };
        findings.extend(data::look_at_audit(readable));
        findings.extend(permissions::look(readable));
        let storage = credentials::look(readable).await;
        let in_order = !storage.iter().any(Finding::is_trouble);
        findings.extend(storage);
        let (missing, programs) = programs::look(readable);
        findings.extend(programs);
        findings.extend(node::look(readable, &missing).await);
        if !self.offline {
            findings.extend(servers::look(readable, &missing, in_order).await);
        }
        findings
    }
}

impl Readable<'_> {
    /// A field of the configuration, as it is said where something is.
    fn place(self, field: &str) -> String {
        self.document.place(field).to_string()
    }

    /// The command with which a field is edited.
    fn edit(self, field: &str) -> String {
        finding::edit(self.patient.file.path(), self.document.place(field).line())
    }
}
