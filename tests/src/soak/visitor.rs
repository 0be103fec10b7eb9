//! A client of a soak: visits the gateway again and again, each time as another kind of client, and checks every answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::tally::Tally;
use super::world::World;
use crate::principals::{ADA, BOB};
use crate::raw::Answer;
use crate::session::{Era, Session};

const UNAVAILABLE: i64 = 1001;
const DENIED: i64 = 1003;
const PAUSE: Duration = Duration::from_millis(50);

/// What a visit is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Calls,
    Sessions,
    StandingStream,
    Lists,
    Listens,
    LargeResults,
    Progress,
    OwnChild,
    KilledServer,
    KilledChild,
    Denials,
    EditedRule,
    EditedProfile,
    NoKey,
    Metrics,
    LeavesCall,
    LeavesStream,
    LeavesSession,
    LeavesRequest,
}

impl Kind {
    const ALL: [Self; 19] = [
        Self::Calls,
        Self::LeavesCall,
        Self::KilledServer,
        Self::Lists,
        Self::LeavesStream,
        Self::EditedRule,
        Self::Sessions,
        Self::KilledChild,
        Self::LeavesSession,
        Self::Denials,
        Self::LargeResults,
        Self::Listens,
        Self::LeavesRequest,
        Self::EditedProfile,
        Self::StandingStream,
        Self::Progress,
        Self::NoKey,
        Self::Metrics,
        Self::OwnChild,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls in both eras",
            Self::Sessions => "sessions, ended",
            Self::StandingStream => "sessions with a standing stream",
            Self::Lists => "lists",
            Self::Listens => "listening until an edit",
            Self::LargeResults => "results of 256 KiB",
            Self::Progress => "calls with progress",
            Self::OwnChild => "sessions with a child of their own",
            Self::KilledServer => "calls to the killed server",
            Self::KilledChild => "calls to the killed child",
            Self::Denials => "calls that are denied",
            Self::EditedRule => "calls under the edited rule",
            Self::EditedProfile => "lists of the edited profile",
            Self::NoKey => "requests without a key",
            Self::Metrics => "metrics",
            Self::LeavesCall => "leaving in the middle of a call",
            Self::LeavesStream => "leaving in the middle of a stream",
            Self::LeavesSession => "leaving without ending the session",
            Self::LeavesRequest => "leaving in the middle of a request",
        }
    }
}

#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) world: Arc<World>,
    pub(super) tally: Tally,
    /// Told apart by it in what they call with.
    pub(super) number: usize,
    pub(super) visits: usize,
}

impl Visitor {
    pub(super) fn new(world: &Arc<World>, number: usize) -> Self {
        Self {
            world: Arc::clone(world),
            tally: Tally::default(),
            number,
            visits: 0,
        }
    }

    /// Visits until then, one kind after the other; where it begins is its number's.
    pub(super) async fn stay(mut self, until: Instant) -> anyhow::Result<Tally> {
        while Instant::now() < until {
            let turn = (self.number + self.visits) % Kind::ALL.len();
            let Some(kind) = Kind::ALL.get(turn).copied() else {
                bail!("there are no kinds of visits");
            };
            let began = Instant::now();
            let visited = self.visit(kind).await;
            let (number, visits) = (self.number, self.visits);
            visited
                .with_context(|| format!("visit {visits} of visitor {number}: {}", kind.name()))?;
            self.tally.visited(kind.name(), began.elapsed());
            self.visits += 1;
            sleep(PAUSE).await;
        }
        Ok(self.tally)
    }

    async fn visit(&mut self, kind: Kind) -> anyhow::Result<()> {
        match kind {
            Kind::Calls => self.call_everything().await,
            Kind::Sessions => self.keep_session("fragile").await,
            Kind::OwnChild => self.keep_session("owned").await,
            Kind::StandingStream => self.keep_stream().await,
            Kind::Lists => self.list().await,
            Kind::Listens => self.listen().await,
            Kind::LargeResults => self.call_large().await,
            Kind::Progress => self.follow_progress().await,
            Kind::KilledServer => self.call_one("fragile").await,
            Kind::KilledChild => self.call_one("mortal").await,
            Kind::Denials => self.be_denied().await,
            Kind::EditedRule => self.call_toggled().await,
            Kind::EditedProfile => self.list_profile().await,
            Kind::NoKey => self.come_without_key().await,
            Kind::Metrics => self.read_metrics().await,
            Kind::LeavesCall => self.leave_call().await,
            Kind::LeavesStream => self.leave_stream().await,
            Kind::LeavesSession => self.leave_session().await,
            Kind::LeavesRequest => self.leave_request().await,
        }
    }

    /// Every other visit of a kind is of the other era.
    pub(super) fn era(&self) -> Era {
        let turn = self.visits / Kind::ALL.len() + self.number;
        if turn.is_multiple_of(2) {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    pub(super) async fn open(&self, era: Era) -> anyhow::Result<Session> {
        let opened = Session::open_with(era, &self.world.url("/mcp"), &[ADA]).await;
        opened.context("opening a session")
    }

    /// As often as it is called, with something else to echo.
    pub(super) fn arguments(&self, count: usize) -> Value {
        json!({ "visitor": self.number, "visit": self.visits, "call": count })
    }

    /// Calls `echo` as Ada, and holds the server to what is known of it.
    pub(super) async fn echo(
        &mut self,
        session: &Session,
        server: &str,
        arguments: Value,
    ) -> anyhow::Result<()> {
        let world = Arc::clone(&self.world);
        let outages = world.outages(server);
        let before = outages.map(|outages| outages.now());
        let tool = format!("{server}__echo");
        let answer = session.call(&tool, arguments.clone()).await;
        let answer = answer.with_context(|| format!("calling {server}"))?;
        let is_up = match (outages, before) {
            (Some(outages), Some(before)) => outages.since(before).is_some(),
            _ => true,
        };
        if is_up || answer.result().is_ok() {
            let checked = check_echo(&answer, &arguments);
            checked.with_context(|| format!("calling {server}"))?;
            self.tally.answered("ada", server, "echo", "ok");
            return Ok(());
        }
        let code = answer.error_code()?;
        ensure!(code == UNAVAILABLE, "{server} is down: {}", answer.text());
        self.tally.answered("ada", server, "echo", "error");
        self.tally.provoked += 1;
        Ok(())
    }

    async fn call_everything(&mut self) -> anyhow::Result<()> {
        for era in Era::BOTH {
            let session = self.open(era).await?;
            for (count, server) in super::world::STEADY.into_iter().enumerate() {
                self.echo(&session, server, self.arguments(count)).await?;
            }
            end(&session, era).await?;
        }
        Ok(())
    }

    async fn call_one(&mut self, server: &str) -> anyhow::Result<()> {
        let era = self.era();
        let session = self.open(era).await?;
        for count in 0..5 {
            self.echo(&session, server, self.arguments(count)).await?;
            sleep(PAUSE).await;
        }
        end(&session, era).await
    }

    /// A legacy session at a server that has sessions, or is there for one session alone.
    async fn keep_session(&mut self, server: &str) -> anyhow::Result<()> {
        let session = self.open(Era::Legacy).await?;
        for count in 0..3 {
            self.echo(&session, server, self.arguments(count)).await?;
        }
        end(&session, Era::Legacy).await
    }

    async fn call_large(&mut self) -> anyhow::Result<()> {
        let era = self.era();
        let session = self.open(era).await?;
        for server in ["steady", "child"] {
            let mut arguments = self.arguments(0);
            arguments["large"] = "0123456789abcdef".repeat(16 * 1024).into();
            self.echo(&session, server, arguments).await?;
        }
        end(&session, era).await
    }

    async fn be_denied(&mut self) -> anyhow::Result<()> {
        let bob = Session::open_with(self.era(), &self.world.url("/mcp"), &[BOB]).await?;
        let answer = bob.call("fragile__echo", json!({})).await?;
        ensure!(answer.error_code()? == DENIED, "{}", answer.text());
        self.tally.answered("bob", "fragile", "echo", "denied");
        Ok(())
    }

    async fn call_toggled(&mut self) -> anyhow::Result<()> {
        let before = self.world.edited.now();
        let era = self.era();
        let session = self.open(era).await?;
        let before_call = self.world.edited.now();
        let answer = session.call("steady__whoami", json!({})).await?;
        let known = self.world.edited.since(before_call);
        let is_denied = match answer.error_code() {
            Ok(DENIED) => true,
            Ok(_) => bail!("{}", answer.text()),
            Err(_) => false,
        };
        if let Some(known) = known {
            ensure!(is_denied == known.denies, "{known:?}: {}", answer.text());
        }
        let result = if is_denied { "denied" } else { "ok" };
        self.tally.answered("ada", "steady", "whoami", result);
        let names = session.tool_names().await?;
        if let Some(known) = self.world.edited.since(before) {
            let is_listed = names.iter().any(|name| name == "steady__whoami");
            ensure!(is_listed != known.denies, "{known:?}: {names:?}");
        }
        end(&session, era).await
    }

    async fn come_without_key(&mut self) -> anyhow::Result<()> {
        let session = Session::open(Era::Modern, &self.world.url("/mcp")).await?;
        let answer = session.call("steady__echo", json!({})).await?;
        ensure!(
            answer.status == StatusCode::UNAUTHORIZED,
            "{}",
            answer.text()
        );
        self.tally.refused += 1;
        Ok(())
    }
}

/// The server's answer for these arguments, whole.
fn check_echo(answer: &Answer, arguments: &Value) -> anyhow::Result<()> {
    let result = answer.result()?;
    let echoed = &result["structuredContent"]["arguments"];
    ensure!(echoed == arguments, "{arguments} was answered {result}");
    Ok(())
}

/// Ends a legacy session; a modern client has none.
pub(super) async fn end(session: &Session, era: Era) -> anyhow::Result<()> {
    if era == Era::Legacy {
        let ended = session.delete().await.context("ending a session")?;
        ensure!(
            ended.status.is_success(),
            "ending a session: {}",
            ended.text()
        );
    }
    Ok(())
}
