//! What visitors did and were answered, and which audit events that must have left.

use std::collections::BTreeMap;
use std::time::Duration;

/// How a call is recorded in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) user: String,
    pub(super) server: String,
    pub(super) tool: String,
    pub(super) result: String,
}

impl Record {
    pub(super) fn new(user: &str, server: &str, tool: &str, result: &str) -> Self {
        let [user, server, tool, result] = [user, server, tool, result].map(str::to_owned);
        Self {
            user,
            server,
            tool,
            result,
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    pub(super) visits: u64,
    pub(super) longest: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) visits: BTreeMap<&'static str, Count>,
    /// Calls that were answered, one for each event that there has to be.
    pub(super) answered: BTreeMap<Record, u64>,
    /// Calls that were left before there was an answer.
    pub(super) left: u64,
    /// Calls without a key.
    pub(super) refused: u64,
    /// Errors at servers that were down, or went down under the call.
    pub(super) provoked: u64,
}

impl Tally {
    pub(super) fn visited(&mut self, kind: &'static str, took: Duration) {
        let count = self.visits.entry(kind).or_default();
        count.visits += 1;
        count.longest = count.longest.max(took);
    }

    pub(super) fn answered(&mut self, user: &str, server: &str, tool: &str, result: &str) {
        let record = Record::new(user, server, tool, result);
        *self.answered.entry(record).or_default() += 1;
    }

    pub(super) fn calls(&self) -> u64 {
        self.answered.values().sum()
    }

    pub(super) fn merge(&mut self, other: Self) {
        let Self {
            visits,
            answered,
            left,
            refused,
            provoked,
        } = other;
        for (kind, count) in visits {
            let own = self.visits.entry(kind).or_default();
            own.visits += count.visits;
            own.longest = own.longest.max(count.longest);
        }
        for (record, count) in answered {
            *self.answered.entry(record).or_default() += count;
        }
        self.left += left;
        self.refused += refused;
        self.provoked += provoked;
    }
}
