//! The moment by which a request must be answered, whatever is asked of whom on the way.

use std::time::Duration;

#[expect(
    clippy::disallowed_types,
    reason = "core has no tokio; callers convert"
)]
type Instant = std::time::Instant;

/// A point in time after which nobody waits for the answer any more. Taken once when a request
/// arrives and handed down, so that the waits of all steps add up to one bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies `wait` ahead. A wait too long to represent is a hundred years.
    pub fn after(wait: Duration) -> Self {
        let now = Instant::now();
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        Self(now.checked_add(wait).unwrap_or(now + century))
    }

    /// What is left; zero when the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline has passed.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this deadline and the one that lies `wait` ahead.
    pub fn within(self, wait: Duration) -> Self {
        self.min(Self::after(wait))
    }

    /// The instant itself, for timers.
    pub fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearer_wait_shortens_a_deadline_and_a_longer_one_does_not() {
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.within(Duration::from_secs(1)) < deadline);
        assert_eq!(deadline.within(Duration::from_secs(60)), deadline);
    }

    #[test]
    fn an_unrepresentable_wait_does_not_panic() {
        assert!(!Deadline::after(Duration::MAX).has_passed());
        assert!(Deadline::after(Duration::ZERO).has_passed());
    }
}
