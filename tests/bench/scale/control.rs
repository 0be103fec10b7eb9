//! The control plane: what it costs to bring changes to many replicas.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::bench::memory::{self, Memory};
use gateway_tests::planes::ControlPlane;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Extent;
use super::replica::Replicas;
use super::table::{Table, memory_figure, time_figure};
use super::tenants::{Tenants, WRITERS};
use crate::admin_client::Admin;

/// So many have nothing yet and come at the same time.
const NEW: usize = 20;

/// For at least so long nothing happens before a change at rest: what comes soon after another change is put together with others.
const REST: Duration = Duration::from_millis(100);

pub(super) async fn measure(
    control: &ControlPlane,
    tenants: &Arc<Tenants>,
    extent: &Extent,
    table: &mut Table,
) -> Result<()> {
    let process = control.process.id().context("it has ended")?;
    let took = || -> Result<_> { Ok((Memory::of(process)?.resident, memory::peak(process)?)) };
    let began = Instant::now();
    tenants.fill(control).await?;
    let a_second = tenants.count() as f64 / began.elapsed().as_secs_f64();
    let what = format!("applies a second, {WRITERS} administrators fill the store");
    table.add(what, format!("{a_second:.0}"), "");
    table.add("memory before any replica", memory_figure(took()?.0), "");

    let url = control.url();
    let sequence = tenants.count() as u64;
    let mut replicas = Replicas::named("replica");
    let began = Instant::now();
    replicas.connect(&url, 1, None);
    replicas.reach(sequence).await?;
    let what = "one new replica has everything";
    table.add(what, time_figure(began.elapsed()), "");

    let mut new = Replicas::named("new");
    let began = Instant::now();
    new.connect(&url, NEW, None);
    new.reach(sequence).await?;
    let what = format!("{NEW} new replicas at once have everything");
    table.add(what, time_figure(began.elapsed()), "");
    table.add("memory at its peak so far", memory_figure(took()?.1), "");
    drop(new);

    changes(control, tenants, extent, &mut replicas, table).await?;

    let more = extent.replicas.saturating_sub(replicas.count());
    let before = replicas.before(tenants)?;
    let sequence = replicas.sequence();
    let began = Instant::now();
    replicas.connect(&url, more, Some(&before));
    replicas.reach(sequence).await?;
    let what = format!("{more} replicas that hold everything come at once");
    table.add(what, time_figure(began.elapsed()), "");
    let (resident, peak) = took()?;
    table.add("memory with all of them", memory_figure(resident), "300 MB");
    table.add("memory at its peak so far", memory_figure(peak), "");

    changes(control, tenants, extent, &mut replicas, table).await?;
    sustained(control, tenants, extent, &mut replicas, table).await?;
    sleep(REST).await;
    let (resident, peak) = took()?;
    table.add("memory at rest again", memory_figure(resident), "300 MB");
    table.add("memory at its peak", memory_figure(peak), "");
    Ok(())
}

/// One change after the other, each once every replica has the one before.
async fn changes(
    control: &ControlPlane,
    tenants: &Arc<Tenants>,
    extent: &Extent,
    replicas: &mut Replicas,
    table: &mut Table,
) -> Result<()> {
    let mut admin = Admin::at(control).await?;
    let (mut answered, mut everywhere, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for change in 0..extent.changes {
        sleep(REST).await;
        let sequence = replicas.sequence() + 1;
        let began = Instant::now();
        let applying = async {
            let tenant = change * 7 % tenants.count();
            tenants.change(&mut admin, tenant).await?;
            anyhow::Ok(began.elapsed())
        };
        let reaching = async {
            replicas.reach(sequence).await?;
            anyhow::Ok(began.elapsed())
        };
        let (applied, reached) = tokio::try_join!(applying, reaching)?;
        answered.push(applied);
        everywhere.push(reached);
        behind.push(reached.saturating_sub(applied));
    }
    let (count, is_one) = (replicas.count(), replicas.count() == 1);
    let of = match is_one {
        true => "1 replica".to_owned(),
        false => format!("the last of {count} replicas"),
    };
    let at_rest = format!("a change at rest, to {of}");
    table.add_times(&at_rest, everywhere, if is_one { "20 ms" } else { "" });
    table.add_times("— the answer to the apply alone", answered, "");
    let aim = if is_one { "" } else { "250 ms" };
    table.add_times("— behind that answer", behind, aim);
    Ok(())
}

/// As many changes as there can be, each writer its own tenants.
async fn sustained(
    control: &ControlPlane,
    tenants: &Arc<Tenants>,
    extent: &Extent,
    replicas: &mut Replicas,
    table: &mut Table,
) -> Result<()> {
    ensure!(tenants.count() >= WRITERS, "there are too few tenants");
    let sequence = replicas.sequence();
    let began = Instant::now();
    let until = began + Duration::from_secs(extent.seconds);
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let (tenants, mut admin) = (Arc::clone(tenants), Admin::at(control).await?);
        tasks.spawn(async move {
            let mut written = 0_u64;
            let own = (writer..tenants.count()).step_by(WRITERS);
            for tenant in own.cycle() {
                if Instant::now() >= until {
                    break;
                }
                tenants.change(&mut admin, tenant).await?;
                written += 1;
            }
            anyhow::Ok(written)
        });
    }
    let mut written = 0;
    while let Some(done) = tasks.join_next().await {
        written += done??;
    }
    let writing = began.elapsed();
    let began = Instant::now();
    replicas.reach(sequence + written).await?;
    let behind = began.elapsed();
    let a_second = written as f64 / writing.as_secs_f64();
    let what = format!(
        "applies a second, {WRITERS} administrators, {} replicas follow",
        replicas.count()
    );
    table.add(what, format!("{a_second:.0}"), "");
    let what = "after the last of them every replica is there in";
    table.add(what, time_figure(behind), "");
    Ok(())
}
