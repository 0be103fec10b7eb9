//! The gateway as an administrator runs it: a control plane and data planes, each a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::fixture::HttpFixture;
use crate::gateway::{self, Exit};
use crate::log::Log;
use crate::raw::{Answer, RawClient};
use crate::secrets::{self, ADA_HASH, ADA_KEY, secret};
use crate::servers::remote;
use crate::session::{Era, Session};
use crate::wait::{self, PATIENCE};
use crate::workspace::Workspace;

/// One process that serves. What it writes is searched at its end, for secrets and for panics.
#[derive(Debug)]
pub struct Plane {
    child: Child,
    role: &'static str,
    number: u32,
    stopped: bool,
    stdout: Log,
    stderr: Log,
    _workspace: Arc<Workspace>,
}

/// The variable with the folder that logs of planes are kept in, of tests that pass too.
const LOGS: &str = "MCP_GATEWAY_TEST_LOGS";

/// The database of a workspace.
const SQLITE: &str = "sqlite://data/gateway.db";

/// What a data plane needs to reach servers on this machine.
pub const LOOPBACK: [&str; 2] = ["--allow-network", "127.0.0.0/8"];

/// A control plane with an address of its own.
#[derive(Debug)]
pub struct ControlPlane {
    pub process: Plane,
    address: SocketAddr,
    operations: SocketAddr,
    database: String,
    binary: String,
    workspace: Arc<Workspace>,
    /// The file with whom its clients trust, where it speaks TLS.
    ca: Option<String>,
}

/// A data plane that may have joined.
#[derive(Debug)]
pub struct DataPlane {
    pub process: Plane,
    mcp: SocketAddr,
    operations: SocketAddr,
}

/// A tenant that lets `ada` in, and lets her call `echo` alone.
pub fn acme(server: &HttpFixture) -> Value {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let rules = json!([{ "effect": "allow", "users": ["ada@example.com"], "names": ["echo"] }]);
    json!({
        "tenant": "acme",
        "plugins": {
            "auth_provider": { "provider": "in-memory", "implementation": "api-key",
                               "settings": { "keys": keys } },
            "policy_evaluator": { "provider": "in-memory", "implementation": "rules",
                                  "settings": { "rules": rules } },
        },
        "servers": { "one": remote(&server.url()) },
    })
}

/// The token of the administrator, and that of data planes.
pub fn admin_token() -> String {
    secret("administrator-token")
}

pub fn join_token() -> String {
    secret("join-token")
}

impl Plane {
    fn start(
        role: &'static str,
        binary: &str,
        workspace: &Arc<Workspace>,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .arg(role)
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(workspace.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {role}"))?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let stderr = child.stderr.take().context("it has no standard error")?;
        Ok(Self {
            number: child.id().unwrap_or_default(),
            child,
            role,
            stopped: false,
            stdout: Log::collect(stdout),
            stderr: Log::collect(stderr),
            _workspace: Arc::clone(workspace),
        })
    }

    /// `None` once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// A line of the log that contains all the parts.
    pub async fn wait_for_log(&self, parts: &[&str]) -> anyhow::Result<String> {
        self.stderr.wait(parts).await
    }

    /// How many lines the log has now.
    pub fn log_mark(&self) -> usize {
        self.stderr.mark()
    }

    /// A line behind the first `mark` ones.
    pub async fn wait_for_log_after(&self, mark: usize, parts: &[&str]) -> anyhow::Result<String> {
        self.stderr.wait_after(mark, parts).await
    }

    /// A line of the standard output, which has the audit log, that contains all the parts.
    pub async fn wait_for_output(&self, parts: &[&str]) -> anyhow::Result<String> {
        self.stdout.wait(parts).await
    }

    /// How many lines of the log contain the part so far.
    pub fn count_in_log(&self, part: &str) -> usize {
        let lines = self.stderr.lines();
        lines.iter().filter(|line| line.contains(part)).count()
    }

    /// What it wrote to its standard output, which has the audit log, and to the log so far.
    pub fn written(&self) -> [Vec<String>; 2] {
        [self.stdout.lines(), self.stderr.lines()]
    }

    /// How many lines of its standard output contain the part so far.
    pub fn count_in_output(&self, part: &str) -> usize {
        let lines = self.stdout.lines();
        lines.iter().filter(|line| line.contains(part)).count()
    }

    /// Where it says that it listens, behind `before` and the scheme.
    pub async fn address(&self, before: &str) -> anyhow::Result<SocketAddr> {
        let line = self.stderr.wait(&[before]).await?;
        let url = line.split_once(before).map(|(_, url)| url.trim());
        let address = url.and_then(|url| url.split_once("://")?.1.split('/').next()?.parse().ok());
        address.with_context(|| format!("reading the address that {line:?} says"))
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Has it do nothing at all until it is thawed.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw).context("it has ended already")?;
        kill_process(id, signal)?;
        Ok(())
    }

    /// Asks it to end, and gives all that it has written to its standard output.
    pub async fn stop_and_read(self) -> anyhow::Result<Vec<String>> {
        let stdout = self.stdout.clone();
        self.stop().await?;
        stdout.ended().await;
        Ok(stdout.lines())
    }

    /// The same, and waits for it; it must end with success.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.terminate()?;
        self.ended().await
    }

    /// Waits until it has ended, with success.
    pub async fn ended(mut self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not end", self.role))??;
        anyhow::ensure!(status.success(), "{} ended with {status}", self.role);
        self.stopped = true;
        Ok(())
    }

    /// Ends it without notice.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        self.stopped = true;
        Ok(())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if !self.stopped {
            // Only a test that failed gets here.
            let log = self.stderr.text();
            writeln!(std::io::stderr(), "the {} said: {log}", self.role).ok();
        }
        if let Ok(folder) = std::env::var(LOGS) {
            let path = format!("{folder}/{}-{}.log", self.role, self.number);
            std::fs::write(path, self.stderr.text()).ok();
        }
        for (log, place) in [(&self.stdout, "output"), (&self.stderr, "error")] {
            let place = format!("standard {place} of the {}", self.role);
            secrets::search(&place, log.text().as_bytes());
        }
        let panicked = self
            .stderr
            .lines()
            .into_iter()
            .find(|line| line.contains("panicked at"));
        if !std::thread::panicking() {
            assert!(panicked.is_none(), "the {}: {panicked:?}", self.role);
        }
    }
}

impl ControlPlane {
    /// Starts one on a workspace, whose SQLite database may be there already.
    pub async fn start(binary: &str, workspace: &Arc<Workspace>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(workspace.data())?;
        Self::start_on(binary, workspace, SQLITE).await
    }

    /// The same on another database.
    pub async fn start_on(
        binary: &str,
        workspace: &Arc<Workspace>,
        database: &str,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(binary, workspace, database, address).await
    }

    async fn start_at(
        binary: &str,
        workspace: &Arc<Workspace>,
        database: &str,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        Self::start_with(binary, workspace, database, address, &[]).await
    }

    /// One that speaks TLS, by the files of [`Signer::server`](crate::tls::Signer::server) and further
    /// flags.
    pub async fn start_tls(
        binary: &str,
        workspace: &Arc<Workspace>,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_tls_at(binary, workspace, address, flags).await
    }

    /// The same on an address.
    pub async fn start_tls_at(
        binary: &str,
        workspace: &Arc<Workspace>,
        address: SocketAddr,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let tls = ["--tls-cert", "server.pem", "--tls-key", "server.key"];
        let flags = [&tls, flags].concat();
        std::fs::create_dir_all(workspace.data())?;
        let mut started = Self::start_with(binary, workspace, SQLITE, address, &flags).await?;
        let ca = workspace.path().join("ca.pem");
        started.ca = Some(ca.display().to_string());
        Ok(started)
    }

    async fn start_with(
        binary: &str,
        workspace: &Arc<Workspace>,
        database: &str,
        address: SocketAddr,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let listen = address.to_string();
        let mut arguments = vec!["--database", database, "--listen", &listen];
        arguments.extend(["--ops-listen", "127.0.0.1:0"]);
        arguments.extend(flags);
        let (admin, join) = (admin_token(), join_token());
        let tokens = [
            ("MCP_GATEWAY_ADMIN_TOKEN", admin.as_str()),
            ("MCP_GATEWAY_JOIN_TOKEN", &join),
        ];
        let process = Plane::start("control-plane", binary, workspace, &arguments, &tokens)?;
        let operations = process.address("operations on http").await?;
        let address = process.address("control plane on http").await?;
        Ok(Self {
            process,
            address,
            operations,
            database: database.to_owned(),
            binary: binary.to_owned(),
            workspace: Arc::clone(workspace),
            ca: None,
        })
    }

    pub fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its operations listener answers; `path` begins with a slash.
    pub async fn operations(&self, path: &str) -> anyhow::Result<Answer> {
        let url = format!("http://{}{path}", self.operations);
        RawClient::default().get(&url).await
    }

    /// Runs a command as its administrator does.
    pub async fn admin(&self, arguments: &[&str]) -> anyhow::Result<Exit> {
        self.admin_with(&admin_token(), arguments).await
    }

    /// The same with another token.
    pub async fn admin_with(&self, token: &str, arguments: &[&str]) -> anyhow::Result<Exit> {
        let url = self.url();
        let mut variables = vec![
            ("MCP_GATEWAY_TOKEN", token),
            ("MCP_GATEWAY_CONTROL_PLANE", &url),
        ];
        if let Some(ca) = &self.ca {
            variables.push(("MCP_GATEWAY_TLS_CA", ca));
        }
        gateway::run_with(&self.binary, &self.workspace, &variables, arguments).await
    }

    /// Writes a document into the workspace, and applies it.
    pub async fn apply(&self, document: &str) -> anyhow::Result<Exit> {
        std::fs::write(self.path("tenants.yaml"), document)?;
        self.admin(&["apply", "-f", "tenants.yaml"]).await
    }

    /// A file of the workspace, in which its administrator works.
    pub fn path(&self, name: &str) -> PathBuf {
        self.workspace.path().join(name)
    }

    /// Ends it without notice, and says how to start it where it was.
    pub async fn kill(self) -> anyhow::Result<Killed> {
        let Self {
            process,
            address,
            operations: _,
            database,
            binary,
            workspace,
            ca: _,
        } = self;
        process.kill().await?;
        Ok(Killed {
            address,
            database,
            binary,
            workspace,
        })
    }
}

/// A control plane that was killed.
#[derive(Debug)]
pub struct Killed {
    address: SocketAddr,
    database: String,
    binary: String,
    workspace: Arc<Workspace>,
}

impl Killed {
    /// Where it was.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn start(self) -> anyhow::Result<ControlPlane> {
        let Self {
            address,
            database,
            binary,
            workspace,
        } = self;
        ControlPlane::start_at(&binary, &workspace, &database, address).await
    }
}

impl DataPlane {
    /// Starts one that joins with the right token, and may reach servers on this machine.
    pub async fn start(binary: &str, control: &ControlPlane) -> anyhow::Result<Self> {
        Self::start_with(binary, control, &join_token(), &[]).await
    }

    /// The same with another token, or an empty one for none, and further flags.
    pub async fn start_with(
        binary: &str,
        control: &ControlPlane,
        token: &str,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let mut variables = Vec::new();
        if !token.is_empty() {
            variables.push(("MCP_GATEWAY_JOIN_TOKEN", token));
        }
        if let Some(ca) = &control.ca {
            variables.push(("MCP_GATEWAY_TLS_CA", ca));
        }
        let flags = [&LOOPBACK, flags].concat();
        let workspace = &control.workspace;
        Self::start_at(binary, workspace, &[control.url()], &variables, &flags).await
    }

    /// One that follows the control planes at these URLs, whether they are there or not, and may reach what the flags
    /// say.
    pub async fn start_at(
        binary: &str,
        workspace: &Arc<Workspace>,
        control_planes: &[String],
        variables: &[(&str, &str)],
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let mut arguments = Vec::new();
        for url in control_planes {
            arguments.extend(["--control-plane", url]);
        }
        arguments.extend(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        arguments.extend(flags);
        let process = Plane::start("data-plane", binary, workspace, &arguments, variables)?;
        Ok(Self {
            mcp: process.address("listening on http").await?,
            operations: process.address("operations on http").await?,
            process,
        })
    }

    /// Where MCP clients are answered; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.mcp)
    }

    /// A session of `ada` with the tenant `acme`.
    pub async fn ada(&self, era: Era) -> anyhow::Result<Session> {
        let url = self.url("/t/acme/mcp");
        let session = Session::open_with(era, &url, &[("x-api-key", ADA_KEY)]).await?;
        session.wait_for_tool("echo").await?;
        Ok(session)
    }

    pub fn mcp(&self) -> SocketAddr {
        self.mcp
    }

    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    pub async fn is_ready(&self) -> anyhow::Result<bool> {
        let url = format!("http://{}/readyz", self.operations);
        Ok(RawClient::default().get(&url).await?.status == 200)
    }

    pub async fn wait_until_ready(&self) -> anyhow::Result<()> {
        wait::until("the data plane to be ready", || async {
            self.is_ready().await.unwrap_or(false)
        })
        .await
    }
}
