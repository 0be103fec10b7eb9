//! Answers by question: good ones and bad ones apart, and one question asked once at a time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;
use gateway_core::config::CacheConfig;
use gateway_core::{CallContext, ErrorKind, PluginError, TenantId};
use moka::{future, sync};

const DEFAULT_ENTRIES: u32 = 10_000;

/// Refusals are remembered for a quarter of the time, and no longer than this: who was just given
/// access should not wait for it.
const LONGEST_REFUSAL: Duration = Duration::from_secs(5);

/// What an answer is remembered by.
pub(super) type Key = [u8; 32];

/// The answers of one plugin.
pub(super) struct Answers<V> {
    scope: hmac::Context,
    /// Of good answers.
    ttl: Duration,
    entries: u64,
    /// Empty caches are large, and most of many tenants' plugins are never asked, so they are made with the first
    /// question.
    kept: OnceLock<Kept<V>>,
}

struct Kept<V> {
    good: sync::Cache<Key, V>,
    bad: sync::Cache<Key, V>,
    /// What is being asked right now, or was asked by somebody who went away meanwhile.
    asked: future::Cache<Key, Arc<Vec<V>>>,
}

impl<V: Clone + Send + Sync + 'static> Answers<V> {
    /// No answers yet; `None` when the system has no randomness to key them with.
    pub(super) fn new(tenant: &TenantId, plugin: &str, config: &CacheConfig) -> Option<Self> {
        let mut scope = hmac::Context::with_key(process_key()?);
        for part in [tenant.as_str(), plugin] {
            add(&mut scope, part);
        }
        Some(Self {
            scope,
            ttl: config.ttl.as_duration(),
            entries: u64::from(config.max_entries.unwrap_or(DEFAULT_ENTRIES)),
            kept: OnceLock::new(),
        })
    }

    fn kept(&self) -> &Kept<V> {
        self.kept.get_or_init(|| {
            let refusal_ttl = (self.ttl / 4).min(LONGEST_REFUSAL);
            let answers = |ttl| {
                let cache = sync::Cache::builder().max_capacity(self.entries);
                cache.time_to_live(ttl).build()
            };
            let asked = future::Cache::builder().max_capacity(self.entries);
            Kept {
                good: answers(self.ttl),
                bad: answers(refusal_ttl),
                asked: asked.time_to_live(refusal_ttl).build(),
            }
        })
    }

    /// The key of a question, of all its parts in their order.
    pub(super) fn key<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Key {
        let mut context = self.scope.clone();
        for part in parts {
            add(&mut context, part);
        }
        let mut key = Key::default();
        // Both are 32 bytes long.
        for (to, from) in key.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        key
    }

    pub(super) fn find(&self, key: &Key) -> Option<V> {
        let kept = self.kept();
        kept.good.get(key).or_else(|| kept.bad.get(key))
    }

    pub(super) fn keep(&self, key: Key, answer: V, is_good: bool) {
        match is_good {
            true => self.kept().good.insert(key, answer),
            false => self.kept().bad.insert(key, answer),
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.kept().good.invalidate(key);
    }

    /// Asks, unless somebody is asking the same already: then their answers are waited for. Who
    /// waited for somebody that ran out of time asks for themselves. Errors are not kept.
    pub(super) async fn ask<'a>(
        &self,
        context: &CallContext,
        question: Key,
        ask: impl Fn() -> BoxFuture<'a, Result<Vec<V>, PluginError>> + Send + Sync,
    ) -> Result<Arc<Vec<V>>, PluginError> {
        let asking = ask().map_ok(Arc::new);
        match self.kept().asked.try_get_with(question, asking).await {
            Ok(answers) => Ok(answers),
            Err(error) => {
                let was_late = error.kind() == ErrorKind::DeadlineExceeded;
                if was_late && !context.deadline.has_passed() {
                    return ask().await.map(Arc::new);
                }
                Err(PluginError::with_cause(
                    error.kind(),
                    error.to_string(),
                    Shared(error),
                ))
            }
        }
    }

    /// Ends the wait for an answer that is kept by now.
    pub(super) async fn answered(&self, question: &Key) {
        self.kept().asked.invalidate(question).await;
    }
}

/// The cause of an error that several were waiting for.
#[derive(Debug, thiserror::Error)]
#[error("{}", cause_of(.0))]
struct Shared(Arc<PluginError>);

fn cause_of(error: &PluginError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

/// A part after its length, so that no two questions have the same bytes.
fn add(context: &mut hmac::Context, part: &str) {
    context.update(&(part.len() as u64).to_be_bytes());
    context.update(part.as_bytes());
}

fn process_key() -> Option<&'static hmac::Key> {
    static KEY: OnceLock<Option<hmac::Key>> = OnceLock::new();
    KEY.get_or_init(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok())
        .as_ref()
}
