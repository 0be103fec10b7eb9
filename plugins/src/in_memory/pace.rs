//! Whether something that blocks, and as a rule not for long, is done in the thread of whoever wants it. Handing it to
//! another thread and waiting costs several times as much as the thing itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How long it may take, and for how long it is left to other threads once it took longer.
const BRISK: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_secs(1);

/// How long something that blocks takes of late.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    slow_until: ArcSwapOption<Instant>,
}

impl Pace {
    /// Whether it may be done here and now. Not by the only thread that serves requests: a disk that
    /// hangs would stop them all.
    pub(crate) fn allows(&self) -> bool {
        let workers = Handle::try_current().map(|runtime| runtime.metrics().num_workers());
        let slow_until = self.slow_until.load();
        workers.is_ok_and(|workers| workers > 1)
            && slow_until
                .as_ref()
                .is_none_or(|until| **until <= Instant::now())
    }

    /// Remembers how long it took this time.
    pub(crate) fn note(&self, took: Duration) {
        if took > BRISK {
            let until = Instant::now() + PAUSE;
            self.slow_until.store(Some(Arc::new(until)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_slow_is_left_to_others_for_a_while() {
        let pace = Pace::default();
        assert!(pace.allows());
        pace.note(BRISK);
        assert!(pace.allows());
        pace.note(BRISK * 2);
        assert!(!pace.allows());
        pace.slow_until.store(Some(Arc::new(Instant::now())));
        assert!(pace.allows());
    }

    #[tokio::test]
    async fn the_only_thread_blocks_on_nothing() {
        assert!(!Pace::default().allows());
    }
}
