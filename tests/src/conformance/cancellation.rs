//! A tool that runs until its client takes the call back, and a count of such calls.

use std::sync::atomic::{AtomicU64, Ordering};

use rmcp::model::Tool;

use super::catalog::{Answer, Call, plain, text};
use super::notices::report;

#[derive(Debug, Default)]
pub(super) struct Cancellations(AtomicU64);

pub(super) fn tools() -> Vec<Tool> {
    vec![plain(
        "test_cancellation",
        "Runs until it is cancelled, which test://cancellations counts",
    )]
}

impl Cancellations {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// None for the tools of other areas.
    pub(super) async fn call(&self, call: &Call) -> Option<Answer> {
        if call.name != "test_cancellation" {
            return None;
        }
        // So that the client knows that there is something to cancel.
        report(call, 0.0, 1.0).await;
        call.context.ct.cancelled().await;
        self.0.fetch_add(1, Ordering::SeqCst);
        Some(text("Cancelled."))
    }
}
