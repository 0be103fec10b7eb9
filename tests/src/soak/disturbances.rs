//! What is done to the gateway while clients use it: servers are killed, and its configuration is edited.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::world::{Edited, MORTAL, PROBE, Servers, World, fragile};
use crate::fixture::HttpFixture;
use crate::gateway::Gateway;
use crate::principals::ADA;
use crate::processes;
use crate::session::{Era, Session};
use crate::wait;

const BETWEEN_KILLS: Duration = Duration::from_secs(3);
const DOWN: Duration = Duration::from_millis(500);
const BETWEEN_EDITS: Duration = Duration::from_millis(800);
/// Every so many edits, one is unsound.
const UNSOUND: u64 = 5;

/// Waits until a server that was killed answers again, in both eras.
async fn wait_until_back(world: &World, server: &str) -> anyhow::Result<()> {
    for era in Era::BOTH {
        let session = Session::open_with(era, &world.url("/mcp"), &[ADA]).await?;
        wait::until(&format!("{server} to be back"), || async {
            let tool = format!("{server}__{PROBE}");
            session.call_text(&tool, json!({})).await.is_ok()
        })
        .await?;
        session.wait_for_tool(&format!("{server}__echo")).await?;
    }
    Ok(())
}

/// Kills the HTTP server and starts it again at the same address; how often.
pub(super) async fn kill_server(
    world: &World,
    mut server: HttpFixture,
    until: Instant,
) -> anyhow::Result<(u64, HttpFixture)> {
    let mut kills = 0;
    while Instant::now() < until {
        sleep(BETWEEN_KILLS).await;
        world.fragile.unsettle();
        let address = server.kill().await;
        sleep(DOWN).await;
        server = HttpFixture::start_at(address, fragile()).await?;
        wait_until_back(world, "fragile").await?;
        world.fragile.settle(());
        kills += 1;
    }
    Ok((kills, server))
}

/// Kills the child, which the gateway starts again; how often.
pub(super) async fn kill_child(
    world: &World,
    gateway: &Gateway,
    until: Instant,
) -> anyhow::Result<u64> {
    let mut kills = 0;
    while Instant::now() < until {
        sleep(BETWEEN_KILLS).await;
        let children = gateway.children();
        let child = children.iter().find(|child| child.command.contains(MORTAL));
        let child = child.with_context(|| format!("there is no child to kill: {children:?}"))?;
        world.mortal.unsettle();
        processes::kill(child);
        wait_until_back(world, "mortal").await?;
        world.mortal.settle(());
        kills += 1;
    }
    Ok(kills)
}

/// How often the configuration was edited, and how often with a mistake.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub(super) sound: u64,
    pub(super) unsound: u64,
}

/// Edits the configuration file, now and then with a mistake, which changes nothing.
pub(super) async fn edit(
    world: &World,
    servers: &Servers,
    gateway: &Gateway,
    until: Instant,
    mut edited: Edited,
) -> anyhow::Result<Edits> {
    let mut edits = Edits::default();
    while Instant::now() < until {
        sleep(BETWEEN_EDITS).await;
        if (edits.sound + edits.unsound) % UNSOUND == UNSOUND - 1 {
            let mark = gateway.stderr.mark();
            gateway.edit_config(&servers.unsound(edited)?)?;
            let refused = ["configuration refused", "profiles.extra.servers[0]"];
            gateway.stderr.wait_after(mark, &refused).await?;
            edits.unsound += 1;
            continue;
        }
        match edits.sound % 2 {
            0 => edited.has_profile = !edited.has_profile,
            _ => edited.denies = !edited.denies,
        }
        world.edited.unsettle();
        gateway.apply_config(&servers.configuration(edited)).await?;
        world.edited.settle(edited);
        edits.sound += 1;
    }
    Ok(edits)
}
