//! The record of every call: who was let in or not, what they asked for, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::{Code, Response, Status};

use super::refusal;
use crate::grpc::admission::{Authority, Caller, Presented, Stranger};
use crate::store::{CallRecord, Store};

/// What is longer is cut off: strangers write these texts too.
const MAX_CHARS: usize = 200;

/// How many refusals of strangers are recorded one by one in a minute. What is beyond that is
/// counted and told with the next one, so that nobody fills the disk from outside.
const STRANGERS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// A call of the admin service.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: &'static str,
    target: String,
    reason: String,
}

impl Call {
    pub(super) fn new(method: &'static str, target: &str) -> Self {
        Self {
            method,
            target: printable(target),
            reason: String::new(),
        }
    }

    /// The same with the reason that its caller gives.
    pub(super) fn because(mut self, reason: &str) -> Self {
        self.reason = printable(reason);
        self
    }
}

/// What a call led to.
#[derive(Debug)]
pub(super) struct Done<T> {
    value: T,
    /// Whether the change that it made has been recorded with it, in one transaction.
    is_recorded: bool,
}

impl<T> Done<T> {
    pub(super) fn read(value: T) -> Self {
        Self::recorded_if(false, value)
    }

    pub(super) fn recorded_if(is_recorded: bool, value: T) -> Self {
        Self { value, is_recorded }
    }
}

/// Lets in who has something to administer, and writes down what they do.
pub(super) struct Trail {
    store: Arc<dyn Store>,
    authority: Arc<Authority>,
    strangers: Mutex<Strangers>,
}

/// The refusals of strangers in this minute.
struct Strangers {
    since: Instant,
    recorded: u32,
    /// Since the last one that was recorded.
    left_out: u64,
}

impl Trail {
    pub(super) fn new(store: Arc<dyn Store>, authority: Arc<Authority>) -> Self {
        let strangers = Strangers {
            since: Instant::now(),
            recorded: 0,
            left_out: 0,
        };
        Self {
            store,
            authority,
            strangers: Mutex::new(strangers),
        }
    }

    pub(super) fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority)
    }

    /// Lets the caller in, or records the refusal.
    pub(super) async fn admit(&self, call: &Call, presented: &Presented) -> Result<Caller, Status> {
        let admitted = self.authority.admit_administrator(presented).await;
        let Stranger {
            name,
            status: refused,
        } = match admitted {
            Ok(caller) => return self.take(call, presented, caller).await,
            Err(stranger) => stranger,
        };
        let left_out = self.strangers.lock().await.count(Instant::now());
        if let Some(left_out) = left_out {
            let mut summary = refused.message().to_owned();
            if left_out > 0 {
                summary.push_str(&format!("; {left_out} more refusals before it"));
            }
            tracing::warn!(method = call.method, reason = summary, "a call was refused");
            let record = entry(call.clone(), &name, refused.code(), &summary);
            if let Err(error) = self.store.record(record).await {
                tracing::error!(%error, "a refused call was not recorded");
            }
        }
        Err(refused)
    }

    /// Refuses who was let in with a request that cannot be done as it was meant.
    async fn take(
        &self,
        call: &Call,
        presented: &Presented,
        caller: Caller,
    ) -> Result<Caller, Status> {
        let flaws = presented.flaws();
        if flaws.is_empty() {
            return Ok(caller);
        }
        let refused: Result<Done<()>, _> = Err(refusal::fields(flaws.to_vec()));
        let recorded = self.record(call.clone(), &caller, refused).await;
        recorded.map(|_| caller)
    }

    /// Records a call of somebody who was let in, unless its change has been recorded. What cannot be
    /// recorded is not answered.
    pub(super) async fn record<T>(
        &self,
        call: Call,
        caller: &Caller,
        outcome: Result<Done<T>, Status>,
    ) -> Result<Response<T>, Status> {
        let record = match &outcome {
            Ok(done) if done.is_recorded => None,
            Ok(_) => Some(entry(call, &caller.name, Code::Ok, "")),
            Err(status) => Some(entry(call, &caller.name, status.code(), status.message())),
        };
        if let Some(record) = record
            && let Err(error) = self.store.record(record).await
        {
            tracing::error!(%error, "a call was not recorded");
            // A refusal is one all the same.
            if outcome.is_ok() {
                return Err(Status::unavailable(
                    "the call could not be recorded in the audit trail: try again later",
                ));
            }
        }
        outcome.map(|done| Response::new(done.value))
    }
}

impl Strangers {
    /// How many were left out before this one; `None` if it is itself left out.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= MINUTE {
            self.since = now;
            self.recorded = 0;
        }
        if self.recorded >= STRANGERS {
            self.left_out += 1;
            return None;
        }
        self.recorded += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

fn entry(call: Call, author: &str, outcome: Code, summary: &str) -> CallRecord {
    CallRecord {
        created_at: Timestamp::now(),
        author: author.to_owned(),
        action: call.method.to_owned(),
        target: call.target,
        reason: call.reason,
        outcome: format!("{outcome:?}"),
        summary: printable(summary),
    }
}

/// The beginning of a text, without what would not be shown.
fn printable(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_recorded_up_to_a_bound_and_counted_beyond_it() {
        let now = Instant::now();
        let mut strangers = Strangers {
            since: now,
            recorded: 0,
            left_out: 0,
        };
        for _ in 0..STRANGERS {
            assert_eq!(strangers.count(now), Some(0));
        }
        assert_eq!(strangers.count(now), None);
        assert_eq!(strangers.count(now), None);
        assert_eq!(strangers.count(now + MINUTE), Some(2));
        assert_eq!(strangers.count(now + MINUTE), Some(0));
    }

    #[test]
    fn what_strangers_write_is_cut_and_has_no_control_characters() {
        assert_eq!(printable("a\nb\u{1b}[31m"), "ab[31m");
        assert_eq!(printable(&"x".repeat(1000)).len(), MAX_CHARS);
    }
}
