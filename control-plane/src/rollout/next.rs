//! What becomes of a rollout next, by what its replicas say: a decision and nothing else.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use gateway_core::Revision;
use gateway_core::config::Violation;
use jiff::{SignedDuration, Timestamp};

use super::{DRIVER, Rollout, RolloutStep, Stage, Tally};

/// Before a revision has baked, so many requests must be seen to judge it by: one failure of a first
/// request is no rate.
const ENOUGH_REQUESTS: u64 = 20;

/// A connected replica, as far as it matters for one rollout.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) replica: String,
    pub(crate) in_force: Option<Revision>,
    /// What it refused, and why.
    pub(crate) refused: Option<(Revision, Vec<Violation>)>,
    pub(crate) tally: Tally,
}

impl Rollout {
    /// The next step, if it is time for one. `fleet` are the connected replicas that may have the
    /// tenant.
    pub(super) fn next(&self, fleet: &[Seen], now: Timestamp) -> Option<RolloutStep> {
        if self.stage != Stage::Canary || fleet.is_empty() {
            return None;
        }
        let is_canary = |seen: &&Seen| self.canaries.contains(&seen.replica);
        let canaries: Vec<_> = fleet.iter().filter(is_canary).collect();
        if let Some(reason) = self
            .refusal(&canaries)
            .or_else(|| self.errors(&canaries, now))
        {
            return Some(self.halted(now, reason));
        }
        let wanted = wanted(self.plan.share, fleet.len());
        if canaries.len() < wanted || canaries.len() < self.canaries.len() {
            return Some(self.replaced(fleet, &canaries, wanted, now));
        }
        let mut in_force = canaries.iter().map(|seen| seen.in_force);
        if !in_force.all(|in_force| in_force == Some(self.revision)) {
            return None;
        }
        match self.baking_since {
            None => Some(RolloutStep {
                baking_since: Some(now),
                ..self.step(now, DRIVER)
            }),
            Some(since) if self.has_baked(since, now) => Some(RolloutStep {
                stage: Stage::Complete,
                ..self.step(now, DRIVER)
            }),
            Some(_) => None,
        }
    }

    fn has_baked(&self, since: Timestamp, now: Timestamp) -> bool {
        let bake = SignedDuration::try_from(self.plan.bake).unwrap_or(SignedDuration::MAX);
        now.duration_since(since) >= bake
    }

    fn halted(&self, now: Timestamp, reason: String) -> RolloutStep {
        RolloutStep {
            stage: Stage::Halted,
            reason,
            baking_since: None,
            ..self.step(now, DRIVER)
        }
    }

    fn refusal(&self, canaries: &[&Seen]) -> Option<String> {
        canaries.iter().find_map(|seen| {
            let (revision, violations) = seen.refused.as_ref()?;
            let first = violations.first().filter(|_| *revision == self.revision)?;
            let Violation { path, reason } = first;
            let replica = &seen.replica;
            Some(format!("replica {replica} refuses it: {path}: {reason}"))
        })
    }

    /// Why too many requests fail, as far as that is known yet.
    fn errors(&self, canaries: &[&Seen], now: Timestamp) -> Option<String> {
        let total = tally(self.revision, canaries.iter().copied());
        let is_over = self
            .baking_since
            .is_some_and(|since| self.has_baked(since, now));
        if total.requests == 0 || (total.requests < ENOUGH_REQUESTS && !is_over) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let rate = total.errors as f64 / total.requests as f64;
        if rate <= self.plan.max_error_rate {
            return None;
        }
        let Tally { requests, errors } = total;
        let (failed, allowed) = (rate * 100.0, self.plan.max_error_rate * 100.0);
        Some(format!(
            "{errors} of {requests} requests on the canary replicas failed: {failed:.1}% are more than {allowed:.1}%"
        ))
    }

    /// Other canaries for those that went away. A revision that takes its replicas down must not
    /// go through all of them one by one.
    fn replaced(
        &self,
        fleet: &[Seen],
        canaries: &[&Seen],
        wanted: usize,
        now: Timestamp,
    ) -> RolloutStep {
        let gone = self.canaries.len().saturating_sub(canaries.len());
        let lost = self
            .lost
            .saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
        if usize::try_from(lost).is_ok_and(|lost| lost > wanted) {
            let reason = format!("{lost} canary replicas went away before the revision had baked");
            return RolloutStep {
                lost,
                ..self.halted(now, reason)
            };
        }
        let mut chosen: BTreeSet<_> = canaries.iter().map(|seen| seen.replica.clone()).collect();
        let others = fleet.iter().filter(|seen| !chosen.contains(&seen.replica));
        let mut others: Vec<_> = others.map(|seen| &seen.replica).collect();
        others.sort_by_key(|replica| self.rank(replica));
        let missing = wanted.saturating_sub(chosen.len());
        let further: Vec<_> = others.into_iter().take(missing).cloned().collect();
        chosen.extend(further);
        RolloutStep {
            canaries: Arc::new(chosen),
            lost,
            // A fleet that only grows does not begin anew each time.
            baking_since: self.baking_since.filter(|_| gone == 0),
            ..self.step(now, DRIVER)
        }
    }

    /// Another order for each rollout, so that not always the same replicas are the first to suffer.
    fn rank(&self, replica: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.tenant.as_str(), self.revision.0, replica).hash(&mut hasher);
        hasher.finish()
    }
}

/// How requests fared under a revision on those that have it in force.
pub(crate) fn tally<'a>(revision: Revision, seen: impl Iterator<Item = &'a Seen>) -> Tally {
    let in_force = seen.filter(|seen| seen.in_force == Some(revision));
    in_force.fold(Tally::default(), |total, seen| Tally {
        requests: total.requests.saturating_add(seen.tally.requests),
        errors: total.errors.saturating_add(seen.tally.errors),
    })
}

/// How many canaries there are among so many replicas.
fn wanted(share: f64, replicas: usize) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of processes"
    )]
    let count = (share * replicas as f64).ceil() as usize;
    count.clamp(1, replicas.max(1))
}
