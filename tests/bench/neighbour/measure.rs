//! Tenants on one data plane: a quiet one, whose calls are timed, a loud one, a part of whose calls hang, and one whose
//! plugins hang.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::faulty_way::{Fault, FaultyWay};
use gateway_tests::fixture::{Hang, HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, join_token};
use gateway_tests::raw::Answer;
use gateway_tests::secrets::{ADA_HASH, ADA_KEY};
use gateway_tests::servers::remote;
use gateway_tests::{Era, Session, Workspace};
use http::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Every so many calls of the loud tenant are to a server that never answers.
const HANGING: u32 = 5;

/// Every so many calls of the load are of the tenant whose policy is a plugin that never answers.
const STUCK: u32 = 7;

/// How many rules the loud tenant's policy looks at before the one that fits.
const RULES: u32 = 500;

/// Measures how long the calls of one tenant take: alone, beside as much load on this machine as another tenant makes but
/// not through the gateway, and beside that tenant. The calls are begun at a steady rate, whether or not others are answered.
#[derive(Debug, clap::Parser)]
pub(crate) struct Extent {
    /// How often all three are measured, in turn.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) rounds: u32,
    /// How many calls of the quiet tenant are timed each time.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub(crate) calls: u32,
    /// How many calls each tenant has a share of in a second.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) rate: u32,
    /// How many times its share the loud tenant asks for.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) times: u32,
    /// How many requests of one tenant may be under way.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(crate) max_tenant_requests: u32,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// Where the load of the loud tenant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loud {
    Nowhere,
    /// At the same servers, past the gateway.
    Elsewhere,
    Beside,
}

impl Loud {
    pub(crate) const ALL: [Self; 3] = [Self::Nowhere, Self::Elsewhere, Self::Beside];
}

/// Of one place of the loud tenant, over all rounds.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) loud: Loud,
    /// How long the quiet tenant's calls took, sorted.
    pub(crate) took: Vec<Duration>,
    pub(crate) others: Tally,
}

/// What became of the loud tenant's calls.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Because it has as many under way as it may.
    pub(crate) refused: u64,
    /// Those that were never answered.
    pub(crate) hanging: u64,
}

struct Site {
    quiet: Arc<Session>,
    loud: Arc<Session>,
    /// The tenant whose plugins hang.
    stuck: Arc<Session>,
    /// The servers themselves.
    sound: Arc<Session>,
    hung: Arc<Session>,
    data: DataPlane,
    control: ControlPlane,
    _servers: [HttpFixture; 2],
    _plugin: FaultyWay,
}

impl Site {
    async fn start(extent: &Extent) -> Result<Self> {
        let workspace = Arc::new(Workspace::new("")?);
        let sound = HttpFixture::start(Options::default()).await?;
        let hung = Options {
            hang: Some(Hang::Call),
            ..Options::default()
        };
        let hung = HttpFixture::start(hung).await?;
        let plugin = FaultyWay::to(&sound.url()).await?;
        plugin.set(Fault::Hangs);
        let control = ControlPlane::start(BINARY, &workspace).await?;
        let (token, most) = (join_token(), extent.max_tenant_requests.to_string());
        let variables = [("MCP_GATEWAY_JOIN_TOKEN", token.as_str())];
        let flags = [&LOOPBACK[..], &["--max-tenant-requests", &most]].concat();
        let planes = [control.url()];
        let data = DataPlane::start_at(BINARY, &workspace, &planes, &variables, &flags).await?;
        let servers = json!({ "hung": remote(&hung.url()), "sound": remote(&sound.url()) });
        for (tenant, rules) in [("quiet", 0), ("loud", RULES), ("stuck", 0)] {
            let mut document = document(tenant, rules, &servers);
            if tenant == "stuck"
                && let Some(policy) = document.pointer_mut("/plugins/policy_evaluator")
            {
                *policy = json!({ "provider": "mcp", "server": plugin.url() });
            }
            let exit = control.apply(&document.to_string()).await?;
            ensure!(exit.code == Some(0), "{:?}", exit.stderr);
        }
        let open = async |url: String| {
            let session = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
            anyhow::Ok(Arc::new(session))
        };
        let of = |tenant: &str| open(data.url(&format!("/t/{tenant}/mcp")));
        let (quiet, loud, stuck) = (of("quiet").await?, of("loud").await?, of("stuck").await?);
        for session in [&quiet, &loud] {
            session.wait_for_tool("sound__echo").await?;
            session.wait_for_tool("hung__echo").await?;
        }
        Ok(Self {
            quiet,
            loud,
            stuck,
            sound: open(sound.url()).await?,
            hung: open(hung.url()).await?,
            data,
            control,
            _servers: [sound, hung],
            _plugin: plugin,
        })
    }

    /// Calls as the loud tenant does, until it is aborted.
    async fn be_loud(&self, place: Loud, extent: &Extent) -> Tally {
        let (mut calls, mut tally) = (JoinSet::new(), Tally::default());
        let (start, rate) = (Instant::now(), extent.rate.saturating_mul(extent.times));
        for number in 0..extent.calls.saturating_mul(extent.times) {
            sleep_until(start + after(number, rate)).await;
            let hangs = number % HANGING == 0;
            let (session, tool) = match place {
                Loud::Nowhere => break,
                Loud::Elsewhere if hangs => (&self.hung, "echo"),
                Loud::Elsewhere => (&self.sound, "echo"),
                Loud::Beside if number % STUCK == 0 => (&self.stuck, "sound__echo"),
                Loud::Beside if hangs => (&self.loud, "hung__echo"),
                Loud::Beside => (&self.loud, "sound__echo"),
            };
            let session = Arc::clone(session);
            calls.spawn(async move { session.call(tool, json!({})).await });
            while let Some(answer) = calls.try_join_next() {
                tally.count(answer.ok().and_then(Result::ok).as_ref());
            }
        }
        sleep_until(start + after(extent.calls, extent.rate)).await;
        while let Some(answer) = calls.try_join_next() {
            tally.count(answer.ok().and_then(Result::ok).as_ref());
        }
        // Who goes away takes back what it asked for.
        tally.hanging = calls.len() as u64;
        tally
    }

    /// Calls as the quiet tenant does. The time counts from when a call was to begin.
    async fn be_quiet(&self, extent: &Extent) -> Result<Vec<Duration>> {
        let mut calls = JoinSet::new();
        let start = Instant::now();
        for number in 0..extent.calls {
            let begin = start + after(number, extent.rate);
            sleep_until(begin).await;
            let session = Arc::clone(&self.quiet);
            calls.spawn(async move {
                let answer = session.call("sound__echo", json!({})).await?;
                answer.result()?;
                anyhow::Ok(begin.elapsed())
            });
        }
        let mut took = Vec::new();
        while let Some(call) = calls.join_next().await {
            took.push(call?.context("a call of the quiet tenant")?);
        }
        Ok(took)
    }
}

/// How long after the first the call of this number begins.
fn after(number: u32, rate: u32) -> Duration {
    Duration::from_secs(1) * number / rate.max(1)
}

impl Tally {
    fn count(&mut self, answer: Option<&Answer>) {
        let is_refused = |answer: &Answer| answer.headers.contains_key(RETRY_AFTER);
        match answer {
            Some(answer) if is_refused(answer) => self.refused += 1,
            _ => self.answered += 1,
        }
    }
}

/// A tenant whose policy has so many rules that never fit.
fn document(tenant: &str, rules: u32, servers: &Value) -> Value {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let never = |number| json!({ "effect": "deny", "names": [format!("never-{number}-*")] });
    let rules = (0..rules).map(never);
    let rules: Vec<_> = rules.chain([json!({ "effect": "allow" })]).collect();
    json!({
        "tenant": tenant,
        "plugins": {
            "auth_provider": { "provider": "in-memory", "implementation": "api-key",
                               "settings": { "keys": keys } },
            "policy_evaluator": { "provider": "in-memory", "implementation": "rules",
                                  "settings": { "rules": rules } },
        },
        "servers": servers,
    })
}

pub(crate) async fn measure(extent: &Extent) -> Result<Vec<Figures>> {
    let site = Site::start(extent).await?;
    let mut figures = Loud::ALL.map(|loud| Figures {
        loud,
        took: Vec::new(),
        others: Tally::default(),
    });
    for _ in 0..extent.rounds {
        // Nobody is always the first.
        figures.rotate_left(1);
        for one in &mut figures {
            let loud = site.be_loud(one.loud, extent);
            let (took, others) = tokio::join!(site.be_quiet(extent), loud);
            one.took.extend(took?);
            one.others.answered += others.answered;
            one.others.refused += others.refused;
            one.others.hanging += others.hanging;
        }
    }
    for one in &mut figures {
        one.took.sort_unstable();
    }
    figures.sort_unstable_by_key(|one| one.loud);
    site.data.process.stop().await?;
    site.control.process.stop().await?;
    Ok(figures.into())
}

/// The smallest time that at least so many of a hundred calls did not exceed.
pub(crate) fn percentile(sorted: &[Duration], per_cent: usize) -> Duration {
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// For people, and as it stands in the README.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut text = "| the loud tenant | p50 | p99 | its calls: answered | refused | hanging |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let at = |loud, per_cent| {
        let one = figures.iter().find(|one| one.loud == loud);
        one.map_or(f64::NAN, |one| {
            percentile(&one.took, per_cent).as_secs_f64() * 1e3
        })
    };
    for Figures { loud, others, .. } in figures {
        let (p50, p99) = (at(*loud, 50), at(*loud, 99));
        let Tally {
            answered,
            refused,
            hanging,
        } = others;
        text += &format!(
            "| {loud:?} | {p50:.2} ms | {p99:.2} ms | {answered} | {refused} | {hanging} |\n"
        );
    }
    let shift = |from| {
        let of = |per_cent| (at(Loud::Beside, per_cent) / at(from, per_cent) - 1.0) * 100.0;
        format!("p50 by {:+.0}%, p99 by {:+.0}%", of(50), of(99))
    };
    text += &format!(
        "\nBeside it, and not alone: {}. Beside it, and not beside the same load elsewhere: {}.\n",
        shift(Loud::Nowhere),
        shift(Loud::Elsewhere)
    );
    text
}
