//! Keeps work going whose caller is gone: to a legacy client's server a lost connection is not a
//! cancelled request (2025-11-25, transports, "Disconnection").

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;

/// A future that, dropped before its end, goes on in a task of its own. Costs no task otherwise.
pub(crate) struct Detached<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    tasks: TaskTracker,
}

impl<T: Send + 'static> Detached<T> {
    pub(crate) fn new(work: BoxFuture<'static, T>, tasks: &TaskTracker) -> Self {
        Self {
            work: Some(work),
            tasks: tasks.clone(),
        }
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let result = work.as_mut().poll(context);
        if result.is_ready() {
            self.work = None;
        }
        result
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            drop(self.tasks.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_dropped_future_goes_on_to_its_end() {
        let tasks = TaskTracker::new();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = Detached::new(
            Box::pin(async move {
                gone.await.unwrap();
                tell.send(7).unwrap();
            }),
            &tasks,
        );
        assert!(futures_util::poll!(&mut work).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), 7);
    }
}
