//! What became of a revision: the replicas' answers taken together.

use gateway_core::config::Violation;
use gateway_core::{Deadline, Revision, TenantId};

use super::Hub;
use super::status::Answer;

/// What became of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every connected replica that may have the tenant has it in force.
    InForce,
    /// At least one replica refused it, for these reasons, and keeps what it had.
    Refused(Vec<Violation>),
    /// A later revision, or the tenant's removal, came before every replica had answered.
    Superseded,
}

/// There is no verdict.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// Nobody was there to answer who may have the tenant.
    #[error("no data plane is connected, so nothing is in force yet")]
    NoReplica,
    /// Somebody did not answer in time.
    #[error("these replicas have not answered yet: {}", .waiting_for.join(", "))]
    Unanswered {
        /// Their names.
        waiting_for: Vec<String>,
    },
    /// There is nothing to wait for.
    #[error("tenant {tenant} has no revision {revision}")]
    NotFound {
        /// Whose revision.
        tenant: TenantId,
        /// Its number.
        revision: Revision,
    },
}

/// What the replicas have answered so far.
#[derive(Debug, Default)]
struct Answers {
    replicas: usize,
    waiting_for: Vec<String>,
    violations: Vec<Violation>,
}

impl Hub {
    /// Waits until every connected replica that may have the tenant, and at least one, has answered
    /// to a revision. If that does not happen by the deadline, a refusal by one of them is answer
    /// enough.
    pub(crate) async fn verdict(
        &self,
        tenant: &TenantId,
        revision: Revision,
        deadline: Deadline,
    ) -> Result<Verdict, VerdictError> {
        let wait = self.wait_for_answers(tenant, revision);
        if let Ok(verdict) = tokio::time::timeout(deadline.remaining(), wait).await {
            return verdict;
        }
        let Some(answers) = self.answers(tenant, revision)? else {
            return Ok(Verdict::Superseded);
        };
        if !answers.violations.is_empty() {
            Ok(Verdict::Refused(answers.violations))
        } else if answers.replicas == 0 {
            Err(VerdictError::NoReplica)
        } else {
            Err(VerdictError::Unanswered {
                waiting_for: answers.waiting_for,
            })
        }
    }

    async fn wait_for_answers(
        &self,
        tenant: &TenantId,
        revision: Revision,
    ) -> Result<Verdict, VerdictError> {
        let mut changes = self.changes();
        loop {
            changes.mark_seen();
            let Some(answers) = self.answers(tenant, revision)? else {
                return Ok(Verdict::Superseded);
            };
            if answers.replicas > 0 && answers.waiting_for.is_empty() {
                return Ok(if answers.violations.is_empty() {
                    Verdict::InForce
                } else {
                    Verdict::Refused(answers.violations)
                });
            }
            changes.next().await;
        }
    }

    /// `None` if the revision is not current any more.
    fn answers(
        &self,
        tenant: &TenantId,
        revision: Revision,
    ) -> Result<Option<Answers>, VerdictError> {
        let not_found = || VerdictError::NotFound {
            tenant: tenant.clone(),
            revision,
        };
        let (sequence, current) = self.index.borrow().tenant(tenant).ok_or_else(not_found)?;
        match current {
            Some(current) if current == revision => {}
            Some(current) if current < revision => return Err(not_found()),
            _ => return Ok(None),
        }
        let mut answers = Answers::default();
        let replicas = self.replicas();
        for replica in replicas.iter().filter(|one| one.is_of(Some(tenant))) {
            answers.replicas += 1;
            let violations = match replica.answer(tenant, sequence, revision) {
                Answer::InForce => continue,
                Answer::Refused(violations) => violations,
                Answer::None => {
                    answers.waiting_for.push(replica.replica.clone());
                    continue;
                }
            };
            for violation in violations {
                // Replicas of one version refuse for the same reasons.
                if !answers.violations.contains(&violation) {
                    answers.violations.push(violation);
                }
            }
        }
        Ok(Some(answers))
    }
}
