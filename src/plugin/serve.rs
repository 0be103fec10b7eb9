//! `plugin serve`: over HTTP, on a unix socket, or on standard input and output.

mod admission;
mod http;
mod operations;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use gateway_core::plugin::PluginKind;
use rmcp::ServiceExt as _;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::admission::{Admission, AdmissionArgs};
use self::http::{Door, Listening};
use super::chosen::Chosen;
use super::handler::Handler;
use crate::data_dir::{self, DataDirArgs};
use crate::exit::Failure;
use crate::kept::{self, Kept};
use crate::listen::{self, PLUGIN_PORT, loopback};
use crate::process;
use crate::signals::StopSignals;
use crate::tls::{HTTP_1, ServerTlsArgs};

/// Which plugin, and where.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The implementation, such as `api-key`; where several kinds have one of the name, with the kind before
    /// it: `authproxy-none`.
    #[arg(value_name = "IMPLEMENTATION")]
    implementation: String,

    /// A document whose `plugins:` has the implementation's settings, and the plugins that it reads.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    data_dir: DataDirArgs,

    /// Where MCP is served over HTTP, at /mcp; 127.0.0.1:8816 when left out. A loopback address, unless
    /// there is TLS.
    #[arg(
        long,
        env = "MCP_GATEWAY_LISTEN",
        conflicts_with_all = ["socket", "stdio"],
        value_name = "ADDR"
    )]
    listen: Option<SocketAddr>,

    /// Serves on a unix socket instead, which only this user can reach.
    #[cfg(unix)]
    #[arg(
        long,
        env = "MCP_GATEWAY_SOCKET",
        conflicts_with = "stdio",
        value_name = "PATH"
    )]
    socket: Option<PathBuf>,

    /// Serves on standard input and output instead, for who starts it as a command.
    #[arg(long)]
    stdio: bool,

    /// Where /healthz, /readyz and /metrics answer, a loopback address. Left out: nowhere.
    #[arg(long, env = "MCP_GATEWAY_OPS_LISTEN", value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,

    /// A further host name under which the plugin may be called; may be given several times.
    #[arg(
        long,
        env = "MCP_GATEWAY_ALLOWED_HOST",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    allowed_host: Vec<String>,

    #[command(flatten)]
    admission: AdmissionArgs,

    #[command(flatten)]
    tls: ServerTlsArgs,
}

const EXAMPLES: &str = "\
Examples:
  mcp-gateway plugin serve rules -f policy.yaml --socket /run/plugins/policy.sock
  mcp-gateway plugin serve authproxy-bearer -f plugin.yaml --bearer-file token
  mcp-gateway plugin serve credstore-keychain --stdio";

/// Kinds through which credentials pass, or that start programs: they serve nobody who has not shown who it is.
const GUARDED: [PluginKind; 4] = [
    PluginKind::AuthProvider,
    PluginKind::CredentialStorage,
    PluginKind::AuthProxy,
    PluginKind::McpProvisioner,
];

impl ServeArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        process::block_on_one_thread(self.serve())
    }

    async fn serve(self) -> Result<(), Failure> {
        // Before anything runs that would have to be ended in good order.
        let signals = StopSignals::listen()?;
        let data_dir = self.data_dir.path()?;
        data_dir::make(&data_dir)?;
        let chosen = Chosen::of(
            &self.implementation,
            self.file.as_deref(),
            &data_dir,
            self.stdio,
        )?;
        let handler = Handler::new(&chosen);
        let operations = match self.ops_listen {
            None => None,
            Some(address) => {
                listen::check_operations(address)?;
                let listener = listen::bind(address, "--ops-listen").await?;
                info!("operations on http://{}", listen::address(&listener)?);
                Some(listener)
            }
        };
        let stop = CancellationToken::new();
        let metrics = Arc::clone(&chosen.metrics);
        let operations = operations::serve(operations, metrics, stop.clone());
        if self.stdio {
            let serving = async {
                tokio::select! {
                    ended = on_standard_streams(handler) => ended,
                    () = operations => Ok(()),
                    () = stop.cancelled() => Ok(()),
                }
            };
            let ended = process::until_signal(signals, &stop, serving).await;
            chosen.close().await;
            return ended;
        }
        let tls = self.tls.read(HTTP_1, self.admission.client_ca())?;
        let mut admission = self.admission.read(tls.is_some())?;
        #[cfg(unix)]
        let socket = self.socket;
        #[cfg(not(unix))]
        let socket: Option<PathBuf> = None;
        let listening = match socket {
            #[cfg(unix)]
            Some(path) => Listening::on_socket(path)?,
            _ => {
                let address = self.listen.unwrap_or_else(|| loopback(PLUGIN_PORT));
                listen::check_plain(address, tls.is_some())?;
                check_guarded(chosen.kind, &admission)?;
                let current = tls.as_ref().map(Kept::current);
                let own = listen::own_host(address);
                let hosts = own.into_iter().chain(self.allowed_host).collect();
                Listening::on(listen::bind(address, "--listen").await?, current, hosts)
            }
        };
        info!(
            "{} `{}` on {}",
            chosen.kind,
            chosen.name,
            listening.shown()?
        );
        let followed = admission.tokens();
        let door = Door::new(handler, admission, listening.hosts(), &stop);
        let serving = async {
            tokio::select! {
                () = http::serve(listening, door, stop.clone()) => {}
                () = operations => {}
                _ = async { tokio::join!(kept::follow(tls), kept::follow(followed)) } => {}
            }
            Ok(())
        };
        let ended = process::until_signal(signals, &stop, serving).await;
        chosen.close().await;
        info!("stopped");
        ended
    }
}

async fn on_standard_streams(handler: Handler) -> Result<(), Failure> {
    let transport = (tokio::io::stdin(), tokio::io::stdout());
    let serving = handler.serve(transport).await;
    let serving = serving.context("no client has introduced itself")?;
    serving.waiting().await.context("serving has ended")?;
    Ok(())
}

fn check_guarded(kind: PluginKind, admission: &Admission) -> Result<(), Failure> {
    if !GUARDED.contains(&kind) || admission.asks() {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "a {kind} deals with credentials, so over HTTP it serves only who shows a token (--bearer-file FILE) or a certificate (--tls-client-ca FILE); without either, serve it on a socket (--socket PATH) or with --stdio"
    )))
}
