//! What was done when, to be read when a call failed.

use std::fmt;

use tokio::sync::watch;
use tokio::time::Instant;

/// How much of it is told.
const LAST: usize = 40;

#[derive(Debug)]
pub struct Chronicle {
    began: Instant,
    entries: watch::Sender<Vec<(Instant, String)>>,
}

impl Default for Chronicle {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            entries: watch::Sender::default(),
        }
    }
}

impl Chronicle {
    pub fn note(&self, what: impl fmt::Display) {
        let entry = (Instant::now(), what.to_string());
        self.entries.send_modify(|entries| entries.push(entry));
    }

    /// How many of them begin like this.
    pub fn count(&self, beginning: &str) -> usize {
        let entries = self.entries.borrow();
        let wanted = entries
            .iter()
            .filter(|(_, what)| what.starts_with(beginning));
        wanted.count()
    }

    /// Seconds since the beginning.
    pub fn at(&self, moment: Instant) -> f64 {
        moment.duration_since(self.began).as_secs_f64()
    }

    /// What was done last before a moment.
    pub fn before(&self, moment: Instant) -> String {
        let entries = self.entries.borrow();
        let end = entries.partition_point(|(when, _)| *when <= moment);
        let last = entries.iter().take(end).skip(end.saturating_sub(LAST));
        let lines = last.map(|(when, what)| format!("    {:8.3} {what}\n", self.at(*when)));
        lines.collect()
    }
}
