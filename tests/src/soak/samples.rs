//! Memory and descriptors of the gateway, second by second, and whether they grow.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::processes;

const EVERY: Duration = Duration::from_secs(1);
/// How many descriptors more may be open at the end: clients come and go between two samples.
const SPARE_DESCRIPTORS: u64 = 16;
const SPARE_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug, Clone, Copy)]
struct Sample {
    memory: u64,
    descriptors: u64,
}

/// The medians of the first and of the last third of the samples.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Trend {
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Debug)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    /// Samples until then, but not the first quarter of the time: what is taken on once is not a leak.
    pub(super) async fn take(process: u32, length: Duration) -> anyhow::Result<Self> {
        let end = Instant::now() + length;
        sleep(length / 4).await;
        let mut samples = Vec::new();
        while Instant::now() < end {
            samples.push(Sample {
                memory: processes::memory(process)?,
                descriptors: processes::descriptors(process)? as u64,
            });
            sleep(EVERY).await;
        }
        ensure!(samples.len() >= 3, "too short to see a trend: {samples:?}");
        Ok(Self(samples))
    }

    pub(super) fn memory(&self) -> Trend {
        self.trend(|sample| sample.memory)
    }

    pub(super) fn descriptors(&self) -> Trend {
        self.trend(|sample| sample.descriptors)
    }

    fn trend(&self, figure: impl Fn(&Sample) -> u64) -> Trend {
        let third = (self.0.len() / 3).max(1);
        let figures: Vec<u64> = self.0.iter().map(figure).collect();
        let rest = figures.len().saturating_sub(third);
        Trend {
            first: median(figures.get(..third).unwrap_or_default()),
            last: median(figures.get(rest..).unwrap_or_default()),
        }
    }

    /// Fails if there is more of something at the end than there was at the beginning.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (memory, descriptors) = (self.memory(), self.descriptors());
        ensure!(
            memory.last <= memory.first + SPARE_BYTES.max(memory.first / 10),
            "memory grew: {memory:?}"
        );
        ensure!(
            descriptors.last <= descriptors.first + SPARE_DESCRIPTORS,
            "descriptors grew: {descriptors:?}"
        );
        Ok(())
    }
}

fn median(figures: &[u64]) -> u64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(figures: impl Iterator<Item = (u64, u64)>) -> Samples {
        let samples = figures.map(|(memory, descriptors)| Sample {
            memory,
            descriptors,
        });
        Samples(samples.collect())
    }

    #[test]
    fn what_goes_up_and_down_is_no_leak() {
        let flat =
            samples((0..90).map(|second| ((50 << 20) + ((second % 7) << 18), 40 + second % 5)));
        flat.check().unwrap();
        assert_eq!(flat.descriptors().first, 42);
    }

    #[test]
    fn what_only_grows_is_a_leak() {
        let memory = samples((0..90).map(|second| ((50 + second) << 20, 40)));
        let descriptors = samples((0..90).map(|second| (50 << 20, 40 + second)));
        for (leak, what) in [(memory, "memory"), (descriptors, "descriptors")] {
            let error = leak.check().unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
