//! How a plugin's server is: what calls of it came to, and whether further ones are worth it. One that hangs or is away
//! would otherwise have each request wait for it in turn.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_core::TenantId;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// How many calls in a row may go unanswered before the server is left alone. One that cannot even be connected to is
/// left alone at once.
const UNANSWERED: u32 = 3;

/// How long it is left alone: at first, and at most. One call then tries again, and the others wait for how that ends
/// no more than before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How a plugin's server is, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginCondition {
    /// Whose plugin it is.
    pub tenant: TenantId,
    /// Its field of the configuration, such as `plugins.auth_provider`.
    pub plugin: String,
    /// `idle` while nobody has asked for it, `ready`, or `down`.
    pub state: &'static str,
    /// Why it is down.
    pub reason: Option<String>,
    /// Since when that is so.
    pub since: Timestamp,
}

/// The health of one server.
pub(crate) struct Health {
    tenant: TenantId,
    plugin: String,
    /// Whether it is called whatever came of the calls before.
    is_never_left_alone: bool,
    now: watch::Sender<Now>,
}

struct Now {
    state: &'static str,
    reason: Option<String>,
    since: Timestamp,
    /// In a row.
    unanswered: u32,
    /// While it is left alone: until when, and how long the next pause is.
    rests: Option<(Instant, Duration)>,
    /// Whether somebody tries how it is.
    is_tried: bool,
}

/// What an unanswered call says of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// It cannot be connected to.
    Away,
    /// It gave no answer that is one.
    Broken,
    /// It took too long, or whoever called had no time.
    Late,
}

/// Leave to call, until it is said how that ended. Dropped without a word, it says nothing of the server.
pub(super) struct Leave<'a> {
    health: &'a Health,
    tries: bool,
    /// Whether there is time enough for an answer.
    is_fair: bool,
}

impl Health {
    pub(crate) fn new(tenant: &TenantId, plugin: &str) -> Self {
        Self {
            tenant: tenant.clone(),
            plugin: plugin.to_owned(),
            is_never_left_alone: false,
            now: watch::Sender::new(Now {
                state: "idle",
                reason: None,
                since: Timestamp::now(),
                unanswered: 0,
                rests: None,
                is_tried: false,
            }),
        }
    }

    /// Of a server that is called to see what it does.
    pub(crate) fn never_left_alone(plugin: &str) -> Self {
        Self {
            is_never_left_alone: true,
            ..Self::new(&TenantId::default(), plugin)
        }
    }

    pub(super) fn condition(&self) -> PluginCondition {
        let now = self.now.borrow();
        PluginCondition {
            tenant: self.tenant.clone(),
            plugin: self.plugin.clone(),
            state: now.state,
            reason: now.reason.clone(),
            since: now.since,
        }
    }

    /// Leave to call; else why the server is left alone.
    pub(super) fn enter(&self, is_fair: bool) -> Result<Leave<'_>, String> {
        let mut outcome = Ok(false);
        self.now.send_if_modified(|now| {
            let Some((until, _)) = now.rests else {
                return false;
            };
            if now.is_tried || Instant::now() < until {
                let reason = now.reason.clone();
                outcome = Err(reason.unwrap_or_default());
            } else {
                now.is_tried = true;
                outcome = Ok(true);
            }
            false
        });
        outcome.map(|tries| Leave {
            health: self,
            tries,
            is_fair,
        })
    }

    fn answered(&self) {
        let mut was_down = false;
        self.now.send_if_modified(|now| {
            was_down = now.state == "down";
            now.set("ready", None);
            (now.unanswered, now.rests) = (0, None);
            false
        });
        if was_down {
            info!(tenant.id = %self.tenant, plugin = self.plugin, "the plugin answers again");
        }
    }

    fn unanswered(&self, reason: String, is_away: bool) {
        if self.is_never_left_alone {
            return;
        }
        let mut is_news = false;
        self.now.send_if_modified(|now| {
            now.unanswered = now.unanswered.saturating_add(1);
            if is_away || now.unanswered >= UNANSWERED || now.rests.is_some() {
                let pause = now.rests.map_or(FIRST_PAUSE, |(_, pause)| pause);
                let next = (pause * 2).min(LONGEST_PAUSE);
                now.rests = Some((Instant::now() + pause, next));
                is_news = now.state != "down";
                now.set("down", Some(reason.clone()));
            }
            false
        });
        if is_news {
            warn!(tenant.id = %self.tenant, plugin = self.plugin, error = reason, "the plugin is down");
        }
    }
}

impl Now {
    fn set(&mut self, state: &'static str, reason: Option<String>) {
        if self.state != state {
            self.since = Timestamp::now();
        }
        (self.state, self.reason) = (state, reason);
    }
}

impl Leave<'_> {
    /// It gave an answer, whatever it was.
    pub(super) fn answered(self) {
        self.health.answered();
    }

    /// It gave none.
    pub(super) fn unanswered(self, reason: String, blame: Blame) {
        if blame != Blame::Late || self.is_fair {
            self.health.unanswered(reason, blame == Blame::Away);
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.tries {
            self.health.now.send_if_modified(|now| {
                now.is_tried = false;
                false
            });
        }
    }
}

/// The servers of all tenants' plugins, for as long as somebody has them.
#[derive(Default)]
pub(crate) struct Conditions(watch::Sender<Known>);

type Known = BTreeMap<(TenantId, String), Weak<Health>>;

impl Conditions {
    /// In the place of an earlier one of the same plugin.
    pub(crate) fn add(&self, health: &Arc<Health>) {
        let key = (health.tenant.clone(), health.plugin.clone());
        self.0.send_modify(|known| {
            // Now and then those are taken out that nobody has any more.
            if known.len().is_power_of_two() {
                known.retain(|_, health| health.strong_count() > 0);
            }
            known.insert(key, Arc::downgrade(health));
        });
    }

    /// How each of them is, ordered by tenant.
    pub(crate) fn all(&self) -> Vec<PluginCondition> {
        let known = self.0.borrow();
        let live = known.values().filter_map(Weak::upgrade);
        live.map(|health| health.condition()).collect()
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conditions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(&TenantId::default(), "plugins.telemetry")
    }

    fn fails(health: &Health, blame: Blame) {
        let leave = health.enter(true).ok().unwrap();
        leave.unanswered("it hangs".to_owned(), blame);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_left_alone_after_a_while_and_tried_by_one_call_at_a_time() {
        let health = health();
        assert_eq!(health.condition().state, "idle");
        for _ in 1..UNANSWERED {
            fails(&health, Blame::Late);
            assert_ne!(health.condition().state, "down");
        }
        fails(&health, Blame::Late);
        assert_eq!(health.condition().state, "down");
        assert_eq!(health.enter(true).err().as_deref(), Some("it hangs"));
        tokio::time::advance(FIRST_PAUSE).await;
        let first = health.enter(true).ok().unwrap();
        assert!(health.enter(true).is_err());
        first.unanswered("it still hangs".to_owned(), Blame::Late);
        // Twice as long.
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(health.enter(true).err().as_deref(), Some("it still hangs"));
        tokio::time::advance(FIRST_PAUSE).await;
        // Whoever tries and goes away leaves it to the next.
        drop(health.enter(true).ok().unwrap());
        health.enter(true).ok().unwrap().answered();
        assert_eq!(health.condition().state, "ready");
        fails(&health, Blame::Late);
        assert_eq!(health.condition().state, "ready");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_away_is_left_alone_at_once_and_never_for_long() {
        let health = health();
        fails(&health, Blame::Away);
        for _ in 0..20 {
            assert!(health.enter(true).is_err());
            tokio::time::advance(LONGEST_PAUSE).await;
            fails(&health, Blame::Away);
        }
    }

    #[tokio::test]
    async fn one_that_had_no_time_is_not_to_blame() {
        let health = health();
        for _ in 0..2 * UNANSWERED {
            let leave = health.enter(false).ok().unwrap();
            leave.unanswered("it hangs".to_owned(), Blame::Late);
        }
        assert_eq!(health.condition().state, "idle");
    }

    #[test]
    fn only_those_are_known_that_somebody_has() {
        let conditions = Conditions::default();
        let kept = Arc::new(health());
        conditions.add(&Arc::new(Health::new(
            &TenantId::default(),
            "plugins.auth_proxy",
        )));
        conditions.add(&kept);
        let all = conditions.all();
        assert_eq!(all, [kept.condition()]);
    }
}
