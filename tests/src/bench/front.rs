//! The processes of a benchmark: the server, and a gateway set up for each row.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::load::{self, Target};
use super::row::{Row, USER};
use super::site::TOKEN;
use crate::gateway::{Builder, Gateway};
use crate::log::Log;
use crate::session::Era;
use crate::wait;
use crate::workspace::Workspace;

/// Ends when dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    _child: Child,
}

impl Server {
    /// This program once more, as the server.
    pub(super) async fn start(listen: SocketAddr, streams: bool) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve", &listen.to_string()]);
        if streams {
            command.arg("--stream");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the server")?;
        let stderr = child.stderr.take().context("it has no standard error")?;
        let line = Log::collect(stderr).wait(&["listening on "]).await?;
        let (_, address) = line.split_once("listening on ").unwrap_or_default();
        Ok(Self {
            address: address.trim().parse().context("reading its address")?,
            _child: child,
        })
    }
}

/// Starts the gateway for a row, in front of the server.
pub(super) async fn start_gateway(
    binary: &Path,
    row: Row,
    era: Era,
    server: SocketAddr,
) -> anyhow::Result<Gateway> {
    prepare_gateway(binary, row, era, server)
        .await?
        .start()
        .await
}

/// The same gateway before its start.
pub(super) async fn prepare_gateway(
    binary: &Path,
    row: Row,
    era: Era,
    server: SocketAddr,
) -> anyhow::Result<Builder> {
    let config = row.configuration(era, server).to_string();
    let workspace = Arc::new(Workspace::new(&config)?);
    if row == Row::Guarded {
        store_credential(binary, &workspace).await?;
    }
    let binary = binary.to_str().context("the path is not UTF-8")?;
    let gateway = Gateway::builder(binary)
        .workspace(&workspace)
        .discard_results();
    Ok(gateway)
}

/// How a client asks this gateway.
pub(super) fn gateway_target(gateway: &Gateway, row: Row) -> Target {
    Target {
        name: "gateway".to_owned(),
        address: gateway.address(),
        path: "/mcp".to_owned(),
        tools: row.tools(),
        key: row.key(),
        process: Some(gateway.process_id()),
    }
}

/// Waits until it answers as it should; if it does not, why.
pub(super) async fn wait_until_ready(target: &Target, row: Row, era: Era) -> anyhow::Result<()> {
    let work = row.work();
    let waited = wait::until("the gateway to answer", || async {
        load::open(target, era, &work, 1).await.is_ok()
    });
    if let Err(error) = waited.await {
        load::open(target, era, &work, 1).await.context(error)?;
    }
    Ok(())
}

async fn store_credential(binary: &Path, workspace: &Workspace) -> anyhow::Result<()> {
    let mut child = Command::new(binary)
        .args(["credential", "set", "one", "--user", USER, "--config"])
        .arg(workspace.config())
        .arg("--data-dir")
        .arg(workspace.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let mut stdin = child.stdin.take().context("it has no standard input")?;
    stdin.write_all(TOKEN.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "credential set failed: {said}");
    Ok(())
}
