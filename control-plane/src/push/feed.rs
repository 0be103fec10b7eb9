//! What one stream sends next and what it waits for: one batch at a time, so that a slow replica
//! gets fewer and later batches, never a queue of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::{Revision, TenantId};
use gateway_proto::Refusal;

use super::{Index, Position, Recipient};

/// A batch is closed once it holds this many bytes of documents.
const BATCH_BYTES: usize = 1024 * 1024;

/// One thing that a replica has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Put a document in force.
    Put {
        tenant: TenantId,
        revision: Revision,
        /// The encoded configuration, shared by all streams.
        config: Bytes,
        /// Whether not every replica has it yet.
        canary: bool,
    },
    /// Stop serving a tenant.
    Remove(TenantId),
}

/// What is sent at once and answered at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) nonce: u64,
    /// Where the replica is once this batch is in force, and those after it if there are more.
    pub(crate) sequence: u64,
    /// Whether more of the same state follows.
    pub(crate) more: bool,
    pub(crate) steps: Vec<Step>,
}

/// The replica now has everything up to a position, except for what it refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) position: Position,
    /// The tenants that the way there changed.
    pub(crate) touched: Vec<TenantId>,
    pub(crate) refusals: Vec<Refusal>,
}

/// An answer that fits no question.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnexpectedAnswer {
    /// No batch of that nonce waits for its answer.
    #[error("batch {0} does not wait for an acknowledgement")]
    Nonce(u64),
    /// The batch had no such document.
    #[error("revision {revision} of tenant {tenant} is refused but was not in batch {nonce}")]
    Refusal {
        nonce: u64,
        tenant: TenantId,
        revision: Revision,
    },
}

/// One stream's side of the conversation.
#[derive(Debug)]
pub(crate) struct Feed {
    recipient: Recipient,
    /// Where `rest` leads.
    target: Arc<Index>,
    rest: VecDeque<Step>,
    last_nonce: u64,
    /// The documents of the batch that is not answered yet.
    unanswered: Option<BTreeMap<TenantId, Revision>>,
    /// Of the answered batches on the way to `target`.
    touched: Vec<TenantId>,
    refusals: Vec<Refusal>,
}

impl Feed {
    pub(super) fn new(
        recipient: Recipient,
        index: Arc<Index>,
        held: &BTreeMap<TenantId, Revision>,
        comparable: bool,
    ) -> Self {
        let steps = index.since_held(held, comparable, &recipient);
        Self {
            recipient,
            target: index,
            rest: steps.into(),
            last_nonce: 0,
            unanswered: None,
            touched: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Whether the replica owes an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Whether the replica has all that it was to be sent so far.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.is_waiting() && self.rest.is_empty()
    }

    /// Where the batches made so far lead, once the last of them is made.
    pub(crate) fn target(&self) -> Option<&Position> {
        self.rest.is_empty().then(|| self.target.position())
    }

    /// The next batch towards `current`; `None` while an answer is owed, or nothing changed that the
    /// recipient may know of. The first is made even if it is empty.
    pub(crate) fn next_batch(&mut self, current: &Arc<Index>) -> Option<Batch> {
        if self.is_waiting() {
            return None;
        }
        if self.rest.is_empty() && self.last_nonce > 0 {
            let sequence = self.target.position().sequence;
            if current.position().sequence <= sequence {
                return None;
            }
            let steps = current.since(&self.target, &self.recipient);
            self.target = Arc::clone(current);
            self.rest = steps?.into();
        }
        Some(self.cut_batch())
    }

    /// A batch without steps, for what else a replica is to be told; `None` while an answer is owed.
    pub(crate) fn bare_batch(&mut self) -> Option<Batch> {
        let may_send = !self.is_waiting() && self.rest.is_empty();
        may_send.then(|| self.cut_batch())
    }

    /// Who it is for.
    pub(crate) fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    fn cut_batch(&mut self) -> Batch {
        let mut steps = Vec::new();
        let mut documents = BTreeMap::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(step) = self.rest.pop_front() else {
                break;
            };
            match &step {
                Step::Put {
                    tenant,
                    revision,
                    config,
                    ..
                } => {
                    bytes += config.len();
                    documents.insert(tenant.clone(), *revision);
                    self.touched.push(tenant.clone());
                }
                Step::Remove(tenant) => self.touched.push(tenant.clone()),
            }
            steps.push(step);
        }
        self.unanswered = Some(documents);
        self.last_nonce += 1;
        Batch {
            nonce: self.last_nonce,
            sequence: self.target.position().sequence,
            more: !self.rest.is_empty(),
            steps,
        }
    }

    /// Takes the answer to the last batch; says where the replica now is if that was the last
    /// batch on the way.
    pub(crate) fn acknowledge(
        &mut self,
        nonce: u64,
        refusals: Vec<Refusal>,
    ) -> Result<Option<Arrival>, UnexpectedAnswer> {
        let documents = match &self.unanswered {
            Some(documents) if nonce == self.last_nonce => documents,
            _ => return Err(UnexpectedAnswer::Nonce(nonce)),
        };
        let unknown = refusals
            .iter()
            .find(|refusal| documents.get(&refusal.tenant) != Some(&refusal.revision));
        if let Some(Refusal {
            tenant, revision, ..
        }) = unknown
        {
            return Err(UnexpectedAnswer::Refusal {
                nonce,
                tenant: tenant.clone(),
                revision: *revision,
            });
        }
        self.unanswered = None;
        self.refusals.extend(refusals);
        let Some(position) = self.target().cloned() else {
            return Ok(None);
        };
        Ok(Some(Arrival {
            position,
            touched: std::mem::take(&mut self.touched),
            refusals: std::mem::take(&mut self.refusals),
        }))
    }
}

#[cfg(test)]
mod tests;
