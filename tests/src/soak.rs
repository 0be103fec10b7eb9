//! The soak: mixed load on one gateway while servers are killed, the configuration is edited and clients vanish.

mod disturbances;
mod events;
mod leaving;
mod phase;
mod report;
mod samples;
mod streams;
mod tally;
mod visitor;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::fixture::HttpFixture;
use crate::gateway::Gateway;
use crate::principals::ADA;
use crate::processes::{self, descriptors};
use crate::session::{Era, Session};
use crate::wait;
use crate::workspace::Workspace;
use disturbances::{edit, kill_child, kill_server};
use events::Events;
use phase::Phase;
use samples::Samples;
use tally::Tally;
use visitor::Visitor;
use world::{Edited, PROBE, Servers, World};

pub use report::Report;

/// A closed loop: as many clients at a time, each with pauses.
const VISITORS: usize = 16;
/// Connections to servers that are kept for the next request, and what the runtime opens when it is busy.
const SPARE_DESCRIPTORS: usize = 24;
const FIRST: Edited = Edited {
    has_profile: false,
    denies: false,
};

/// Goes on for so long, and fails at the first thing that is not as it has to be.
pub async fn run(binary: &str, length: Duration) -> anyhow::Result<Report> {
    let (servers, fragile) = Servers::start(binary).await?;
    let workspace = Arc::new(Workspace::new(&servers.configuration(FIRST))?);
    let mut events = Events::in_folder(workspace.folder("data/audit")?);
    let gateway = Gateway::builder(binary)
        .workspace(&workspace)
        .start()
        .await?;
    let world = Arc::new(World {
        url: gateway.url(""),
        operations: gateway.operations_url("/metrics").await?,
        edited: Phase::new(FIRST),
        fragile: Phase::new(()),
        mortal: Phase::new(()),
    });
    wait_for_servers(&world).await?;
    let idle = Idle::of(&gateway)?;

    // The server that was killed is there until the gateway has ended.
    let (mut report, _fragile) =
        soak(&world, &servers, fragile, &gateway, &mut events, length).await?;
    report.descriptors_idle = idle.wait_for_return(&gateway).await?;
    check_log(&gateway)?;
    let exit = gateway.stop().await?;
    ensure!(
        exit.code == Some(0),
        "the gateway ended with {:?}",
        exit.code
    );
    events.read_all()?;
    events.check(&report.tally)?;
    report.events = events.count();
    report.audit_files = events.files;
    Ok(report)
}

/// Load and disturbances, all at once; one that fails ends the others.
async fn soak(
    world: &Arc<World>,
    servers: &Servers,
    fragile: HttpFixture,
    gateway: &Gateway,
    events: &mut Events,
    length: Duration,
) -> anyhow::Result<(Report, HttpFixture)> {
    let until = Instant::now() + length;
    let visitors = (0..VISITORS).map(|number| Visitor::new(world, number).stay(until));
    let (tallies, samples, (server_kills, fragile), child_kills, edits, ()) = tokio::try_join!(
        try_join_all(visitors),
        Samples::take(gateway.process_id(), length),
        kill_server(world, fragile, until),
        kill_child(world, gateway, until),
        edit(world, servers, gateway, until, FIRST),
        events.collect(until),
    )?;
    samples.check()?;
    let mut tally = Tally::default();
    for one in tallies {
        tally.merge(one);
    }
    let report = Report {
        length,
        tally,
        server_kills,
        child_kills,
        edits: edits.sound,
        unsound_edits: edits.unsound,
        memory: samples.memory(),
        descriptors: samples.descriptors(),
        ..Report::default()
    };
    Ok((report, fragile))
}

/// Until each has answered a first call.
async fn wait_for_servers(world: &World) -> anyhow::Result<()> {
    for era in Era::BOTH {
        let session = Session::open_with(era, &world.url("/mcp"), &[ADA]).await?;
        for server in ["steady", "streaming", "child", "fragile", "mortal"] {
            session.wait_for_tool(&format!("{server}__echo")).await?;
        }
        for server in ["fragile", "mortal"] {
            session
                .call_text(&format!("{server}__{PROBE}"), serde_json::json!({}))
                .await?;
        }
    }
    Ok(())
}

/// The gateway when nobody is there.
struct Idle {
    descriptors: usize,
    children: usize,
}

impl Idle {
    fn of(gateway: &Gateway) -> anyhow::Result<Self> {
        Ok(Self {
            descriptors: descriptors(gateway.process_id())?,
            children: gateway.children().len(),
        })
    }

    /// Waits until it is the same again after its clients are gone; the descriptors before and after.
    async fn wait_for_return(&self, gateway: &Gateway) -> anyhow::Result<(usize, usize)> {
        let most = self.descriptors + SPARE_DESCRIPTORS;
        let what = format!("no more than {most} descriptors");
        let open = wait::until_some(&what, || async {
            descriptors(gateway.process_id())
                .ok()
                .filter(|open| *open <= most)
        });
        let open = open.await?;
        wait::until("the children of clients that are gone to end", || async {
            gateway.children().len() == self.children
        })
        .await?;
        let zombies = processes::zombies(gateway.process_id());
        ensure!(zombies == 0, "{zombies} children were not waited for");
        Ok((self.descriptors, open))
    }
}

/// The only errors that the gateway may report are configurations that it refused.
fn check_log(gateway: &Gateway) -> anyhow::Result<()> {
    let lines = gateway.stderr.lines();
    let is_wrong = |line: &&String| {
        let is_error = line.contains("ERROR") || line.contains("panicked");
        is_error && !line.contains("configuration refused")
    };
    let wrong = lines.iter().find(is_wrong);
    ensure!(wrong.is_none(), "the gateway said: {wrong:?}");
    Ok(())
}
