//! One answer for all who ask the same at the same time, and never one that is older than the
//! question.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Takes turns at a question: while it is being asked, those who come share the turn after.
#[derive(Debug)]
pub(super) struct Turns<T: Clone> {
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    state: Arc<Mutex<State<T>>>,
}

#[derive(Debug)]
struct State<T: Clone> {
    /// Being asked now.
    now: Option<Turn<T>>,
    /// Asked when `now` is answered.
    next: Option<Turn<T>>,
}

/// A question that is being asked, or is about to be.
#[derive(Debug, Clone)]
pub(super) struct Turn<T: Clone> {
    /// When it began, or, to those who wait for their turn, when they came.
    pub(super) since: Instant,
    /// `None` when the asking was cut off.
    pub(super) answer: Shared<BoxFuture<'static, Option<T>>>,
}

impl<T: Clone> Default for Turns<T> {
    fn default() -> Self {
        let state = State {
            now: None,
            next: None,
        };
        Self {
            state: Arc::new(state.into()),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Turns<T> {
    /// A turn that begins now or later, in a task, so that it comes to its end even if nobody
    /// waits so long. A turn that has gone on for `patience` hangs: nobody queues behind it.
    pub(super) fn take(
        &self,
        tasks: &TaskTracker,
        patience: Duration,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Turn<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { now, next } = &mut *state;
        let begun = Instant::now();
        match (&*now, &*next) {
            (None, _) => now.insert(self.begin(tasks, begun, question)).clone(),
            (Some(now), _) if begun.duration_since(now.since) >= patience => now.clone(),
            (Some(_), Some(next)) => next.clone(),
            (Some(now), None) => {
                let before = now.answer.clone();
                let question = async move {
                    before.await;
                    question.await
                };
                next.insert(self.begin(tasks, begun, question)).clone()
            }
        }
    }

    fn begin(
        &self,
        tasks: &TaskTracker,
        since: Instant,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Turn<T> {
        let state = Arc::clone(&self.state);
        let task = tasks.spawn(async move {
            let answer = question.await;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let next = state.next.take();
            state.now = next.map(|turn| Turn {
                since: Instant::now(),
                ..turn
            });
            answer
        });
        let answer = async move { task.await.ok() };
        Turn {
            since,
            answer: answer.boxed().shared(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// A question whose answer is how often it was asked; each answer needs a permit.
    #[derive(Default)]
    struct Asked {
        begun: AtomicU32,
    }

    fn ask(asked: &Arc<Asked>, answers: &Arc<Semaphore>) -> impl Future<Output = u32> + use<> {
        let (asked, answers) = (Arc::clone(asked), Arc::clone(answers));
        async move {
            let number = asked.begun.fetch_add(1, Ordering::SeqCst) + 1;
            answers.acquire().await.unwrap().forget();
            number
        }
    }

    #[tokio::test]
    async fn nobody_gets_an_answer_to_a_question_that_was_asked_before_theirs() {
        let (turns, tasks) = (Turns::default(), TaskTracker::new());
        let (asked, answers) = (Arc::new(Asked::default()), Arc::new(Semaphore::new(0)));
        let first = turns.take(&tasks, PATIENCE, ask(&asked, &answers));
        while asked.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let second = turns.take(&tasks, PATIENCE, ask(&asked, &answers));
        let third = turns.take(&tasks, PATIENCE, ask(&asked, &answers));
        answers.add_permits(2);
        assert_eq!(first.answer.await, Some(1));
        assert_eq!(second.answer.await, Some(2));
        assert_eq!(third.answer.await, Some(2), "those who wait share a turn");
        answers.add_permits(1);
        let fourth = turns.take(&tasks, PATIENCE, ask(&asked, &answers));
        assert_eq!(fourth.answer.await, Some(3));
    }

    #[tokio::test]
    async fn nobody_queues_behind_a_turn_that_hangs() {
        let (turns, tasks) = (Turns::default(), TaskTracker::new());
        let (asked, answers) = (Arc::new(Asked::default()), Arc::new(Semaphore::new(0)));
        let hung = turns.take(&tasks, Duration::ZERO, ask(&asked, &answers));
        let late = turns.take(&tasks, Duration::ZERO, ask(&asked, &answers));
        assert_eq!(late.since, hung.since);
        answers.add_permits(1);
        assert_eq!(late.answer.await, Some(1));
    }
}
