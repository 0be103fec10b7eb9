//! The load: clients of every kind that call over and over, and say what failed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::asker::Asker;
use super::site::{ada, view};
use super::{Called, Calls, Site, TOOLS};
use crate::session::{Era, Session};

/// Between two calls of a client.
const PAUSE: Duration = Duration::from_millis(40);
/// Longer than what any outage may delay.
const PATIENCE: Duration = Duration::from_secs(60);
/// A client connects anew after so many calls, so that its session comes to every data plane.
const CALLS_PER_CONNECTION: u64 = 8;

/// Clients that call until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    clients: JoinSet<Result<Tally>>,
}

/// What clients were answered.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: Calls,
    pub lists: u64,
    pub failures: Vec<Failure>,
    pub longest: Duration,
}

/// A call that failed.
#[derive(Debug)]
pub struct Failure {
    pub tenant: String,
    pub client: &'static str,
    pub began: Instant,
    pub ended: Instant,
    pub error: String,
}

/// What a client does over and over.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Calls what each edition has another tool for.
    Which(Era),
    List(Era),
    /// Calls a server that keeps sessions.
    Keep,
    /// Has a server ask, and answers it by another connection.
    Answer,
}

/// Of each tenant that is edited.
const HABITS: [Habit; 6] = [
    Habit::Which(Era::Modern),
    Habit::Which(Era::Legacy),
    Habit::List(Era::Modern),
    Habit::List(Era::Legacy),
    Habit::Keep,
    Habit::Answer,
];

/// Of the tenant whose calls are made to fail; often enough to be judged by within seconds.
const PROBES: [Habit; 3] = [
    Habit::Which(Era::Modern),
    Habit::Which(Era::Modern),
    Habit::Which(Era::Legacy),
];

impl Load {
    /// Begins with clients of every kind for these tenants, and some for the one whose calls are made to fail.
    pub fn start(site: &Arc<Site>, tenants: &[&str], victim: &str) -> Self {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        let usual = tenants
            .iter()
            .flat_map(|tenant| HABITS.map(|habit| (*tenant, habit)));
        for (tenant, habit) in usual.chain(PROBES.map(|habit| (victim, habit))) {
            let client = call_on(Arc::clone(site), tenant.to_owned(), habit, stop.clone());
            clients.spawn(client);
        }
        Self { stop, clients }
    }

    /// Ends it, and gives what all of them have seen.
    pub async fn stop(mut self) -> Result<Tally> {
        self.stop.cancel();
        let mut tally = Tally::default();
        while let Some(one) = self.clients.join_next().await {
            tally.merge(one??);
        }
        Ok(tally)
    }
}

impl Tally {
    fn merge(&mut self, other: Self) {
        let Self {
            answered,
            lists,
            failures,
            longest,
        } = other;
        for (called, count) in answered {
            *self.answered.entry(called).or_default() += count;
        }
        self.lists += lists;
        self.failures.extend(failures);
        self.longest = self.longest.max(longest);
    }

    pub fn calls(&self) -> u64 {
        self.answered.values().sum()
    }
}

/// What one round of a client has come to.
enum Seen {
    Called(Called),
    Listed,
}

async fn call_on(
    site: Arc<Site>,
    tenant: String,
    habit: Habit,
    stop: CancellationToken,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut client = Client::open(&site, &tenant, habit).await?;
    let mut calls = 0;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let seen = tokio::time::timeout(PATIENCE, client.once()).await;
        let seen = seen.unwrap_or_else(|_| Err(anyhow!("no answer within {PATIENCE:?}")));
        let ended = Instant::now();
        tally.longest = tally.longest.max(ended - began);
        match seen {
            Ok(Seen::Called(called)) => *tally.answered.entry(called).or_default() += 1,
            Ok(Seen::Listed) => tally.lists += 1,
            Err(error) => tally.failures.push(Failure {
                tenant: tenant.clone(),
                client: habit.name(),
                began,
                ended,
                error: format!("{error:#}"),
            }),
        }
        calls += 1;
        if calls % CALLS_PER_CONNECTION == 0 {
            client.reconnect();
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(tally)
}

impl Habit {
    fn name(self) -> &'static str {
        match self {
            Self::Which(Era::Modern) => "a modern caller",
            Self::Which(Era::Legacy) => "a legacy caller",
            Self::List(Era::Modern) => "a modern lister",
            Self::List(Era::Legacy) => "a legacy lister",
            Self::Keep => "a caller of a server with sessions",
            Self::Answer => "a client that is asked",
        }
    }
}

enum Client {
    Which(String, Session),
    List(Session),
    Keep(String, Session),
    Answer(String, Asker),
}

impl Client {
    async fn open(site: &Site, tenant: &str, habit: Habit) -> Result<Self> {
        let url = |path: &str| site.balancer.url(path);
        let open = |era, url: String| async move { Session::open_with(era, &url, &[ada()]).await };
        let owned = tenant.to_owned();
        let at = |server: &str| format!("/t/{tenant}/s/{server}/mcp");
        Ok(match habit {
            Habit::Which(era) => Self::Which(owned, open(era, url(&view(tenant))).await?),
            Habit::List(era) => Self::List(open(era, url(&view(tenant))).await?),
            Habit::Keep => Self::Keep(owned, open(Era::Legacy, url(&at("keeping"))).await?),
            Habit::Answer => Self::Answer(owned, Asker::open(url(&at("asking"))).await?),
        })
    }

    fn once(&mut self) -> impl Future<Output = Result<Seen>> {
        Box::pin(async move {
            match self {
                Self::Which(tenant, session) => {
                    let text = session.call_text("which", json!({})).await?;
                    let (tool, server) = text.split_once(" of ").context("another answer")?;
                    let called = (tenant.clone(), server.to_owned(), tool.to_owned());
                    Ok(Seen::Called(called))
                }
                Self::List(session) => {
                    check_list(&session.tool_names().await?)?;
                    Ok(Seen::Listed)
                }
                Self::Keep(tenant, session) => {
                    session.call_text("echo", json!({ "text": "x" })).await?;
                    let called = (tenant.clone(), "keeping".to_owned(), "echo".to_owned());
                    Ok(Seen::Called(called))
                }
                Self::Answer(tenant, asker) => {
                    let tool = asker.ask().await?.to_owned();
                    Ok(Seen::Called((tenant.clone(), "asking".to_owned(), tool)))
                }
            }
        })
    }

    fn reconnect(&mut self) {
        match self {
            Self::Which(_, session) | Self::List(session) | Self::Keep(_, session) => {
                session.reconnect();
            }
            // It does with every answer.
            Self::Answer(..) => {}
        }
    }
}

/// One tool has another name, and all others their own.
fn check_list(names: &[String]) -> Result<()> {
    let numbered = names
        .iter()
        .filter(|name| name.starts_with("tool-"))
        .count();
    let renamed = names.iter().filter(|name| *name == "which").count();
    ensure!(
        renamed == 1 && numbered as u64 == TOOLS - 1,
        "a list of no edition: {names:?}"
    );
    Ok(())
}
