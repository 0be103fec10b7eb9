//! The calls: every target in every cell, in turn, as often as there are rounds.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use super::clock::Clock;
use super::load::{self, Target};
use super::report::{Cell, Figures};
use super::row::Row;
use super::statistics::{median, micros, percentile};
use crate::session::Era;

/// What one cell asks, and whom.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) row: Row,
    pub(super) era: Era,
    pub(super) connections: usize,
    pub(super) targets: Vec<Target>,
}

/// What was measured of one target in one cell, over all rounds.
#[derive(Debug, Default)]
struct Measured {
    latencies: Vec<Duration>,
    /// Milliseconds for 1,000 calls, by round; `None` where nobody's time is measured.
    cpu: Vec<Option<f64>>,
    /// The middle latency of each round, in microseconds.
    middle: Vec<f64>,
}

/// Asks every question in every round, so that a disturbance hits all of them, and what is compared is close in time.
pub(super) async fn measure(
    questions: &[Question],
    rounds: usize,
    calls: u64,
) -> anyhow::Result<Vec<Cell>> {
    let mut measured: Vec<BTreeMap<String, Measured>> = Vec::new();
    measured.resize_with(questions.len(), BTreeMap::new);
    for round in 0..rounds {
        writeln!(std::io::stderr(), "round {} of {rounds}", round + 1)?;
        for (question, measured) in questions.iter().zip(&mut measured) {
            let count = question.targets.len();
            // Nobody is always the first.
            for target in question
                .targets
                .iter()
                .cycle()
                .skip(round % count.max(1))
                .take(count)
            {
                let one = measured.entry(target.name.clone()).or_default();
                run(question, target, calls, one).await.with_context(|| {
                    format!(
                        "asking {} ({:?}, {:?}, {} connections)",
                        target.name, question.row, question.era, question.connections
                    )
                })?;
            }
        }
    }
    let cells = questions.iter().zip(&measured);
    Ok(cells
        .map(|(question, measured)| cell(question, measured))
        .collect())
}

async fn run(
    question: &Question,
    target: &Target,
    calls: u64,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let work = question.row.work();
    let mut clients = load::open(target, question.era, &work, question.connections).await?;
    load::drive(&mut clients, &work, calls / 10).await?;
    let mut clock = target.process.map(Clock::of);
    let before = clock.as_mut().map(Clock::read).transpose()?;
    let mut latencies = load::drive(&mut clients, &work, calls).await?;
    let after = clock.as_mut().map(Clock::read).transpose()?;
    latencies.sort_unstable();
    let used = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before));
    let thousands = latencies.len() as f64 / 1000.0;
    measured
        .cpu
        .push(used.map(|used| used.as_secs_f64() * 1000.0 / thousands));
    measured
        .middle
        .extend(percentile(&latencies, 500).map(micros));
    measured.latencies.extend(latencies);
    Ok(())
}

fn cell(question: &Question, measured: &BTreeMap<String, Measured>) -> Cell {
    let of = |name: &str| measured.get(name);
    let figures = question.targets.iter().filter_map(|target| {
        let measured = of(&target.name)?;
        let ratio = of("nginx").and_then(|nginx| median(&ratios(&measured.cpu, &nginx.cpu)));
        Some(figures(target, measured, ratio))
    });
    let added = of("gateway")
        .zip(of("direct"))
        .and_then(|(gateway, direct)| {
            let pairs = gateway.middle.iter().zip(&direct.middle);
            median(
                &pairs
                    .map(|(gateway, direct)| gateway - direct)
                    .collect::<Vec<_>>(),
            )
        });
    Cell {
        row: question.row,
        era: question.era,
        connections: question.connections,
        added_p50_us: added,
        figures: figures.collect(),
    }
}

fn figures(target: &Target, measured: &Measured, ratio: Option<f64>) -> Figures {
    let mut sorted = measured.latencies.clone();
    sorted.sort_unstable();
    let at = |per_mille| percentile(&sorted, per_mille).map_or(f64::NAN, micros);
    let cpu: Vec<f64> = measured.cpu.iter().copied().flatten().collect();
    Figures {
        target: target.name.clone(),
        checked_replies: sorted.len(),
        cpu_ms_per_1000_calls: median(&cpu),
        cpu_ratio_to_nginx: ratio,
        p50_us: at(500),
        p90_us: at(900),
        p99_us: at(990),
        p999_us: at(999),
    }
}

/// Round by round.
fn ratios(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Vec<f64> {
    let pairs = ours.iter().zip(theirs);
    let ratios = pairs.filter_map(|(ours, theirs)| Some((*ours)? / (*theirs)?));
    ratios.filter(|ratio| ratio.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let ours = [Some(10.0), None, Some(30.0), Some(1.0)];
        let theirs = [Some(5.0), Some(1.0), Some(10.0), Some(0.0)];
        assert_eq!(ratios(&ours, &theirs), [2.0, 3.0]);
    }
}
