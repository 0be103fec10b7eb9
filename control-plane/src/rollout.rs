//! Rollouts: a revision that a few replicas, the canaries, have first. If it does well there for a
//! while every replica gets it, else none keeps it until somebody decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{Revision, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod driver;
mod next;

pub(crate) use driver::Driver;
pub(crate) use next::{Seen, tally};

/// How a revision is rolled out: an option of the change that makes it, not of the document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Which share of the connected replicas are canaries: more than 0, at most 1. It is at least
    /// one of them.
    pub share: f64,
    /// For how long the canaries must do well, once all of them have the revision in force.
    pub bake: Duration,
    /// Which share of the requests on the canaries may fail by the gateway, a plugin or a server that
    /// is not reached: from 0 to 1.
    pub max_error_rate: f64,
}

impl Plan {
    /// What is allowed to fail where nobody says.
    pub const MAX_ERROR_RATE: f64 = 0.05;

    /// The longest that a revision can bake.
    pub const MAX_BAKE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// What is wrong with it, and with which field; `None`: nothing.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Some(("share", "must be more than 0 and at most 1"));
        }
        if self.bake > Self::MAX_BAKE {
            return Some(("bake", "must be at most seven days"));
        }
        if !(0.0..=1.0).contains(&self.max_error_rate) {
            return Some(("max_error_rate", "must be from 0 to 1"));
        }
        None
    }
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The canaries have the revision, or are about to; all others have what they had.
    Canary,
    /// It did not do well: no replica has the revision, until somebody resumes or aborts.
    Halted,
    /// Every replica has the revision, or is about to.
    Complete,
    /// Somebody has given the revision up. What was before it is current again.
    Aborted,
    /// Another change of the tenant came before it was complete.
    Superseded,
}

impl Stage {
    const ALL: [Self; 5] = [
        Self::Canary,
        Self::Halted,
        Self::Complete,
        Self::Aborted,
        Self::Superseded,
    ];

    /// As the store has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Halted => "halted",
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether it is not over yet.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Canary | Self::Halted)
    }
}

/// A tenant's last rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Whose.
    pub tenant: TenantId,
    /// What is rolled out.
    pub revision: Revision,
    /// What all other replicas keep; `None`: they do not serve the tenant.
    pub stable: Option<Revision>,
    /// How.
    pub plan: Plan,
    /// Where it is.
    pub stage: Stage,
    /// Why it is there; empty where that is clear.
    pub reason: String,
    /// Which replicas are canaries.
    pub canaries: Arc<BTreeSet<String>>,
    /// How many canaries went away before it was over.
    pub lost: u32,
    /// Who began it.
    pub author: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it came to where it is.
    pub updated_at: Timestamp,
    /// Since when all canaries have the revision in force; `None`: they do not yet.
    pub baking_since: Option<Timestamp>,
    /// The store's sequence of its last step.
    pub(crate) sequence: u64,
}

/// A step of a rollout, to be kept if no other one came first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RolloutStep {
    pub(crate) tenant: TenantId,
    pub(crate) revision: Revision,
    /// The sequence of the step before.
    pub(crate) after: u64,
    pub(crate) stage: Stage,
    pub(crate) reason: String,
    pub(crate) canaries: Arc<BTreeSet<String>>,
    pub(crate) lost: u32,
    pub(crate) baking_since: Option<Timestamp>,
    /// When it is made.
    pub(crate) at: Timestamp,
    /// Who makes it.
    pub(crate) author: String,
    /// Why somebody wants it.
    pub(crate) because: String,
}

/// Whose steps those are that nobody asks for.
pub(crate) const DRIVER: &str = "rollout";

impl Rollout {
    /// The step that leaves everything as it is.
    fn step(&self, at: Timestamp, author: &str) -> RolloutStep {
        RolloutStep {
            tenant: self.tenant.clone(),
            revision: self.revision,
            after: self.sequence,
            stage: self.stage,
            reason: self.reason.clone(),
            canaries: Arc::clone(&self.canaries),
            lost: self.lost,
            baking_since: self.baking_since,
            at,
            author: author.to_owned(),
            because: String::new(),
        }
    }

    /// The step by which one that was halted begins again.
    pub(crate) fn resumed(&self, at: Timestamp, author: &str, because: String) -> RolloutStep {
        RolloutStep {
            stage: Stage::Canary,
            reason: String::new(),
            lost: 0,
            baking_since: None,
            because,
            ..self.step(at, author)
        }
    }
}

/// How requests fared under one revision on one replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many were answered, in whatever way.
    pub requests: u64,
    /// How many of them failed by the gateway, a plugin or a server that is not reached.
    pub errors: u64,
}

#[cfg(test)]
mod tests;
