//! What happens to the processes, in an order that a seed decides.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::{Random, Site};

/// Control planes are killed and the database is restarted, until then; all of them are there at the end.
pub async fn outages(site: &Site, mut random: Random, until: Instant) -> Result<()> {
    while Instant::now() < until {
        sleep(random.milliseconds(500, 3000)).await;
        match random.below(6) {
            0 | 1 => kill_one(site, &mut random).await?,
            2 => {
                // Not for long: each is started again by itself.
                tokio::try_join!(
                    kill(site, 0, random.milliseconds(100, 1500)),
                    kill(site, 1, random.milliseconds(100, 1500)),
                )?;
            }
            3 => restart_database(site, false, random.milliseconds(0, 2500)).await?,
            4 => restart_database(site, true, random.milliseconds(0, 2500)).await?,
            _ => {
                // One that comes back while the other has just lost its database.
                kill_one(site, &mut random).await?;
                restart_database(site, true, Duration::ZERO).await?;
            }
        }
    }
    Ok(())
}

async fn kill_one(site: &Site, random: &mut Random) -> Result<()> {
    let which = usize::from(random.below(2) == 1);
    kill(site, which, random.milliseconds(0, 3000)).await
}

/// Ends a control plane without notice, and starts it where it was.
async fn kill(site: &Site, which: usize, away: Duration) -> Result<()> {
    let control = site.controls.get(which).context("there are two")?;
    let mut control = control.lock().await;
    let killed = control.take().context("it is away")?.kill().await?;
    site.chronicle.note(format!("kill: control plane {which}"));
    sleep(away).await;
    *control = Some(killed.start().await?);
    site.chronicle
        .note(format!("control plane {which} is back"));
    Ok(())
}

async fn restart_database(site: &Site, at_once: bool, away: Duration) -> Result<()> {
    let mut postgres = site.postgres.lock().await;
    let how = if at_once { "immediate" } else { "fast" };
    site.chronicle.note(format!("restart: PostgreSQL, {how}"));
    block_in_place(|| {
        if at_once {
            postgres.crash()
        } else {
            postgres.pause()
        }
    })?;
    sleep(away).await;
    block_in_place(|| postgres.resume())?;
    site.chronicle.note("PostgreSQL is back");
    Ok(())
}

/// Data planes are drained and replaced, and stopped for a moment, until then.
pub async fn replacements(site: &Site, mut random: Random, until: Instant) -> Result<()> {
    let mut started = 2;
    while Instant::now() < until {
        sleep(random.milliseconds(500, 2500)).await;
        let mut replicas = site.replicas.lock().await;
        let which = usize::from(random.below(2) == 1);
        match random.below(5) {
            0 | 1 => {
                let name = format!("dp-{started}");
                started += 1;
                let new = site.start_replica(&name).await?;
                site.chronicle.note(format!("{name} is ready"));
                replicas.push(new);
                let old = replicas.remove(which);
                site.chronicle
                    .note(format!("replace: {} by {name}", old.name));
                site.stop_replica(old).await?;
                site.chronicle.note("it has ended");
            }
            2 | 3 => {
                let old = replicas.remove(which);
                let name = old.name.clone();
                site.chronicle.note(format!("replace: {name} by itself"));
                site.stop_replica(old).await?;
                site.chronicle.note(format!("{name} has ended"));
                let new = site.start_replica(&name).await?;
                site.chronicle.note(format!("{name} is ready again"));
                replicas.push(new);
            }
            _ => {
                let replica = replicas.get(which).context("there are two")?;
                site.chronicle.note(format!("freeze: {}", replica.name));
                replica.plane.process.freeze()?;
                sleep(random.milliseconds(100, 1500)).await;
                replica.plane.process.thaw()?;
                site.chronicle.note(format!("{} goes on", replica.name));
            }
        }
    }
    Ok(())
}
