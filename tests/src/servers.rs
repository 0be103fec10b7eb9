//! The official servers behind the gateway, and how a configuration names servers.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use crate::clients::{node_package, python_program};
use crate::log::Log;

/// `server-everything` over Streamable HTTP: legacy, with session ids, in a process that can be killed.
#[derive(Debug)]
pub struct Everything {
    address: SocketAddr,
    child: Child,
}

impl Everything {
    pub async fn start() -> anyhow::Result<Self> {
        loop {
            // The server cannot take just any port, so a free one is chosen for it. Until it
            // listens, somebody else may have it.
            match Self::start_at(free_address()?).await {
                Err(error) if error.to_string().contains("already in use") => {}
                started => return started,
            }
        }
    }

    pub async fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let script = node_package("@modelcontextprotocol/server-everything")?.join("dist/index.js");
        let mut child = Command::new("node")
            .arg(script)
            .arg("streamableHttp")
            .env("PORT", address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting server-everything")?;
        let stderr = child.stderr.take().context("it has no standard error")?;
        Log::collect(stderr).wait(&["listening on port"]).await?;
        Ok(Self { address, child })
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Ends it without notice and frees the port.
    pub async fn kill(mut self) -> anyhow::Result<SocketAddr> {
        self.child.kill().await?;
        Ok(self.address)
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?)
}

/// An endpoint that refuses every connection: its port is taken, so that no other test listens
/// there, and nobody listens.
#[derive(Debug)]
pub struct DeadEndpoint {
    socket: TcpSocket,
}

impl DeadEndpoint {
    pub fn reserve() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { socket })
    }

    pub fn url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}/mcp", self.socket.local_addr()?))
    }
}

/// A configuration with these servers; JSON is YAML too.
pub fn configuration(servers: &[(&str, Value)]) -> String {
    let servers: serde_json::Map<String, Value> = servers
        .iter()
        .map(|(name, server)| ((*name).to_owned(), server.clone()))
        .collect();
    format!("servers: {}\n", json!(servers))
}

pub fn remote(url: &str) -> Value {
    json!({ "type": "remote", "endpoint": url })
}

/// The server with another field.
pub fn with(mut server: Value, field: &str, value: &str) -> Value {
    server[field] = value.into();
    server
}

pub fn command(program: &Path, arguments: &[&str]) -> Value {
    json!({ "type": "command", "command": program, "args": arguments })
}

/// A server that says nothing, and that nothing but SIGKILL ends; it has a child of its own.
pub fn stubborn() -> Value {
    let script = "trap '' TERM INT HUP; while :; do sleep 1000; done";
    command(Path::new("sh"), &["-c", script])
}

/// `server-filesystem` on one folder: stdio, legacy.
pub fn filesystem(folder: &Path) -> anyhow::Result<Value> {
    let script = node_package("@modelcontextprotocol/server-filesystem")?.join("dist/index.js");
    let arguments = [script, folder.to_owned()];
    Ok(json!({ "type": "command", "command": "node", "args": arguments }))
}

/// `server-everything` on stdio: legacy.
pub fn everything() -> anyhow::Result<Value> {
    let script = node_package("@modelcontextprotocol/server-everything")?.join("dist/index.js");
    Ok(json!({ "type": "command", "command": "node", "args": [script, "stdio"] }))
}

/// `mcp-server-time`: stdio, both eras.
pub fn time() -> anyhow::Result<Value> {
    let program = python_program("mcp-server-time")?;
    Ok(command(&program, &["--local-timezone", "UTC"]))
}

/// The fixture on stdio; `arguments` are those of `fixture::Options`. Cargo puts every binary into one folder, so
/// the gateway's path tells where it is.
pub fn fixture_on_stdio(gateway: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    let program = beside(gateway, "fixture-server")?;
    let mut all = vec!["--stdio"];
    all.extend_from_slice(arguments);
    Ok(command(&program, &all))
}

/// The conformance fixture on stdio; `era` is `legacy`, `modern` or `both`.
pub fn conformance_on_stdio(gateway: &str, era: &str) -> anyhow::Result<Value> {
    let program = beside(gateway, "conformance-fixture")?;
    Ok(command(&program, &["--stdio", "--era", era]))
}

/// The hostile server on stdio.
pub fn hostile_on_stdio(gateway: &str) -> anyhow::Result<Value> {
    Ok(command(&beside(gateway, "hostile-server")?, &[]))
}

/// Another program of this package.
pub fn beside(gateway: &str, program: &str) -> anyhow::Result<PathBuf> {
    let program = Path::new(gateway).with_file_name(program);
    ensure!(
        program.exists(),
        "{} is missing: run cargo build --package gateway-tests first",
        program.display()
    );
    Ok(program)
}
