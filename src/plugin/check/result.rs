//! What a check found: cases by era, and how long calls took.

use std::time::Duration;

use gateway_core::plugin::PluginKind;
use gateway_mcp::client::ServerHello;
use gateway_mcp::version::{Era, Version};
use gateway_plugins::suite::{Finding, Latency, Report, Verdict};
use serde::Deserialize;

/// The whole result.
#[derive(Debug)]
pub(super) struct Checked {
    /// The address or the command.
    pub(super) plugin: String,
    pub(super) kind: PluginKind,
    /// What the server calls itself, with its version.
    pub(super) server: Option<ServerInfo>,
    pub(super) eras: Vec<CheckedEra>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ServerInfo {
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: String,
}

impl ServerInfo {
    /// Its name, and its version where it says one.
    pub(super) fn in_words(&self) -> String {
        format!("{} {}", self.name, self.version)
            .trim_end()
            .to_owned()
    }
}

/// What was found while one version of MCP was spoken.
#[derive(Debug)]
pub(super) struct CheckedEra {
    pub(super) version: Version,
    pub(super) cases: Vec<Case>,
    pub(super) latency: Option<Latency>,
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) part: Part,
    pub(super) finding: Finding,
}

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// MCP, and the tools of the contract.
    Protocol,
    /// What the plugin's trait demands.
    Semantics,
}

impl Part {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Semantics => "semantics",
        }
    }
}

impl Checked {
    pub(super) fn new(plugin: &str, kind: PluginKind, hello: &ServerHello) -> Self {
        let info = hello.server_info.as_deref();
        Self {
            plugin: plugin.to_owned(),
            kind,
            server: info.and_then(|info| serde_json::from_str(info.get()).ok()),
            eras: Vec::new(),
        }
    }

    pub(super) fn cases(&self) -> impl Iterator<Item = (&CheckedEra, &Case)> {
        self.eras
            .iter()
            .flat_map(|era| era.cases.iter().map(move |case| (era, case)))
    }

    pub(super) fn count(&self, of: impl Fn(&Verdict) -> bool) -> usize {
        self.cases()
            .filter(|(_, case)| of(&case.finding.verdict))
            .count()
    }

    pub(super) fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    pub(super) fn passed(&self) -> usize {
        self.count(|verdict| *verdict == Verdict::Passed)
    }

    pub(super) fn skipped(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::NotApplicable(_)))
    }
}

impl CheckedEra {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            cases: Vec::new(),
            latency: None,
        }
    }

    pub(super) fn add(&mut self, part: Part, report: Report) {
        let cases = report.findings.into_iter();
        self.cases
            .extend(cases.map(|finding| Case { part, finding }));
    }

    /// Of an era that was asked for.
    pub(super) fn not_spoken(era: Era, why: String) -> Self {
        let version = match era {
            Era::Legacy => Version::LATEST_LEGACY,
            Era::Modern => Version::LATEST_MODERN,
        };
        let mut checked = Self::new(version);
        let verdict = Verdict::Failed(why);
        checked
            .cases
            .push(Case::new("speaks_this_version", Part::Protocol, verdict));
        checked
    }
}

impl Case {
    fn new(case: &'static str, part: Part, verdict: Verdict) -> Self {
        let took = Duration::ZERO;
        Self {
            part,
            finding: Finding {
                case,
                verdict,
                took,
            },
        }
    }

    /// In the place of all that a plugin without tools or answers cannot be asked.
    pub(super) fn not_run() -> Self {
        let why = "not run, because of what failed before";
        let verdict = Verdict::NotApplicable(why.to_owned());
        Self::new("does_what_its_kind_is_for", Part::Semantics, verdict)
    }
}

/// The time within which so many of a hundred calls were answered.
pub(super) fn percentile(latency: &Latency, percent: usize) -> Duration {
    let last = latency.calls.len().saturating_sub(1);
    let index = latency.calls.len() * percent / 100;
    latency
        .calls
        .get(index.min(last))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let calls = (1..=200).map(Duration::from_millis).collect();
        let latency = Latency { tool: "t", calls };
        assert_eq!(percentile(&latency, 50), Duration::from_millis(101));
        assert_eq!(percentile(&latency, 99), Duration::from_millis(199));
        assert_eq!(percentile(&latency, 100), Duration::from_millis(200));
    }
}
