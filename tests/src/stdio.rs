//! `mcp-gateway desktop --stdio` as the client has it that starts it: one message on each line.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

use crate::gateway::Exit;
use crate::log::Log;
use crate::processes;
use crate::wait::{self, PATIENCE};
use crate::workspace::Workspace;

/// The command that a client runs: listeners on free ports, so that tests run beside each other.
pub fn command(binary: &str, workspace: &Workspace, path: &str) -> Vec<String> {
    let (config, data) = (workspace.config(), workspace.data());
    let (config, data) = (config.to_string_lossy(), data.to_string_lossy());
    let words = [
        binary,
        "desktop",
        "--stdio",
        "--config",
        &config,
        "--data-dir",
        &data,
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--endpoint",
        path,
    ];
    words.map(str::to_owned).to_vec()
}

/// One process and its streams. Ended when dropped, with everything that it started.
#[derive(Debug)]
pub struct StdioGateway {
    child: Child,
    input: Option<ChildStdin>,
    mark: String,
    pub stdout: Log,
    pub stderr: Log,
}

impl StdioGateway {
    pub fn start(binary: &str, workspace: &Arc<Workspace>) -> anyhow::Result<Self> {
        Self::run(&command(binary, workspace, "/mcp"), &[])
    }

    /// Runs a command with further variables.
    pub fn run(words: &[String], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (program, arguments) = words.split_first().context("there is no command")?;
        let mark = uuid::Uuid::new_v4().to_string();
        let mut child = Command::new(program)
            .args(arguments)
            .env(processes::MARK, &mark)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let stderr = child.stderr.take().context("it has no standard error")?;
        Ok(Self {
            input: child.stdin.take(),
            child,
            mark,
            stdout: Log::collect(stdout),
            stderr: Log::collect(stderr),
        })
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the input is closed")?;
        input.write_all(bytes).await?;
        Ok(input.flush().await?)
    }

    pub async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.write(format!("{message}\n").as_bytes()).await
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, id: u64, method: &str, params: Value) -> anyhow::Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request).await?;
        self.answer(&json!(id)).await
    }

    /// Opens a legacy session that declares nothing.
    pub async fn open(&mut self) -> anyhow::Result<Value> {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "gateway-tests", "version": "1" },
        });
        let opened = self.ask(0, "initialize", params).await?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await?;
        Ok(opened)
    }

    /// Asks as a legacy client until a tool is listed.
    pub async fn wait_for_tool(&mut self, tool: &str) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        for id in 1_000_000.. {
            let listed = self.ask(id, "tools/list", json!({})).await?;
            let tools = listed["result"]["tools"].as_array();
            if tools.is_some_and(|tools| tools.iter().any(|listed| listed["name"] == tool)) {
                break;
            }
            anyhow::ensure!(Instant::now() < until, "{tool} is not listed: {listed}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Everything that it has said, which must be nothing but messages.
    pub fn messages(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.stdout.lines();
        let messages = lines.iter().map(|line| {
            let message: Value =
                serde_json::from_str(line).with_context(|| format!("reading {line:?}"))?;
            anyhow::ensure!(message["jsonrpc"] == "2.0", "{line:?} is no message");
            Ok(message)
        });
        messages.collect()
    }

    /// The answer to the request with this id.
    pub async fn answer(&self, id: &Value) -> anyhow::Result<Value> {
        self.wait_for(|message| message.get("id") == Some(id) && message.get("method").is_none())
            .await
    }

    /// The first message that fits.
    pub async fn wait_for(&self, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let found = wait::until_some("a message", || {
            let found = self
                .messages()
                .ok()
                .and_then(|all| all.into_iter().find(&fits));
            async move { found }
        });
        found.await.with_context(|| {
            let (said, log) = (self.stdout.text(), self.stderr.text());
            format!("it said {said} and logged {log}")
        })
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    pub fn terminate(&self) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw).context("it has ended")?;
        Ok(kill_process(id, Signal::TERM)?)
    }

    /// Ends it without notice.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it has ended, and everything that it started.
    pub async fn end(mut self) -> anyhow::Result<Exit> {
        let began = Instant::now();
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("it did not end: {}", self.stderr.text()))??;
        let took = began.elapsed();
        wait::until("its children to end", || async {
            processes::marked(&self.mark).is_empty()
        })
        .await?;
        self.stdout.ended().await;
        self.stderr.ended().await;
        self.messages()?;
        Ok(Exit {
            code: status.code(),
            took,
            stdout: self.stdout.lines(),
            stderr: self.stderr.lines(),
        })
    }
}

impl Drop for StdioGateway {
    fn drop(&mut self) {
        for process in processes::marked(&self.mark) {
            processes::kill(&process);
        }
    }
}
