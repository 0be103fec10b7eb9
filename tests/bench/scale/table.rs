//! The figures, each with its aim.

use std::fmt;
use std::time::Duration;

use gateway_tests::bench::statistics::percentile;

use super::Extent;

#[derive(Debug)]
pub(crate) struct Table {
    /// What was measured, and how.
    preface: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    figure: String,
    aim: String,
}

impl Table {
    pub(super) fn of(extent: &Extent) -> Self {
        let Extent {
            tenants,
            servers,
            replicas,
            changes,
            ..
        } = extent;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let preface = format!(
            "{tenants} tenants of {servers} servers; {changes} changes each time. \
             Up to {replicas} simulated replicas share {processors} processors with the control plane.\n\n"
        );
        let rows = Vec::new();
        Self { preface, rows }
    }

    pub(super) fn add(&mut self, what: impl Into<String>, figure: String, aim: &str) {
        self.rows.push(Row {
            what: what.into(),
            figure,
            aim: aim.to_owned(),
        });
    }

    /// Half of the times and nearly all of them were not longer than this.
    pub(super) fn add_times(&mut self, what: &str, mut times: Vec<Duration>, aim: &str) {
        times.sort();
        for (name, per_mille, aim) in [("p50", 500, ""), ("p99", 990, aim)] {
            let time = percentile(&times, per_mille).unwrap_or_default();
            self.add(format!("{what}, {name}"), time_figure(time), aim);
        }
    }
}

pub(super) fn time_figure(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}

pub(super) fn memory_figure(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.preface)?;
        f.write_str("| | | aim |\n|---|--:|--:|\n")?;
        for Row { what, figure, aim } in &self.rows {
            writeln!(f, "| {what} | {figure} | {aim} |")?;
        }
        Ok(())
    }
}
