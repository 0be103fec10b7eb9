//! How many instructions a call takes, counted by valgrind: a figure in which neither time nor load is, held against
//! the one that was recorded.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::front::{Server, gateway_target, prepare_gateway, wait_until_ready};
use super::load::{self, drive};
use super::row::Row;
use crate::session::Era;

/// What is counted: with and without plugins, and what is long.
const ROWS: [Row; 3] = [Row::Call, Row::Guarded, Row::List];
/// How many calls two runs make. Their difference is that of the calls alone: a start costs both the same.
const FEW: u64 = 200;
const MANY: u64 = 1_200;

/// How many hundredths more a call may take than is recorded.
const ROOM: u64 = 5;
const HEAD: &str = "\
# Instructions of a call, counted by valgrind with one worker thread and one connection.
# Recorded anew by: tests/instructions/run --record
";

/// Figures by what was called, in words.
type Figures = BTreeMap<String, u64>;

/// Counts, says what it counted, and fails when something takes more than the file says, or writes the file.
pub(super) async fn guard(binary: &Path, recorded: &Path, record: bool) -> anyhow::Result<()> {
    let known = match record {
        true => Figures::new(),
        false => read(recorded)?,
    };
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), false).await?;
    let mut counted = Figures::new();
    for row in ROWS {
        for era in Era::BOTH {
            let name = format!("{row:?} {era:?}").to_lowercase();
            let short = count(binary, row, era, server.address, FEW).await?;
            let long = count(binary, row, era, server.address, MANY).await?;
            let each = long.saturating_sub(short) / (MANY - FEW);
            let before = known
                .get(&name)
                .map(|before| format!(", recorded {before}"));
            let before = before.unwrap_or_default();
            writeln!(std::io::stdout(), "{name:<16}{each:>10}{before}")?;
            counted.insert(name, each);
        }
    }
    if record {
        return write(recorded, &counted);
    }
    compare(&known, &counted)
}

/// The instructions of a whole run with so many calls.
async fn count(
    binary: &Path,
    row: Row,
    era: Era,
    server: SocketAddr,
    calls: u64,
) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let out = format!("--callgrind-out-file={}", file.display());
    let gateway = prepare_gateway(binary, row, era, server).await?;
    let gateway = gateway
        .under(&["valgrind", "--tool=callgrind", &out])
        // Which of several threads finds work first is chance.
        .variable("TOKIO_WORKER_THREADS", "1")
        .start()
        .await
        .context("is valgrind installed?")?;
    let target = gateway_target(&gateway, row);
    wait_until_ready(&target, row, era).await?;
    let mut clients = load::open(&target, era, &row.work(), 1).await?;
    drive(&mut clients, &row.work(), calls).await?;
    drop(clients);
    gateway.stop().await?;
    let text = fs::read_to_string(&file).context("reading what callgrind counted")?;
    total(&text).context("callgrind says no total")
}

fn total(counted: &str) -> Option<u64> {
    let total = counted
        .lines()
        .find_map(|line| line.strip_prefix("totals:"));
    total?.trim().parse().ok()
}

fn compare(known: &Figures, counted: &Figures) -> anyhow::Result<()> {
    let names = |figures: &Figures| figures.keys().cloned().collect::<Vec<_>>();
    let again = "record anew with tests/instructions/run --record";
    ensure!(
        names(known) == names(counted),
        "other figures are recorded than counted; {again}"
    );
    for ((name, before), now) in known.iter().zip(counted.values()) {
        let percent = (now * 100).checked_div(*before).unwrap_or(u64::MAX);
        ensure!(
            percent < 100 + ROOM,
            "{name} takes {now} instructions, and {before} are recorded: \
             find out why, or if it is worth it, {again}"
        );
        if percent + ROOM < 100 {
            writeln!(
                std::io::stdout(),
                "{name} takes less than recorded; {again}"
            )?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Figures> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figure = |line: &str| {
        let (name, figure) = line.rsplit_once(' ')?;
        Some((name.trim().to_owned(), figure.parse().ok()?))
    };
    let figures = lines.map(|line| {
        let read = figure(line);
        read.with_context(|| format!("{}: {line:?} has no figure", file.display()))
    });
    figures.collect()
}

fn write(file: &Path, figures: &Figures) -> anyhow::Result<()> {
    let lines = figures.iter();
    let lines: String = lines
        .map(|(name, figure)| format!("{name} {figure}\n"))
        .collect();
    fs::write(file, format!("{HEAD}{lines}")).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(call: u64) -> Figures {
        Figures::from([("call modern".to_owned(), call)])
    }

    #[test]
    fn what_is_written_is_read_again() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("recorded");
        write(&file, &figures(1234))?;
        assert_eq!(read(&file)?, figures(1234));
        fs::write(&file, "call modern many\n")?;
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains("call modern many"), "{error}");
        Ok(())
    }

    #[test]
    fn five_hundredths_more_are_too_many() {
        compare(&figures(1000), &figures(1049)).unwrap();
        compare(&figures(1000), &figures(500)).unwrap();
        let error = compare(&figures(1000), &figures(1050)).unwrap_err();
        assert!(
            error.to_string().contains("call modern takes 1050"),
            "{error}"
        );
        compare(&Figures::new(), &figures(1)).unwrap_err();
    }

    #[test]
    fn the_total_is_found() {
        assert_eq!(total("fn=(1) main\n1 2\n\ntotals: 123\n"), Some(123));
        assert_eq!(total("events: Ir\n"), None);
    }
}
