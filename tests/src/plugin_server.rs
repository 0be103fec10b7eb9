//! A plugin that `mcp-gateway plugin serve` serves, in a process of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::log::Log;
use crate::secrets;
use crate::wait::PATIENCE;

/// Ended when it is dropped.
#[derive(Debug)]
pub struct PluginServer {
    child: Child,
    id: u32,
    /// Where it says that it listens.
    address: String,
    stopped: bool,
    pub stderr: Log,
}

impl PluginServer {
    /// Starts an implementation, whose document is `served`, and waits until it listens. Files are made in `folder`.
    pub async fn start(
        binary: &str,
        folder: &Path,
        (implementation, served): (&str, &Value),
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let arguments = arguments(folder, implementation, served)?;
        let mut child = Command::new(binary)
            .args(arguments)
            .args(flags)
            // All that it can be made to say is searched for secrets.
            .args(["--log", "trace"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {binary}"))?;
        let id = child.id().context("the plugin ended at once")?;
        let stderr = Log::collect(child.stderr.take().context("no standard error")?);
        let mut server = Self {
            child,
            id,
            address: String::new(),
            stopped: false,
            stderr,
        };
        let line = server.stderr.wait(&["` on "]).await?;
        let (_, address) = line
            .rsplit_once(" on ")
            .context("the log says no address")?;
        address.trim().clone_into(&mut server.address);
        Ok(server)
    }

    /// `http://…/mcp`, or `unix://…`.
    pub fn url(&self) -> &str {
        &self.address
    }

    pub fn process_id(&self) -> u32 {
        self.id
    }

    /// Asks it to end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.context("the plugin did not end")??;
        self.stopped = true;
        anyhow::ensure!(status.success(), "the plugin ended with {status}");
        Ok(())
    }

    /// Ends it without notice.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        self.stopped = true;
        Ok(())
    }

    /// Lets it do nothing until it is told to go on, as a machine that hangs.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        kill_process(id.context("the plugin has no process id")?, signal)?;
        Ok(())
    }
}

impl Drop for PluginServer {
    fn drop(&mut self) {
        let log = self.stderr.text();
        if !self.stopped && std::thread::panicking() {
            writeln!(
                std::io::stderr(),
                "the plugin of the failed test said: {log}"
            )
            .ok();
        }
        secrets::search("a plugin's log", log.as_bytes());
    }
}

/// What `mcp-gateway` is started with to serve an implementation whose document is `served`.
pub fn arguments(
    folder: &Path,
    implementation: &str,
    served: &Value,
) -> anyhow::Result<Vec<PathBuf>> {
    let file = folder.join(format!("{implementation}.yaml"));
    std::fs::write(&file, serde_json::json!({ "plugins": served }).to_string())?;
    let parts = ["plugin", "serve", implementation, "--file"].map(PathBuf::from);
    let mut arguments = parts.to_vec();
    arguments.push(file);
    arguments.push("--data-dir".into());
    arguments.push(folder.join("plugin-data"));
    Ok(arguments)
}
