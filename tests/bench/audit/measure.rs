//! Calls one after the other, past and through nginx and gateways of each durability, in turn; a sink's spool by itself;
//! and a spool in which very many events wait.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use gateway_core::config::load_yaml;
use gateway_core::plugin::{AuditEvent, AuditOutcome, AuditSink};
use gateway_core::{CallContext, Deadline, RequestId, TenantId};
use gateway_data_plane::{Commands, Limits, Permits};
use gateway_mcp::client::{Connector, NetworkPolicy};
use gateway_plugins::{Registry, Role, SecretResolver, SpoolOptions};
use gateway_tests::bench::nginx::Nginx;
use gateway_tests::bench::statistics::percentile;
use gateway_tests::collector::Collector;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::servers::{DeadEndpoint, remote};
use gateway_tests::{Era, Gateway, Session, Workspace};
use serde_json::{Value, json};
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Measures what each durability of an audit sink that is an MCP server costs.
#[derive(Debug, clap::Parser)]
pub(crate) struct Extent {
    /// How often calls are measured at each place, in turn.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How many calls are measured each time, one after the other.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) calls: usize,
    /// How many events are logged to a sink by itself, one after the other.
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub(crate) events: usize,
    /// How many events wait in the spool that is opened and delivered.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    pub(crate) waiting: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// How long calls took at each place.
    pub(crate) calls: Vec<(String, Vec<Duration>)>,
    /// How long the event of one request took, reservation included, by durability.
    pub(crate) events: Vec<(&'static str, Vec<Duration>)>,
    pub(crate) waiting: usize,
    pub(crate) opening: Duration,
    pub(crate) delivering: Duration,
}

const DURABILITIES: [&str; 3] = ["process", "disk", "sink"];

fn sink(url: &str, durability: &str) -> Value {
    let server = json!({ "type": "remote", "endpoint": url });
    json!({ "provider": "mcp", "server": server, "durability": durability })
}

pub(crate) async fn measure(extent: &Extent) -> Result<Figures> {
    let mut figures = Figures {
        calls: calls(extent).await?,
        ..Figures::default()
    };
    for durability in DURABILITIES {
        figures
            .events
            .push((durability, events(durability, extent.events).await?));
    }
    recover(extent.waiting, &mut figures).await?;
    Ok(figures)
}

async fn calls(extent: &Extent) -> Result<Vec<(String, Vec<Duration>)>> {
    let (server, collector) = (
        HttpFixture::start(Options::default()).await?,
        Collector::start().await?,
    );
    let nginx = Nginx::start(server.address()).await?;
    let mut places = vec![("past everything".to_owned(), server.url())];
    places.extend(
        nginx
            .iter()
            .map(|nginx| ("nginx".to_owned(), format!("http://{}/mcp", nginx.address))),
    );
    let mut gateways = Vec::new();
    let sinks = DURABILITIES.map(|durability| {
        (
            durability,
            json!({ "audit_sink": sink(&collector.url(), durability) }),
        )
    });
    let without = ("standard output", json!({}));
    for (name, plugins) in [without].into_iter().chain(sinks) {
        let config = json!({ "plugins": plugins, "servers": { "one": remote(&server.url()) } });
        let gateway = Gateway::builder(BINARY)
            .config(config.to_string())
            .discard_results();
        let gateway = gateway.start().await?;
        gateway.wait_for_tool("/mcp", "echo").await?;
        places.push((format!("gateway, audit to {name}"), gateway.url("/mcp")));
        gateways.push(gateway);
    }
    let mut took: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
    for _ in 0..extent.rounds {
        for (place, (_, url)) in places.iter().enumerate() {
            let session = Session::open(Era::Modern, url).await?;
            for _ in 0..extent.calls {
                let began = Instant::now();
                session.call_text("echo", json!({})).await?;
                took.entry(place).or_default().push(began.elapsed());
            }
        }
    }
    for gateway in gateways {
        gateway.stop().await?;
    }
    let names = places.into_iter().map(|(name, _)| name);
    Ok(names.zip(took.into_values()).collect())
}

/// A registry as a desktop has it, with a spool below a folder.
fn permits(folder: &Path) -> Result<Permits> {
    let options = SpoolOptions {
        max_tenant_bytes: u64::MAX / 4,
        ..SpoolOptions::in_folder(folder)
    };
    Ok(Permits {
        registry: Registry::new(Role::Desktop {
            loopback_only: true,
        })
        .with_audit_spool(options),
        secrets: SecretResolver::desktop(),
        connector: Connector::new(NetworkPolicy::desktop())?,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
        connects_at_once: true,
    })
}

fn build(permits: &Permits, url: &str, durability: &str) -> Result<Arc<dyn AuditSink>> {
    let config =
        load_yaml(&json!({ "plugins": { "audit_sink": sink(url, durability) } }).to_string())?;
    let built = permits
        .registry
        .build(&TenantId::default(), &config.plugins, permits);
    let plugins = built.map_err(|violations| anyhow!("{violations:?}"))?;
    Ok(plugins.audit_sink)
}

/// An event as that of a usual call.
fn event(number: usize) -> AuditEvent {
    let metadata = [
        ("event_id", json!(uuid::Uuid::now_v7().to_string())),
        ("request_id", json!(uuid::Uuid::now_v7().to_string())),
        ("duration_ms", json!(3)),
        ("revision", json!(7)),
        ("exposed_name", json!(format!("files__read-{number}"))),
    ];
    AuditEvent {
        timestamp: jiff::Timestamp::now(),
        event_type: "tool_call".into(),
        tenant_id: Some(TenantId::default()),
        user_id: "ada@example.com".parse().ok(),
        mcp_server: "files".parse().ok(),
        tool: Some("read".to_owned()),
        result: AuditOutcome::Ok,
        metadata: metadata
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    }
}

fn context() -> CallContext {
    let deadline = Deadline::after(Duration::from_secs(30));
    CallContext::new(TenantId::default(), deadline, RequestId::new("bench"))
}

async fn events(durability: &str, count: usize) -> Result<Vec<Duration>> {
    let (workspace, collector) = (Workspace::new("")?, Collector::start().await?);
    let permits = permits(workspace.path())?;
    let sink = build(&permits, &collector.url(), durability)?;
    // As a request does: in a task of a thread that serves requests.
    let logging = tokio::spawn(async move {
        let mut took = Vec::with_capacity(count);
        for number in 0..count {
            let (context, event) = (context(), event(number));
            let began = Instant::now();
            let reserved = sink.reserve(&context).await?;
            sink.log_event(&context, &event).await?;
            drop(reserved);
            took.push(began.elapsed());
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        anyhow::Ok(took)
    });
    let took = logging.await??;
    let spools = permits.registry.spools().context("there are spools")?;
    spools.shut_down(Duration::from_secs(60)).await;
    ensure!(collector.once().len() == count, "every event arrives");
    Ok(took)
}

/// Has that many events wait for a sink that is down, then opens the spool and delivers them to one that is there.
async fn recover(waiting: usize, figures: &mut Figures) -> Result<()> {
    const AT_ONCE: usize = 500;
    let (workspace, dead) = (Workspace::new("")?, DeadEndpoint::reserve()?);
    {
        let permits = permits(workspace.path())?;
        let sink = build(&permits, &dead.url()?, "process")?;
        for first in (0..waiting).step_by(AT_ONCE) {
            let events: Vec<_> = (first..waiting.min(first + AT_ONCE)).map(event).collect();
            sink.log_events(&context(), &events).await?;
        }
        permits
            .registry
            .spools()
            .context("there are spools")?
            .shut_down(Duration::ZERO)
            .await;
    }
    let collector = Collector::start().await?;
    let permits = permits(workspace.path())?;
    let began = Instant::now();
    let sink = build(&permits, &collector.url(), "process")?;
    figures.opening = began.elapsed();
    let spools = permits.registry.spools().context("there are spools")?;
    spools.shut_down(Duration::from_secs(3600)).await;
    figures.delivering = began.elapsed();
    figures.waiting = waiting;
    drop(sink);
    ensure!(collector.count() >= waiting, "every event arrives");
    Ok(())
}

pub(crate) fn table(figures: &Figures) -> String {
    let micros = |took: Option<Duration>| took.map_or(0.0, |took| took.as_secs_f64() * 1e6);
    let mut text =
        String::from("| one call after the other | p50 µs | p99 µs |\n|---|---:|---:|\n");
    let row = |name: &str, took: &[Duration]| {
        let mut took = took.to_vec();
        took.sort_unstable();
        let (half, most) = (
            micros(percentile(&took, 500)),
            micros(percentile(&took, 990)),
        );
        format!("| {name} | {half:.1} | {most:.1} |\n")
    };
    for (name, took) in &figures.calls {
        text.push_str(&row(name, took));
    }
    text.push_str("\n| one event, space reserved | p50 µs | p99 µs |\n|---|---:|---:|\n");
    for (durability, took) in &figures.events {
        text.push_str(&row(&format!("`durability: {durability}`"), took));
    }
    let (opening, delivering) = (
        figures.opening.as_secs_f64(),
        figures.delivering.as_secs_f64(),
    );
    // Writing to a string cannot fail.
    writeln!(
        text,
        "\nA spool of {} events is opened in {:.1} ms, and delivered after {delivering:.1} s.",
        figures.waiting,
        opening * 1e3
    )
    .ok();
    text
}
