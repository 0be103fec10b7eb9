//! The benchmark: what a call costs through the gateway, beside nginx as a plain reverse proxy, in the same run.

pub mod clock;
mod footprint;
mod front;
mod instructions;
mod load;
pub mod memory;
pub mod nginx;
mod peer;
mod policies;
mod reply;
mod report;
mod rounds;
mod row;
mod server;
mod site;
pub mod statistics;
mod table;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::gateway::Gateway;
use crate::session::Era;
use footprint::Extent;
use front::{Server, gateway_target, start_gateway, wait_until_ready};
use load::Target;
use nginx::Nginx;
use peer::Peer;
use report::Report;
use rounds::Question;
use row::Row;

/// Measures what the gateway costs: processor time of 1,000 calls, also as a multiple of what nginx needs as a plain
/// reverse proxy in the same run; latencies; memory; and the time of a start. Every reply is checked.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// The program to measure [default: mcp-gateway beside this one].
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// How often everything is measured; ratios are taken within a round.
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// How many calls are measured for each figure and round.
    #[arg(long, value_name = "COUNT")]
    calls: Option<u64>,
    /// How many connections call at the same time.
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',')]
    connections: Vec<usize>,
    /// Only this row of the table; may be given several times.
    #[arg(long, value_name = "ROW")]
    only: Vec<Row>,
    /// Few calls: to see that everything answers, not how fast.
    #[arg(long)]
    quick: bool,
    /// The server answers calls with streams of one event.
    #[arg(long)]
    stream: bool,
    /// Another gateway, already running in front of the benchmark's server; its rows are `call` and `large`.
    #[arg(long, value_name = "NAME=URL")]
    peer: Vec<Peer>,
    /// Where the benchmark's server listens: a peer finds it at /legacy/1/mcp and /modern/1/mcp.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    server: SocketAddr,
    /// How the figures are printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// The same as `--output markdown`.
    #[arg(long, conflicts_with = "output")]
    markdown: bool,
    /// Instead of all that: counts the instructions of a call under valgrind, and compares them with this file.
    #[arg(long, value_name = "FILE")]
    instructions: Option<PathBuf>,
    /// With --instructions: writes the file anew.
    #[arg(long, requires = "instructions")]
    record: bool,
    /// Instead of all that: what a policy costs by where it is, at one connection.
    #[arg(long)]
    policies: bool,
    /// Be the server that is asked.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    serve: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Markdown,
    Json,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    allow_many_files().context("raising the limit of open files")?;
    if let Some(address) = arguments.serve {
        return server::serve(address, arguments.stream).await;
    }
    if let Some(recorded) = &arguments.instructions {
        let binary = gateway_binary(&arguments)?;
        return instructions::guard(&binary, recorded, arguments.record).await;
    }
    if arguments.policies {
        let table = measure_policies(&arguments).await?;
        std::io::stdout().write_all(table.as_bytes())?;
        return Ok(());
    }
    let output = if arguments.markdown {
        Output::Markdown
    } else {
        arguments.output
    };
    let report = measure(&arguments).await?;
    let text = match output {
        Output::Table => table::text(&report),
        Output::Markdown => table::markdown(&report),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

async fn measure_policies(arguments: &Arguments) -> anyhow::Result<String> {
    let plan = Plan::of(arguments)?;
    let binary = gateway_binary(arguments)?;
    let server = Server::start(arguments.server, arguments.stream).await?;
    let nginx = Nginx::start(server.address).await?;
    let extent = (plan.rounds, plan.calls);
    policies::measure(&binary, &server, nginx.as_ref(), extent).await
}

/// A thousand connections, and as many to the server.
fn allow_many_files() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum.map(|maximum| maximum.min(16_384));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

async fn measure(arguments: &Arguments) -> anyhow::Result<Report> {
    let plan = Plan::of(arguments)?;
    let binary = gateway_binary(arguments)?;
    let server = Server::start(arguments.server, arguments.stream).await?;
    let nginx = Nginx::start(server.address).await?;
    if nginx.is_none() {
        writeln!(
            std::io::stderr(),
            "nginx is not installed, so there are no ratios: install it (Debian: apt install nginx-light)"
        )?;
    }
    let mut gateways = Vec::new();
    let mut questions = Vec::new();
    for (row, era) in rows(&arguments.only) {
        let gateway = start_gateway(&binary, row, era, server.address).await?;
        let target = gateway_target(&gateway, row);
        wait_until_ready(&target, row, era).await?;
        gateways.push(gateway);
        let mut targets = plain_targets(row, era, &server, nginx.as_ref());
        targets.push(target);
        if matches!(row, Row::Call | Row::Large) {
            targets.extend(peers(&arguments.peer, era).await?);
        }
        questions.extend(plan.connections.iter().map(|&connections| Question {
            row,
            era,
            connections,
            targets: targets.clone(),
        }));
    }
    let cells = rounds::measure(&questions, plan.rounds, plan.calls).await?;
    for gateway in gateways {
        Gateway::stop(gateway).await?;
    }
    writeln!(std::io::stderr(), "memory and start")?;
    Ok(Report {
        rounds: plan.rounds,
        calls: plan.calls,
        streams: arguments.stream,
        cells,
        footprint: footprint::measure(&binary, server.address, plan.extent).await?,
    })
}

/// How much is measured.
#[derive(Debug)]
struct Plan {
    rounds: usize,
    calls: u64,
    connections: Vec<usize>,
    extent: Extent,
}

impl Plan {
    fn of(arguments: &Arguments) -> anyhow::Result<Self> {
        let usual = if arguments.quick {
            Self {
                rounds: 1,
                calls: 100,
                connections: vec![1, 4],
                extent: Extent {
                    held: 20,
                    sessions: 100,
                    starts: 1,
                },
            }
        } else {
            Self {
                rounds: 5,
                calls: 5000,
                connections: vec![1, 16, 64, 256],
                extent: Extent {
                    held: 1000,
                    sessions: 20_000,
                    starts: 7,
                },
            }
        };
        let connections = match &*arguments.connections {
            [] => usual.connections,
            given => given.to_vec(),
        };
        let plan = Self {
            rounds: arguments.rounds.unwrap_or(usual.rounds),
            calls: arguments.calls.unwrap_or(usual.calls),
            connections,
            extent: usual.extent,
        };
        let is_something = plan.rounds > 0 && plan.calls > 0 && !plan.connections.contains(&0);
        ensure!(
            is_something,
            "--rounds, --calls and --connections must be at least 1"
        );
        Ok(plan)
    }
}

/// Those that were asked for, or all, in both eras.
fn rows(only: &[Row]) -> impl Iterator<Item = (Row, Era)> {
    let rows = Row::ALL.into_iter();
    let rows = rows.filter(|row| only.is_empty() || only.contains(row));
    rows.flat_map(|row| Era::BOTH.map(|era| (row, era)))
}

fn gateway_binary(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("mcp-gateway");
    let binary = arguments.gateway.clone().unwrap_or(beside);
    ensure!(
        binary.exists(),
        "{} is missing: run `cargo build --release` first, or say where it is with --gateway",
        binary.display()
    );
    // It is started in other folders than this one.
    Ok(std::path::absolute(binary)?)
}

/// The server itself, and nginx in front of it.
fn plain_targets(row: Row, era: Era, server: &Server, nginx: Option<&Nginx>) -> Vec<Target> {
    let direct = Target {
        name: "direct".to_owned(),
        address: server.address,
        path: row.direct_path(era),
        tools: vec!["echo".to_owned()],
        key: None,
        process: None,
    };
    let nginx = nginx.map(|nginx| Target {
        name: "nginx".to_owned(),
        address: nginx.address,
        process: Some(nginx.process),
        ..direct.clone()
    });
    [Some(direct), nginx].into_iter().flatten().collect()
}

async fn peers(peers: &[Peer], era: Era) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for peer in peers {
        match peer.target(era).await {
            Ok(target) => targets.push(target),
            Err(error) => writeln!(
                std::io::stderr(),
                "peer {peer} is left out of the {era:?} rows: {error:#}"
            )?,
        }
    }
    Ok(targets)
}
