//! The gateway as its users run it: `mcp-gateway desktop` in a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::log::Log;
use crate::processes::{self, Process};
use crate::raw::RawClient;
use crate::secrets;
use crate::session::{Era, Session};
use crate::wait::{self, PATIENCE};
use crate::workspace::Workspace;

#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    child: Child,
    id: u32,
    mark: String,
    stopped: bool,
    pub workspace: Arc<Workspace>,
    /// Results only: the audit sink's lines.
    pub stdout: Log,
    pub stderr: Log,
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub took: Duration,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

#[derive(Debug)]
pub struct Builder {
    /// The program that runs the gateway, with its arguments, if it is not to run by itself.
    runner: Vec<String>,
    binary: String,
    config: String,
    workspace: Option<Arc<Workspace>>,
    listen: SocketAddr,
    variables: Vec<(String, String)>,
    results: Stdio,
}

impl Gateway {
    /// `binary` is `env!("CARGO_BIN_EXE_mcp-gateway")`, which only the test itself can say.
    pub fn builder(binary: &str) -> Builder {
        Builder {
            runner: Vec::new(),
            binary: binary.to_owned(),
            config: String::new(),
            workspace: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            variables: Vec::new(),
            results: Stdio::piped(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Replaces the configuration file; when it takes effect is for the caller to wait for.
    pub fn edit_config(&self, config: &str) -> anyhow::Result<()> {
        self.workspace.replace_config(config)
    }

    /// Replaces the configuration file and waits until the new one is in force.
    pub async fn apply_config(&self, config: &str) -> anyhow::Result<u64> {
        let mark = self.stderr.mark();
        self.edit_config(config)?;
        let line = self
            .stderr
            .wait_after(mark, &["configuration in force", "revision="])
            .await?;
        revision(&line).with_context(|| format!("reading the revision of {line:?}"))
    }

    /// A line of the log that contains all the parts.
    pub async fn wait_for_log(&self, parts: &[&str]) -> anyhow::Result<String> {
        self.stderr.wait(parts).await
    }

    /// Where the operations endpoints answer; `path` begins with a slash.
    pub async fn operations_url(&self, path: &str) -> anyhow::Result<String> {
        let line = self.stderr.wait(&["operations on http://"]).await?;
        let (_, address) = line
            .split_once("operations on ")
            .context("the log says no address")?;
        Ok(format!("{}{path}", address.trim()))
    }

    /// The audit events so far; a line that is not JSON is a failure, since results must stay readable for programs.
    pub fn audit(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.stdout.lines();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).with_context(|| format!("reading {line:?}")))
            .collect()
    }

    /// The first audit event that fits.
    pub async fn wait_for_audit(&self, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        wait::until_some("an audit event", || {
            let found = self
                .audit()
                .ok()
                .and_then(|events| events.into_iter().find(&fits));
            async move { found }
        })
        .await
        .with_context(|| format!("the events are {}", self.stdout.text()))
    }

    /// Waits until an endpoint lists a tool, asking as a modern client.
    pub async fn wait_for_tool(&self, path: &str, tool: &str) -> anyhow::Result<()> {
        let session = Session::open(Era::Modern, &self.url(path)).await?;
        session.wait_for_tool(tool).await
    }

    /// The servers that it runs as child processes, and what they started in turn.
    pub fn children(&self) -> Vec<Process> {
        processes::descendants(self.id)
    }

    pub fn process_id(&self) -> u32 {
        self.id
    }

    pub fn zombies(&self) -> usize {
        processes::zombies(self.id)
    }

    /// Asks it to end, as a service manager does, and makes sure that nothing which it started outlives it.
    pub async fn stop(mut self) -> anyhow::Result<Exit> {
        self.look_at_operations().await;
        self.signal(Signal::TERM)?;
        self.wait_for_end().await
    }

    /// Has the client search for secrets in what operators may see; a gateway that says nothing, shows none.
    async fn look_at_operations(&self) {
        let lines = self.stderr.lines();
        let address = lines
            .iter()
            .find_map(|line| line.split_once("operations on "));
        let Some((_, address)) = address else { return };
        for path in ["/metrics", "/servers", "/config"] {
            let url = format!("{}{path}", address.trim());
            drop(RawClient::default().get(&url).await);
        }
    }

    /// Asks it to end, and once more while it is at it.
    pub async fn stop_at_once(mut self) -> anyhow::Result<Exit> {
        self.signal(Signal::TERM)?;
        self.stderr.wait(&["stopping on SIGTERM"]).await?;
        self.signal(Signal::TERM)?;
        self.wait_for_end().await
    }

    /// Ends it without notice.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        self.stopped = true;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        kill_process(id.context("the gateway has no process id")?, signal)?;
        Ok(())
    }

    async fn wait_for_end(&mut self) -> anyhow::Result<Exit> {
        let children = self.children();
        let began = Instant::now();
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("the gateway did not end within {PATIENCE:?}"))??;
        let took = began.elapsed();
        // Its own streams end with it; a child's that was left behind would keep them open.
        wait::until(
            &format!("the gateway's children to end: {children:?}"),
            || async {
                !children.iter().any(processes::is_alive)
                    && processes::marked(&self.mark).is_empty()
            },
        )
        .await?;
        self.stdout.ended().await;
        self.stderr.ended().await;
        self.stopped = true;
        Ok(Exit {
            code: status.code(),
            took,
            stdout: self.stdout.lines(),
            stderr: self.stderr.lines(),
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for process in processes::marked(&self.mark) {
            processes::kill(&process);
        }
        if !self.stopped {
            // Only a test that failed gets here; its report is nothing without the gateway's own words.
            let log = self.stderr.text();
            writeln!(
                std::io::stderr(),
                "the gateway of the failed test said: {log}"
            )
            .ok();
        }
        for (log, place) in [(&self.stdout, "output"), (&self.stderr, "error")] {
            let place = format!("the gateway's standard {place}");
            secrets::search(&place, log.text().as_bytes());
        }
    }
}

impl Builder {
    pub fn config(mut self, config: impl Into<String>) -> Self {
        self.config = config.into();
        self
    }

    /// Starts on what an earlier gateway left, instead of on a new workspace with the given configuration.
    pub fn workspace(mut self, workspace: &Arc<Workspace>) -> Self {
        self.workspace = Some(Arc::clone(workspace));
        self
    }

    /// Runs it under another program, which is given the gateway's path and arguments behind its own.
    pub fn under(mut self, runner: &[&str]) -> Self {
        self.runner = runner.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps nothing of what it writes to standard output, for many calls.
    pub fn discard_results(mut self) -> Self {
        self.results = Stdio::null();
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> anyhow::Result<Gateway> {
        let mut gateway = self.spawn()?;
        let line = gateway.stderr.wait(&["listening on http", "/mcp"]).await?;
        gateway.address = listening_address(&line)
            .with_context(|| format!("reading the address that {line:?} says"))?;
        Ok(gateway)
    }

    /// Starts it, and waits until it has ended by itself.
    pub async fn run(self) -> anyhow::Result<Exit> {
        self.spawn()?.wait_for_end().await
    }

    fn spawn(self) -> anyhow::Result<Gateway> {
        let workspace = match self.workspace {
            Some(workspace) => workspace,
            None => Arc::new(Workspace::new(&self.config)?),
        };
        let mark = uuid::Uuid::new_v4().to_string();
        let mut parts = self.runner.iter().chain([&self.binary]);
        let program = parts.next().context("there is nothing to start")?;
        let mut child = Command::new(program)
            .args(parts)
            .arg("desktop")
            .arg("--config")
            .arg(workspace.config())
            .arg("--data-dir")
            .arg(workspace.data())
            .args([
                "--listen",
                &self.listen.to_string(),
                "--ops-listen",
                "127.0.0.1:0",
            ])
            .env(processes::MARK, &mark)
            .envs(self.variables)
            .current_dir(workspace.path())
            .stdin(Stdio::null())
            .stdout(self.results)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let stdout = child.stdout.take().map(Log::collect);
        let stderr = child.stderr.take();
        let stderr = stderr.context("the gateway has no standard error")?;
        Ok(Gateway {
            address: self.listen,
            id: child.id().context("the gateway ended at once")?,
            child,
            mark,
            stopped: false,
            workspace,
            stdout: stdout.unwrap_or_else(|| Log::collect(tokio::io::empty())),
            stderr: Log::collect(stderr),
        })
    }
}

/// Runs another command of the binary in a workspace until it has ended.
pub async fn run(binary: &str, workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<Exit> {
    run_with(binary, workspace, &[], arguments).await
}

/// The same with environment variables.
pub async fn run_with(
    binary: &str,
    workspace: &Workspace,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let command = Command::new(binary)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(workspace.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, command)
        .await
        .with_context(|| format!("{arguments:?} did not end within {PATIENCE:?}"))??;
    let lines = |bytes: &[u8]| {
        secrets::search(&format!("what {arguments:?} says"), bytes);
        String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    };
    Ok(Exit {
        code: output.status.code(),
        took: began.elapsed(),
        stdout: lines(&output.stdout),
        stderr: lines(&output.stderr),
    })
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on http")?
        .1
        .split_once("://")?
        .1
        .split_once("/mcp")?
        .0
        .parse()
        .ok()
}

fn revision(line: &str) -> Option<u64> {
    let digits: String = line
        .split_once("revision=")?
        .1
        .trim_start_matches('"')
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
