//! What is so for a while and changes: by it a visitor knows what an answer has to be.

use tokio::sync::watch;

/// Written by the one who changes it.
#[derive(Debug)]
pub(super) struct Phase<T>(watch::Sender<Moment<T>>);

/// What was so when somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment<T> {
    changes: u64,
    /// None while it changes.
    value: Option<T>,
}

impl<T: Copy + PartialEq> Phase<T> {
    pub(super) fn new(value: T) -> Self {
        Self(watch::Sender::new(Moment {
            changes: 0,
            value: Some(value),
        }))
    }

    pub(super) fn now(&self) -> Moment<T> {
        *self.0.borrow()
    }

    /// From now on nobody can tell, until it is settled.
    pub(super) fn unsettle(&self) {
        self.0.send_modify(|moment| {
            moment.changes += 1;
            moment.value = None;
        });
    }

    pub(super) fn settle(&self, value: T) {
        self.0.send_modify(|moment| moment.value = Some(value));
    }

    /// What was so from an earlier moment until now; None if it changed in between.
    pub(super) fn since(&self, before: Moment<T>) -> Option<T> {
        before.value.filter(|_| self.now() == before)
    }

    /// Completes at the next change, or when nobody changes it any more.
    pub(super) async fn changed(&self) {
        let mut changes = self.0.subscribe();
        // The sender lives in `self`.
        drop(changes.changed().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_in_between_is_not_known() {
        let phase = Phase::new(1);
        let before = phase.now();
        assert_eq!(phase.since(before), Some(1));
        phase.unsettle();
        let during = phase.now();
        assert_eq!(phase.since(before), None);
        phase.settle(1);
        assert_eq!((phase.since(before), phase.since(during)), (None, None));
        assert_eq!(phase.since(phase.now()), Some(1));
    }
}
