//! The processes, and what tenants are given.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::events::Events;
use super::{Calls, Chronicle, TOOLS, target};
use crate::balancer::Balancer;
use crate::conformance::ConformanceServer;
use crate::fixture::{Eras, HttpFixture, Options};
use crate::planes::{ControlPlane, DataPlane, LOOPBACK, join_token};
use crate::postgres::{Durability, Postgres};
use crate::secrets::{ADA_HASH, ADA_KEY};
use crate::servers::remote;
use crate::session::{Era, Session};
use crate::workspace::Workspace;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1/mcp";

/// What a document is to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sound,
    /// It has a program that data planes do not permit.
    Refused,
    /// Its server is not there.
    Failing,
}

#[derive(Debug)]
pub struct Site {
    binary: String,
    workspace: Arc<Workspace>,
    pub postgres: Mutex<Postgres>,
    /// `None` while it is away.
    pub controls: [Mutex<Option<ControlPlane>>; 2],
    /// Where control planes are, whether or not they are there.
    pub urls: [String; 2],
    /// Those that serve. Whoever holds the lock knows that none of them comes or goes.
    pub replicas: Mutex<Vec<Replica>>,
    pub balancer: Balancer,
    /// What data planes have written that have ended.
    events: Mutex<Events>,
    pub chronicle: Chronicle,
    servers: Servers,
}

/// A data plane and its name.
#[derive(Debug)]
pub struct Replica {
    pub name: String,
    pub plane: DataPlane,
}

#[derive(Debug)]
struct Servers {
    left: HttpFixture,
    right: HttpFixture,
    /// Legacy, with sessions.
    keeping: HttpFixture,
    /// Legacy, and asks its clients.
    asking: ConformanceServer,
}

impl Servers {
    async fn start() -> Result<Self> {
        let named = |name: &str| Options {
            name: name.to_owned(),
            tools: usize::try_from(TOOLS).unwrap_or_default(),
            ..Options::default()
        };
        let keeping = Options {
            era: Eras::Legacy,
            sessions: true,
            ..Options::default()
        };
        Ok(Self {
            left: HttpFixture::start(named("left")).await?,
            right: HttpFixture::start(named("right")).await?,
            keeping: HttpFixture::start(keeping).await?,
            asking: ConformanceServer::start(Eras::Legacy).await?,
        })
    }
}

impl Site {
    /// Starts all of it, with no tenant yet.
    pub async fn start(binary: &str) -> Result<Self> {
        let postgres = Postgres::start(Durability::Disk)?;
        let database = postgres.url(&postgres.database()?);
        let workspace = Arc::new(Workspace::new("")?);
        let (one, two) = tokio::try_join!(
            ControlPlane::start_on(binary, &workspace, &database),
            ControlPlane::start_on(binary, &workspace, &database),
        )?;
        let site = Self {
            binary: binary.to_owned(),
            workspace,
            postgres: Mutex::new(postgres),
            urls: [one.url(), two.url()],
            controls: [Mutex::new(Some(one)), Mutex::new(Some(two))],
            replicas: Mutex::default(),
            balancer: Balancer::start().await?,
            events: Mutex::default(),
            chronicle: Chronicle::default(),
            servers: Servers::start().await?,
        };
        for name in ["dp-0", "dp-1"] {
            let replica = site.start_replica(name).await?;
            site.replicas.lock().await.push(replica);
        }
        Ok(site)
    }

    /// Starts a data plane, and has the balancer send clients to it as soon as it is ready.
    pub async fn start_replica(&self, name: &str) -> Result<Replica> {
        let (cache, token) = (format!("cache-{name}"), join_token());
        let mut flags = LOOPBACK.to_vec();
        flags.extend(["--name", name, "--cache-dir", &cache]);
        flags.extend(["--session-key-file", "session.keys"]);
        flags.extend(["--peer-listen", "127.0.0.1:0", "--drain-delay", "1s"]);
        let variables = [("MCP_GATEWAY_JOIN_TOKEN", token.as_str())];
        let (binary, workspace) = (&self.binary, &self.workspace);
        let plane = DataPlane::start_at(binary, workspace, &self.urls, &variables, &flags).await?;
        plane.wait_until_ready().await?;
        self.balancer.add(&plane);
        let name = name.to_owned();
        Ok(Replica { name, plane })
    }

    /// Drains a data plane and keeps its events.
    pub async fn stop_replica(&self, replica: Replica) -> Result<()> {
        let Replica { name, plane } = replica;
        let mcp = plane.mcp();
        let written = plane.process.stop_and_read().await;
        self.balancer.remove(mcp);
        let written = written.with_context(|| format!("draining {name}"))?;
        self.events.lock().await.take(&name, &written)
    }

    /// A tenant's document in an edition.
    pub fn document(&self, tenant: &str, edition: u64, kind: Kind) -> Value {
        let plugin = |name: &str, settings: Value| json!({ "provider": "in-memory", "implementation": name, "settings": settings });
        let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
        let (server, tool) = target(edition);
        let url = match (kind, server) {
            (Kind::Failing, _) => NOWHERE.to_owned(),
            (_, "left") => self.servers.left.url(),
            _ => self.servers.right.url(),
        };
        let mut servers = json!({
            server: remote(&url),
            "keeping": remote(&self.servers.keeping.url()),
            "asking": remote(&self.servers.asking.url()),
        });
        if edition.is_multiple_of(5) {
            servers["spare"] = remote(&self.servers.keeping.url());
        }
        if edition.is_multiple_of(7) {
            servers["keeping"]["timeout"] = json!("20s");
        }
        if kind == Kind::Refused {
            servers["program"] = json!({ "type": "command", "command": "sh" });
        }
        let rename = json!({ format!("{server}__{tool}"): "which" });
        json!({
            "tenant": tenant,
            "plugins": {
                "auth_provider": plugin("api-key", json!({ "keys": keys })),
                "policy_evaluator": { "provider": "in-memory", "implementation": "always-allow" },
            },
            "servers": servers,
            "profiles": { "view": { "servers": [server], "tools": { "rename": rename } } },
        })
    }

    /// Calls every data plane, each of which has to answer by this edition, and counts the calls.
    pub async fn probe(&self, tenant: &str, edition: u64, calls: &mut Calls) -> Result<()> {
        let (server, tool) = target(edition);
        let expected = format!("{tool} of {server}");
        for replica in self.replicas.lock().await.iter() {
            let url = replica.plane.url(&view(tenant));
            let session = Session::open_with(Era::Modern, &url, &[ada()]).await?;
            let answer = session.call_text("which", json!({})).await?;
            ensure!(
                answer == expected,
                "{} answers {answer} for {tenant}, and edition {edition} is {expected}",
                replica.name
            );
            let called = (tenant.to_owned(), server.to_owned(), tool.clone());
            *calls.entry(called).or_default() += 1;
        }
        Ok(())
    }

    /// What `status` says at a control plane.
    pub async fn status(&self, control: usize) -> Result<Value> {
        let control = self.controls.get(control).context("there are two")?;
        let control = control.lock().await;
        let control = control.as_ref().context("it is away")?;
        let exit = control.admin(&["status", "-o", "json"]).await?;
        ensure!(exit.code == Some(0), "status: {:?}", exit.stderr);
        Ok(serde_json::from_str(&exit.stdout.join("\n"))?)
    }

    /// Ends all of it, and gives what the data planes have recorded.
    pub async fn stop(&self) -> Result<Events> {
        for replica in std::mem::take(&mut *self.replicas.lock().await) {
            self.stop_replica(replica).await?;
        }
        for control in &self.controls {
            let control = control.lock().await.take();
            control.context("it is away")?.process.stop().await?;
        }
        Ok(std::mem::take(&mut *self.events.lock().await))
    }
}

/// The path of the endpoint with the tool `which`.
pub(super) fn view(tenant: &str) -> String {
    format!("/t/{tenant}/p/view/mcp")
}

pub(super) fn ada() -> (&'static str, &'static str) {
    ("x-api-key", ADA_KEY)
}
