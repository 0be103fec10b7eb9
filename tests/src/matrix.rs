//! What every official client must be able to do at every official server and at the conformance fixture,
//! through the gateway's endpoint for all servers and through the server's own.

mod everything;
mod fixture;

use std::sync::Arc;

use anyhow::ensure;
use serde_json::Value;

use crate::clients::{OfficialClient, Place, Step};
use crate::conformance::ConformanceServer;
use crate::fixture::Eras;
use crate::fleet::{Fleet, open_to_all};
use crate::gateway::Gateway;
use crate::round_robin::RoundRobin;
use crate::servers::{self, Everything, configuration, fixture_on_stdio, remote};
use crate::session::Era;
use crate::stdio;
use crate::workspace::Workspace;

const NAME: &str = "subject";

/// A server that the clients are tried at.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    EverythingOverHttp,
    EverythingOnStdio,
    Fixture(Eras),
}

/// A subject that serves.
enum Running {
    Everything(Everything),
    Child,
    Fixture(ConformanceServer),
}

/// How an endpoint names what the subject has.
struct Names {
    is_prefixed: bool,
}

/// How a client gets at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Http,
    /// It starts the gateway.
    Stdio,
    /// It starts a bridge to the gateway that runs.
    Bridge,
    /// Over HTTP, each request at the next of two replicas.
    Replicas,
}

impl Transport {
    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Replicas)
    }
}

/// Who meets whom, and where.
struct Meeting {
    names: Names,
    transport: Transport,
    client: OfficialClient,
    server: Subject,
}

/// Takes a client through everything that it and the server can do with each other.
pub async fn meet(binary: &str, client: OfficialClient, server: Subject) -> anyhow::Result<()> {
    meet_by(Transport::Http, binary, client, server).await
}

/// The same by a transport.
pub async fn meet_by(
    transport: Transport,
    binary: &str,
    client: OfficialClient,
    server: Subject,
) -> anyhow::Result<()> {
    let running = server.start().await?;
    let servers = [
        (NAME, running.configured()?),
        ("beside", fixture_on_stdio(binary, &[])?),
    ];
    let workspace = Arc::new(Workspace::new(&configuration(&servers))?);
    let fleet = match transport {
        Transport::Replicas => Some(replicated(binary, &servers, server).await?),
        _ => None,
    };
    let gateway = match transport {
        Transport::Stdio | Transport::Replicas => None,
        Transport::Http | Transport::Bridge => Some(started(binary, &workspace, server).await?),
    };
    let places = [("/mcp".to_owned(), true), (format!("/s/{NAME}/mcp"), false)];
    let visits = places.map(|(path, is_prefixed)| {
        let meeting = Meeting {
            names: Names { is_prefixed },
            transport,
            client,
            server,
        };
        let place = match (&gateway, &fleet, transport) {
            (Some(gateway), _, Transport::Http) => Place::Url(gateway.url(&path)),
            (_, Some((_, front)), _) => Place::Url(front.url(&path)),
            _ => Place::Command(stdio::command(binary, &workspace, &path)),
        };
        (place, meeting.steps())
    });
    client.visit(client.best_version(), &visits).await?;
    if let Running::Fixture(fixture) = &running
        && !client.is_one_shot()
    {
        let era = if server.speaks(Era::Modern) {
            Era::Modern
        } else {
            Era::Legacy
        };
        fixture::wait_for_cancellations(fixture, era, visits.len()).await?;
    }
    if let Some((fleet, _)) = fleet {
        fleet.stop().await?;
    }
    if let Some(gateway) = gateway {
        let code = gateway.stop().await?.code;
        ensure!(code == Some(0), "the gateway did not end in peace");
    }
    Ok(())
}

/// A gateway whose servers are all there.
async fn started(
    binary: &str,
    workspace: &Arc<Workspace>,
    server: Subject,
) -> anyhow::Result<Gateway> {
    let gateway = Gateway::builder(binary)
        .workspace(workspace)
        .start()
        .await?;
    let known = format!("{NAME}__{}", server.known_tool());
    gateway.wait_for_tool("/mcp", &known).await?;
    gateway.wait_for_tool("/mcp", "beside__echo").await?;
    Ok(gateway)
}

/// Two replicas whose servers are all there, and what stands before them.
async fn replicated(
    binary: &str,
    servers: &[(&str, Value)],
    server: Subject,
) -> anyhow::Result<(Fleet, RoundRobin)> {
    let commands = servers
        .iter()
        .filter_map(|(_, server)| server["command"].as_str());
    let flags: Vec<_> = commands
        .flat_map(|program| ["--allow-command", program])
        .collect();
    let fleet = Fleet::start_with(binary, &[open_to_all(servers)], 2, &flags).await?;
    let known = format!("{NAME}__{}", server.known_tool());
    fleet.wait_for_tool(&known).await?;
    fleet.wait_for_tool("beside__echo").await?;
    let front = RoundRobin::start(fleet.addresses()).await?;
    Ok((fleet, front))
}

impl Subject {
    async fn start(self) -> anyhow::Result<Running> {
        Ok(match self {
            Self::EverythingOverHttp => Running::Everything(Everything::start().await?),
            Self::EverythingOnStdio => Running::Child,
            Self::Fixture(eras) => Running::Fixture(ConformanceServer::start(eras).await?),
        })
    }

    fn known_tool(self) -> &'static str {
        match self {
            Self::EverythingOverHttp | Self::EverythingOnStdio => "echo",
            Self::Fixture(_) => "test_simple_text",
        }
    }

    fn speaks(self, era: Era) -> bool {
        match (self, era) {
            (Self::Fixture(Eras::Both), _) | (Self::Fixture(Eras::Modern), Era::Modern) => true,
            (Self::Fixture(Eras::Modern), Era::Legacy) => false,
            (_, era) => era == Era::Legacy,
        }
    }
}

impl Running {
    fn configured(&self) -> anyhow::Result<Value> {
        match self {
            Self::Everything(server) => Ok(remote(&server.url())),
            Self::Child => servers::everything(),
            Self::Fixture(server) => Ok(remote(&server.url())),
        }
    }
}

impl Names {
    /// Of a tool or a prompt.
    fn of(&self, name: &str) -> String {
        if self.is_prefixed {
            format!("{NAME}__{name}")
        } else {
            name.to_owned()
        }
    }

    /// Of a resource or a template.
    fn uri(&self, uri: &str) -> String {
        if self.is_prefixed {
            format!("{NAME}+{uri}")
        } else {
            uri.to_owned()
        }
    }
}

impl Meeting {
    fn steps(&self) -> Vec<Step> {
        match self.server {
            Subject::EverythingOverHttp | Subject::EverythingOnStdio => everything::steps(self),
            Subject::Fixture(_) => fixture::steps(self),
        }
    }

    /// Whether the server can ask the client, and keep it informed: both live in one era.
    fn is_close(&self) -> bool {
        self.server.speaks(self.client.era())
    }

    fn call(&self, tool: &str, arguments: Value) -> Step {
        Step::call(&self.names.of(tool), arguments)
    }

    /// Expects what is told of a step's progress, as far as the client does not lose it.
    fn progresses(&self, step: Step, progress: &'static [f64]) -> Step {
        if !self.transport.is_http() && self.client.loses_last_progress_on_stdio() {
            step.progresses_at_most(progress)
        } else {
            step.progresses(progress)
        }
    }

    fn get(&self, prompt: &str, arguments: Value) -> Step {
        Step::get(&self.names.of(prompt), arguments)
    }

    fn read(&self, uri: &str) -> Step {
        Step::read(&self.names.uri(uri))
    }
}
