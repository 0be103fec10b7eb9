//! What a suite found, and the running of its cases.

use std::fmt;
use std::time::Duration;

use gateway_core::PluginError;
use gateway_core::plugin::PluginKind;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::probe;

/// How long a case may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// The findings of one suite, in the order of its cases.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which trait it was about.
    pub kind: PluginKind,
    /// One finding for each case.
    pub findings: Vec<Finding>,
}

/// What came out of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The case, as a sentence without its subject.
    pub case: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The implementation does what the trait demands.
    Passed,
    /// It does not: what it did instead.
    Failed(String),
    /// The case does not concern this implementation, or cannot be judged from outside: why.
    NotApplicable(String),
}

/// Why a case did not pass.
pub(super) enum Unmet {
    Failed(String),
    NotApplicable(&'static str),
}

pub(super) type Outcome = Result<(), Unmet>;

impl From<PluginError> for Unmet {
    fn from(error: PluginError) -> Self {
        Self::Failed(format!(
            "answered with an error: {}",
            probe::printed(&error)
        ))
    }
}

/// Ends a case that found the implementation wrong.
pub(super) fn failed<T>(what: impl Into<String>) -> Result<T, Unmet> {
    Err(Unmet::Failed(what.into()))
}

/// Holds the implementation to `condition`.
pub(super) fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if condition {
        Ok(())
    } else {
        failed(otherwise())
    }
}

impl Report {
    pub(super) fn new(kind: PluginKind) -> Self {
        Self {
            kind,
            findings: Vec::new(),
        }
    }

    /// The findings that show the implementation to be wrong.
    pub fn failures(&self) -> Vec<&Finding> {
        let failed = |finding: &&Finding| matches!(finding.verdict, Verdict::Failed(_));
        self.findings.iter().filter(failed).collect()
    }

    /// Runs a case in a task of its own, so that a panic or a hang is a finding like any other.
    pub(super) async fn case(
        &mut self,
        case: &'static str,
        body: impl Future<Output = Outcome> + Send + 'static,
    ) {
        // Dropped, the set ends its task: nothing of a suite that is given up goes on.
        let (begin, mut task) = (Instant::now(), JoinSet::new());
        task.spawn(body);
        let verdict = match timeout(PATIENCE, task.join_next()).await {
            Ok(Some(Ok(Ok(())))) | Ok(None) => Verdict::Passed,
            Ok(Some(Ok(Err(Unmet::Failed(what))))) => Verdict::Failed(what),
            Ok(Some(Ok(Err(Unmet::NotApplicable(why))))) => Verdict::NotApplicable(why.to_owned()),
            Ok(Some(Err(_))) => Verdict::Failed("panicked".to_owned()),
            Err(_) => Verdict::Failed(format!("did not end within {PATIENCE:?}")),
        };
        self.findings.push(Finding {
            case,
            verdict,
            took: begin.elapsed(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { case, verdict, .. } in &self.findings {
            match verdict {
                Verdict::Passed => writeln!(f, "passed   {} {case}", self.kind)?,
                Verdict::Failed(what) => writeln!(f, "FAILED   {} {case}: {what}", self.kind)?,
                Verdict::NotApplicable(why) => writeln!(f, "skipped  {} {case}: {why}", self.kind)?,
            }
        }
        Ok(())
    }
}
