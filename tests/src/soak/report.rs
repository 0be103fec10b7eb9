//! The figures of a soak, as a table.

use std::fmt;
use std::time::Duration;

use super::samples::Trend;
use super::tally::Tally;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

#[derive(Debug, Default)]
pub struct Report {
    pub(super) length: Duration,
    pub(super) tally: Tally,
    pub(super) server_kills: u64,
    pub(super) child_kills: u64,
    pub(super) edits: u64,
    pub(super) unsound_edits: u64,
    pub(super) memory: Trend,
    pub(super) descriptors: Trend,
    /// Before the first client, and after the last.
    pub(super) descriptors_idle: (usize, usize),
    pub(super) events: usize,
    pub(super) audit_files: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, figure: String| writeln!(out, "{what:<44}{figure:>24}");
        line("soak", format!("{} s", self.length.as_secs()))?;
        for (kind, count) in &self.tally.visits {
            let longest = count.longest.as_millis();
            line(kind, format!("{} (longest {longest} ms)", count.visits))?;
        }
        line("calls answered", self.tally.calls().to_string())?;
        line("calls left by their client", self.tally.left.to_string())?;
        line("errors, all provoked", self.tally.provoked.to_string())?;
        let kills = format!("{} and {}", self.server_kills, self.child_kills);
        line("kills of the server and of the child", kills)?;
        let edits = format!("{} and {}", self.edits, self.unsound_edits);
        line("edits, sound and unsound", edits)?;
        let files = format!("{} in {}", self.events, self.audit_files + 1);
        line("audit events and files", files)?;
        let Trend { first, last } = self.memory;
        let [first, last] = [first, last].map(|bytes| bytes as f64 / MEBIBYTE);
        line(
            "memory, first and last third",
            format!("{first:.1} and {last:.1} MiB"),
        )?;
        let Trend { first, last } = self.descriptors;
        line(
            "descriptors, first and last third",
            format!("{first} and {last}"),
        )?;
        let (before, after) = self.descriptors_idle;
        line(
            "descriptors, before and after",
            format!("{before} and {after}"),
        )
    }
}
