//! Several data planes of one control plane, any of which serves the sessions of all.

mod visitor;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::planes::{ControlPlane, DataPlane, join_token};
use crate::tls::{Signer, Tunnel};
use crate::workspace::Workspace;

pub use visitor::Visitor;

/// A control plane and its data planes.
#[derive(Debug)]
pub struct Fleet {
    pub control: ControlPlane,
    binary: String,
    /// By number; `None`: it was killed.
    replicas: Vec<Option<Replica>>,
    flags: Vec<String>,
}

/// A data plane, and where others of the fleet reach it.
#[derive(Debug)]
pub struct Replica {
    pub plane: DataPlane,
    pub listens: SocketAddr,
    /// Through which its clients go where it speaks TLS.
    tunnel: Option<Tunnel>,
}

/// The flags of one that speaks TLS, with clients and with the others.
const TLS: [&str; 6] = [
    "--tls-cert",
    "server.pem",
    "--tls-key",
    "server.key",
    "--peer-tls-ca",
    "ca.pem",
];

/// What a data plane logs when it is told of another one.
const INTRODUCED: &str = "another replica is there";

/// The default tenant, with these servers and for everybody on this machine.
pub fn open_to_all(servers: &[(&str, Value)]) -> Value {
    let mut document = tenant(servers, json!({ "implementation": "desktop-implicit" }));
    document["plugins"]["auth_provider"]["provider"] = "in-memory".into();
    document
}

/// The default tenant, with these servers and for whom this auth provider lets in.
pub fn tenant(servers: &[(&str, Value)], auth_provider: Value) -> Value {
    let named = servers.iter();
    let named = named.map(|(name, server)| ((*name).to_owned(), server.clone()));
    json!({
        "tenant": "default",
        "plugins": {
            "auth_provider": auth_provider,
            "policy_evaluator": { "provider": "in-memory", "implementation": "always-allow" },
        },
        "servers": named.collect::<serde_json::Map<_, _>>(),
    })
}

impl Fleet {
    /// Starts so many replicas that know each other, with the documents in force.
    pub async fn start(binary: &str, documents: &[Value], count: usize) -> anyhow::Result<Self> {
        Self::start_with(binary, documents, count, &[]).await
    }

    /// The same with TLS.
    pub async fn start_tls(
        binary: &str,
        documents: &[Value],
        count: usize,
    ) -> anyhow::Result<Self> {
        Self::start_with(binary, documents, count, &TLS).await
    }

    /// The same with further flags for each.
    pub async fn start_with(
        binary: &str,
        documents: &[Value],
        count: usize,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let workspace = Arc::new(Workspace::new("")?);
        if flags.starts_with(&TLS) {
            Signer::new(workspace.path())?.server()?;
        }
        let control = ControlPlane::start(binary, &workspace).await?;
        let mut fleet = Self {
            control,
            binary: binary.to_owned(),
            replicas: Vec::new(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        for _ in 0..count {
            fleet.add(&[]).await?;
        }
        // Which waits until all have it in force.
        for document in documents {
            let applied = fleet.control.apply(&document.to_string()).await?;
            ensure!(applied.code == Some(0), "applying {document}: {applied:?}");
        }
        Ok(fleet)
    }

    /// Starts one more, and waits until all know it.
    pub async fn add(&mut self, flags: &[&str]) -> anyhow::Result<usize> {
        let number = self.replicas.len();
        let started = self.start_one(number, flags).await?;
        self.replicas.push(Some(started));
        self.wait_until_introduced(number).await?;
        Ok(number)
    }

    /// Starts one that was killed, under its name.
    pub async fn start_again(&mut self, number: usize) -> anyhow::Result<()> {
        let started = self.start_one(number, &[]).await?;
        let place = self.replicas.get_mut(number);
        *place.context("there is no such replica")? = Some(started);
        Ok(())
    }

    /// Ends the control plane without notice, and starts it where it was; waits until all are back.
    pub async fn restart_control(self) -> anyhow::Result<Self> {
        let control = self.control.kill().await?.start().await?;
        let fleet = Self { control, ..self };
        for (_, replica) in fleet.living() {
            let back = ["the control plane is there again"];
            replica.plane.process.wait_for_log(&back).await?;
        }
        Ok(fleet)
    }

    async fn start_one(&self, number: usize, flags: &[&str]) -> anyhow::Result<Replica> {
        let (name, keys) = (name(number), self.control.path("session.keys"));
        let keys = keys.to_str().context("a path that is no text")?;
        let mut all = vec!["--name", &name, "--session-key-file", keys];
        all.extend(self.flags.iter().map(String::as_str));
        if !flags.contains(&"--peer-listen") {
            all.extend(["--peer-listen", "127.0.0.1:0"]);
        }
        all.extend(flags);
        let control = &self.control;
        let plane = DataPlane::start_with(&self.binary, control, &join_token(), &all).await?;
        let listens = plane.process.address("replicas on http").await?;
        plane.wait_until_ready().await?;
        let is_tls = self.flags.iter().any(|flag| flag == "--tls-cert");
        let tunnel = match is_tls {
            true => Some(Tunnel::start(plane.mcp(), &control.path("ca.pem")).await?),
            false => None,
        };
        Ok(Replica {
            plane,
            listens,
            tunnel,
        })
    }

    /// Waits until every other one knows this one, and it all of them.
    async fn wait_until_introduced(&self, number: usize) -> anyhow::Result<()> {
        for (other, replica) in self.living() {
            let expected: Vec<_> = match other == number {
                true => self.living().map(|(other, _)| other).collect(),
                false => vec![number],
            };
            for known in expected.into_iter().filter(|known| *known != other) {
                let name = name(known);
                let parts = [INTRODUCED, name.as_str()];
                replica.plane.process.wait_for_log(&parts).await?;
            }
        }
        Ok(())
    }

    fn living(&self) -> impl Iterator<Item = (usize, &Replica)> {
        let all = self.replicas.iter().enumerate();
        all.filter_map(|(number, replica)| Some((number, replica.as_ref()?)))
    }

    /// One that lives.
    pub fn replica(&self, number: usize) -> anyhow::Result<&Replica> {
        let replica = self.replicas.get(number).and_then(Option::as_ref);
        replica.with_context(|| format!("{} does not live", name(number)))
    }

    /// The default tenant's endpoint at one of them.
    pub fn url(&self, number: usize) -> anyhow::Result<String> {
        let replica = self.replica(number)?;
        Ok(match &replica.tunnel {
            Some(tunnel) => tunnel.url("/mcp"),
            None => replica.plane.url("/mcp"),
        })
    }

    /// Where clients reach each that lives.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.living()
            .map(|(_, replica)| replica.plane.mcp())
            .collect()
    }

    /// Waits until one that was told to end has done so.
    pub async fn ended(&mut self, number: usize) -> anyhow::Result<()> {
        let place = self.replicas.get_mut(number).and_then(Option::take);
        let replica = place.context("there is no such replica")?;
        replica.plane.process.ended().await
    }

    /// Ends one without notice.
    pub async fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let killed = self.replicas.get_mut(number).and_then(Option::take);
        let killed = killed.with_context(|| format!("{} does not live", name(number)))?;
        killed.plane.process.kill().await
    }

    /// How many of its audit events have this text, by replica.
    pub fn events(&self, text: &str) -> Vec<usize> {
        let count = |(_, replica): (usize, &Replica)| replica.plane.process.count_in_output(text);
        self.living().map(count).collect()
    }

    /// Waits until an endpoint lists a tool at each.
    pub async fn wait_for_tool(&self, tool: &str) -> anyhow::Result<()> {
        for (number, _) in self.living() {
            let url = self.url(number)?;
            let session = crate::Session::open(crate::Era::Modern, &url).await?;
            session.wait_for_tool(tool).await?;
        }
        Ok(())
    }

    /// Waits until one of them has a line of its log with all these parts.
    pub async fn wait_for_log(&self, number: usize, parts: &[&str]) -> anyhow::Result<String> {
        self.replica(number)?
            .plane
            .process
            .wait_for_log(parts)
            .await
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        for replica in self.replicas.into_iter().flatten() {
            replica.plane.process.stop().await?;
        }
        self.control.process.stop().await
    }
}

fn name(number: usize) -> String {
    format!("replica-{number}")
}
