//! The data plane: what tenants cost that nobody calls.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::bench::clock::Clock;
use gateway_tests::bench::memory::{self, Memory};
use gateway_tests::bench::statistics::median;
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, join_token};
use gateway_tests::secrets::{self, ADA_KEY};
use gateway_tests::{Era, Session, Workspace};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::table::{Table, memory_figure, time_figure};
use super::tenants::{SERVED, Tenants};
use super::{BINARY, Extent};
use crate::admin_client::Admin;

/// The data plane that has every tenant, and that which has one.
const ALL: &str = "all";
const ONE: &str = "one";

const ROUNDS: usize = 10;

/// How often it is asked whether it is ready, and for how long at most.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(300);

const REST: Duration = Duration::from_millis(100);

/// Takes the control plane, because it is stopped for the last of it.
pub(super) async fn measure(
    control: ControlPlane,
    workspace: &Arc<Workspace>,
    tenants: &Arc<Tenants>,
    extent: &Extent,
    table: &mut Table,
) -> Result<()> {
    let tenant = Tenants::name(SERVED);
    let create = ["token", "create", ONE, "--role", "join"];
    let create = [&create[..], &["--tenant", &tenant]].concat();
    let created = control.admin(&create).await?;
    ensure!(created.code == Some(0), "{:?}", created.stderr);
    let limited = created.stdout.join("\n");
    secrets::made(&limited);

    let urls = [control.url()];
    let began = Instant::now();
    let all = start(workspace, &urls, ALL, &join_token()).await?;
    let what = "a data plane has everything, from its start";
    table.add(what, time_figure(began.elapsed()), "");
    memory_of(&all, table)?;

    swaps(&control, &all, tenants, extent, table).await?;
    let one = start(workspace, &urls, ONE, &limited).await?;
    calls(&all, &one, extent, table).await?;
    one.process.stop().await?;
    all.process.stop().await?;
    control.process.stop().await?;

    let began = Instant::now();
    let all = start(workspace, &urls, ALL, &join_token()).await?;
    let what = "the same by its cache, without a control plane";
    table.add(what, time_figure(began.elapsed()), "");
    call(&session(&all).await?).await?;
    memory_of(&all, table)?;
    all.process.stop().await
}

fn memory_of(plane: &DataPlane, table: &mut Table) -> Result<()> {
    let process = plane.process.id().context("it has ended")?;
    let resident = Memory::of(process)?.resident;
    table.add("— its memory", memory_figure(resident), "");
    let peak = memory::peak(process)?;
    table.add("— at its peak", memory_figure(peak), "");
    Ok(())
}

/// Starts one and waits until it is ready.
async fn start(
    workspace: &Arc<Workspace>,
    control_planes: &[String],
    name: &str,
    token: &str,
) -> Result<DataPlane> {
    let (keys, cache) = (format!("{name}.key"), format!("{name}-cache"));
    let flags = ["--name", name, "--session-key-file", &keys];
    let flags = [&LOOPBACK, &flags[..], &["--cache-dir", &cache]].concat();
    let token = [("MCP_GATEWAY_JOIN_TOKEN", token)];
    let plane = DataPlane::start_at(BINARY, workspace, control_planes, &token, &flags).await?;
    let ready = async {
        while !plane.is_ready().await? {
            sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    let waited = tokio::time::timeout(PATIENCE, ready).await;
    waited.with_context(|| format!("waiting for the data plane {name}"))??;
    Ok(plane)
}

/// One change after the other, each until the data plane says that it is in force.
async fn swaps(
    control: &ControlPlane,
    plane: &DataPlane,
    tenants: &Tenants,
    extent: &Extent,
    table: &mut Table,
) -> Result<()> {
    let mut admin = Admin::at(control).await?;
    let mut times = Vec::new();
    for change in 0..extent.changes {
        let tenant = change * 7 % tenants.count();
        let name = format!("tenant={}", Tenants::name(tenant));
        sleep(REST).await;
        let began = Instant::now();
        let said = ["configuration in force", &name];
        let mark = plane.process.log_mark();
        let swapped = plane.process.wait_for_log_after(mark, &said);
        tokio::try_join!(tenants.change(&mut admin, tenant), swapped)?;
        times.push(began.elapsed());
    }
    table.add_times("a change at rest, until it is in force", times, "");
    Ok(())
}

async fn session(plane: &DataPlane) -> Result<Session> {
    let url = plane.url(&format!("/t/{}/s/s0/mcp", Tenants::name(SERVED)));
    let session = Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await?;
    session.wait_for_tool("echo").await?;
    Ok(session)
}

async fn call(session: &Session) -> Result<()> {
    let said = json!({ "message": "hello" });
    let answer = session.call_text("echo", said).await?;
    ensure!(answer.contains("hello"), "{answer}");
    Ok(())
}

/// Calls both in turn, one call after the other.
async fn calls(all: &DataPlane, one: &DataPlane, extent: &Extent, table: &mut Table) -> Result<()> {
    let mut sides = Vec::new();
    for plane in [all, one] {
        let process = plane.process.id().context("it has ended")?;
        let (clock, session) = (Clock::of(process), session(plane).await?);
        sides.push((clock, session, Vec::new()));
    }
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        for (clock, session, costs) in &mut sides {
            let before = clock.read()?;
            for _ in 0..extent.calls {
                call(session).await?;
            }
            let used = clock.read()?.saturating_sub(before);
            let cost = used.as_secs_f64() * 1e6 / extent.calls.max(1) as f64;
            costs.push(cost);
            round.push(cost);
        }
        if let [all, one] = round[..] {
            ratios.push(all / one);
        }
    }
    let names = ["with every tenant", "with that one alone"];
    for ((_, _, costs), name) in sides.iter().zip(names) {
        let cost = median(costs).context("nothing was called")?;
        let what = format!("processor time of a call to one tenant, {name}");
        table.add(what, format!("{cost:.0} µs"), "");
    }
    let ratio = median(&ratios).context("nothing was called")?;
    let difference = format!("{:+.1} %", (ratio - 1.0) * 100.0);
    table.add("— the difference", difference, "5 %");
    Ok(())
}
