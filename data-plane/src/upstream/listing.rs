//! A list as a server said it at some time, and for how long that holds.

use std::sync::Arc;
use std::time::Duration;

use gateway_mcp::list::{Item, ListKind};
use tokio::sync::watch;
use tokio::time::Instant;

use super::changes::{Changes, Stamp};
use super::readers::Reader;
use super::tool_headers::Learnt;

/// How long a list holds of which its server does not say how long. Also what clients are told of
/// lists that hold until the server says otherwise, since not every client listens.
pub(crate) const UNSAID: Duration = Duration::from_secs(10);

/// The longest that anything holds, whatever a server says.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What somebody who is shown something may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheHints {
    /// How long it may be kept.
    pub(crate) ttl: Duration,
    /// Whether it may be shown to everybody.
    pub(crate) is_public: bool,
}

impl CacheHints {
    /// Of what nobody says anything about.
    pub(crate) const UNSAID: Self = Self {
        ttl: UNSAID,
        is_public: false,
    };

    /// Of two things that are shown as one.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.min(other.ttl),
            is_public: self.is_public && other.is_public,
        }
    }

    /// The value of `ttlMs`.
    pub(crate) fn ttl_ms(self) -> u64 {
        self.ttl.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// The value of `cacheScope`.
    pub(crate) fn scope(self) -> &'static str {
        if self.is_public { "public" } else { "private" }
    }
}

/// When that ends which a server says holds for so long; `None`: it does not say, which means not
/// at all.
pub(super) fn end_of_ttl(received: Instant, ttl_ms: Option<u64>) -> Instant {
    received + Duration::from_millis(ttl_ms.unwrap_or(0)).min(LONGEST)
}

/// A server's list, for a caller.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) items: Arc<Vec<Item>>,
    pub(crate) hints: CacheHints,
    pub(super) learnt: Option<Arc<Learnt>>,
}

/// A server's list, as it was said.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) kind: ListKind,
    pub(super) items: Arc<Vec<Item>>,
    /// What calls of these tools depend on.
    pub(super) learnt: Option<Arc<Learnt>>,
    /// Whether clients may be told that everybody may see it.
    pub(super) is_public: bool,
    /// Whether it is the same for everybody; otherwise it is the reader's alone.
    pub(super) is_for_all: bool,
    /// On whose behalf it was asked for.
    pub(super) reader: Reader,
    /// What had been heard of changes before it was asked for, and what is heard now.
    pub(super) stamp: Stamp,
    pub(super) changes: watch::Sender<Changes>,
    /// When it was asked for.
    pub(super) asked: Instant,
    pub(super) lifetime: Lifetime,
}

/// For how long a list holds, unless it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    Until(Instant),
    /// The server says when it changes.
    UntilTold,
}

impl Listing {
    /// How long it holds from now on. Zero: it has to be asked for anew.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        if self.changes.borrow().stamp(self.kind) != self.stamp {
            return Duration::ZERO;
        }
        match self.lifetime {
            Lifetime::Until(end) => end.saturating_duration_since(now),
            Lifetime::UntilTold => UNSAID,
        }
    }

    /// The same in words.
    pub(super) fn holds(&self, now: Instant) -> String {
        let remaining = self.remaining(now);
        match self.lifetime {
            _ if remaining.is_zero() => "no more".to_owned(),
            Lifetime::Until(_) => format!("for {} s", remaining.as_secs()),
            Lifetime::UntilTold => "until the server says otherwise".to_owned(),
        }
    }

    pub(super) fn may_be_seen_by(&self, reader: &Reader) -> bool {
        self.is_for_all || self.reader == *reader
    }

    /// As a caller gets it now.
    pub(super) fn shown(&self, now: Instant) -> Listed {
        Listed {
            items: Arc::clone(&self.items),
            hints: CacheHints {
                ttl: self.remaining(now),
                is_public: self.is_public,
            },
            learnt: self.learnt.clone(),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A list of so many tools, asked for now by this user.
    pub(in crate::upstream) fn listing(user: &str, count: usize) -> Listing {
        let tool = |number| format!(r#"{{"name":"{user}-{number}"}}"#).into();
        let items = (0..count).filter_map(|number| Item::read(tool(number), "name"));
        Listing {
            kind: ListKind::Tools,
            items: Arc::new(items.collect()),
            learnt: None,
            is_public: false,
            is_for_all: false,
            reader: Reader::named(user),
            stamp: Stamp::default(),
            changes: watch::Sender::default(),
            asked: Instant::now(),
            lifetime: Lifetime::UntilTold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(seconds: u64, is_public: bool) -> CacheHints {
        CacheHints {
            ttl: Duration::from_secs(seconds),
            is_public,
        }
    }

    #[test]
    fn several_things_hold_as_long_as_the_first_that_ends_and_are_public_together_only() {
        assert_eq!(hints(5, true).and(hints(9, true)), hints(5, true));
        assert_eq!(hints(9, true).and(hints(5, false)), hints(5, false));
        assert_eq!(hints(9, false).and(hints(0, true)), hints(0, false));
    }

    #[test]
    fn a_ttl_ends_when_the_server_says_and_within_bounds() {
        let now = Instant::now();
        assert_eq!(end_of_ttl(now, None), now);
        assert_eq!(end_of_ttl(now, Some(0)), now);
        assert_eq!(
            end_of_ttl(now, Some(1_500)),
            now + Duration::from_millis(1_500)
        );
        assert_eq!(end_of_ttl(now, Some(u64::MAX)), now + LONGEST);
    }

    #[test]
    fn a_list_holds_until_its_time_is_over() {
        let (mut list, now) = (testing::listing("ada", 1), Instant::now());
        assert_eq!(list.remaining(now), UNSAID);
        list.lifetime = Lifetime::Until(now + Duration::from_secs(3));
        assert_eq!(list.remaining(now), Duration::from_secs(3));
        let second = Duration::from_secs(1);
        assert_eq!(list.remaining(now + second), Duration::from_secs(2));
        assert!(list.remaining(now + 3 * second).is_zero());
        assert!(list.remaining(now + 9 * second).is_zero());
    }

    #[test]
    fn a_list_holds_no_longer_than_nothing_is_heard_of_a_change() {
        let list = |kind| Listing {
            kind,
            ..testing::listing("ada", 1)
        };
        let (tools, prompts) = (list(ListKind::Tools), list(ListKind::Prompts));
        for list in [&tools, &prompts] {
            assert!(!list.remaining(list.asked).is_zero());
            Changes::count(&list.changes, Some("notifications/tools/list_changed"));
        }
        assert!(tools.remaining(tools.asked).is_zero());
        assert!(!prompts.remaining(prompts.asked).is_zero());
        Changes::set_heard(&prompts.changes, true);
        assert!(prompts.remaining(prompts.asked).is_zero());
    }
}
