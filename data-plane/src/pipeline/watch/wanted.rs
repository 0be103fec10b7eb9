//! A resource that a client wants to be told of, and whether it knows that it will be.

use super::{Answered, Refusal};

/// A resource that the client wants to be told of.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The client waits for the answer.
    pub(super) waiting: Vec<Answered>,
    /// Whether it was watched before, so that the client relies on being told.
    pub(super) was_watched: bool,
}

impl Wanted {
    /// Answers all who wait, of whom none may be there any more.
    pub(super) fn answer(&mut self, answer: &Result<(), Refusal>) {
        for waiting in self.waiting.drain(..) {
            let answer = answer.as_ref().copied().map_err(Refusal::again);
            waiting.send(answer).ok();
        }
    }
}
