//! What is remembered and for how long, what is asked again, and what is never kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use gateway_core::config::CacheConfig;
use gateway_core::plugin::{
    Action, AuthProvider, Authentication, Decision, ItemKind, PolicyEvaluator,
};
use gateway_core::{
    CallContext, Credential, Deadline, ErrorKind, ExposeSecret, PluginError, Principal, RequestId,
    SecretString, ServerName, TenantId,
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::*;

mod keys;

/// Accepts `good…` until a time, rejects the rest, fails when told to; counts.
#[derive(Default)]
struct Provider {
    asked: AtomicUsize,
    fails: AtomicBool,
    expires_at: Option<Timestamp>,
    gate: Option<Semaphore>,
}

#[async_trait]
impl AuthProvider for Provider {
    async fn validate_credential(
        &self,
        _: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(PluginError::new(ErrorKind::Unavailable, "away"));
        }
        let value = credential.value.expose_secret();
        Ok(match value.starts_with("good") {
            true => Authentication::Accepted(Principal {
                expires_at: self.expires_at,
                ..Principal::named(value.parse().unwrap())
            }),
            false => Authentication::Rejected {
                reason: "bad".into(),
            },
        })
    }
}

fn cache(ttl: &str) -> CacheConfig {
    CacheConfig {
        ttl: ttl.parse().unwrap(),
        max_entries: None,
    }
}

fn cached(provider: &Arc<Provider>, ttl: &str) -> Arc<dyn AuthProvider> {
    CachedAuth::around(Arc::clone(provider) as _, &TenantId::default(), &cache(ttl))
}

fn context() -> CallContext {
    let deadline = Deadline::after(Duration::from_secs(60));
    CallContext::new(TenantId::default(), deadline, RequestId::new("r1"))
}

async fn who(provider: &dyn AuthProvider, value: &str) -> Result<String, PluginError> {
    let credential = Credential {
        credential_type: "api_key".into(),
        value: SecretString::from(value),
    };
    let answer = provider
        .validate_credential(&context(), &credential)
        .await?;
    Ok(match answer {
        Authentication::Accepted(principal) => principal.user_id.to_string(),
        Authentication::Rejected { reason } => reason,
    })
}

#[tokio::test]
async fn answers_are_given_again_to_the_same_credential_only() {
    let provider = Arc::new(Provider::default());
    let cached = cached(&provider, "1h");
    for (value, expected) in [("good-1", "good-1"), ("good-2", "good-2"), ("x", "bad")] {
        for _ in 0..3 {
            assert_eq!(who(&*cached, value).await.unwrap(), expected);
        }
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 3);
    let other_type = Credential {
        credential_type: "jwt".into(),
        value: SecretString::from("good-1"),
    };
    cached
        .validate_credential(&context(), &other_type)
        .await
        .unwrap();
    assert_eq!(provider.asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn errors_are_not_remembered() {
    let provider = Arc::new(Provider::default());
    let cached = cached(&provider, "1h");
    provider.fails.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = who(&*cached, "good").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Unavailable, "away".into())
        );
    }
    provider.fails.store(false, Ordering::SeqCst);
    assert_eq!(who(&*cached, "good").await.unwrap(), "good");
    assert_eq!(provider.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_principal_is_not_remembered_beyond_its_end() {
    let provider = Arc::new(Provider {
        expires_at: Some(Timestamp::now() - jiff::SignedDuration::from_secs(1)),
        ..Provider::default()
    });
    let cached = cached(&provider, "1h");
    for _ in 0..3 {
        who(&*cached, "good").await.unwrap();
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_refusal_is_forgotten_before_an_acceptance() {
    let provider = Arc::new(Provider::default());
    let cached = cached(&provider, "8s");
    // A refusal is kept for 2 s of these.
    who(&*cached, "bad").await.unwrap();
    who(&*cached, "good").await.unwrap();
    while provider.asked.load(Ordering::SeqCst) == 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        who(&*cached, "bad").await.unwrap();
    }
    who(&*cached, "good").await.unwrap();
    assert_eq!(provider.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn many_who_ask_at_once_ask_once() {
    let provider = Arc::new(Provider {
        gate: Some(Semaphore::new(0)),
        ..Provider::default()
    });
    let cached = cached(&provider, "1h");
    let everyone = join_all((0..32).map(|_| who(&*cached, "good")));
    let open = async {
        while provider.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        provider.gate.as_ref().unwrap().add_permits(32);
    };
    let (answers, ()) = tokio::join!(everyone, open);
    assert!(answers.into_iter().all(|answer| answer.unwrap() == "good"));
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_goes_away_leaves_nobody_waiting() {
    let provider = Arc::new(Provider {
        gate: Some(Semaphore::new(0)),
        ..Provider::default()
    });
    let cached = cached(&provider, "1h");
    let mut first = Box::pin(who(&*cached, "good"));
    assert!(
        futures_util::future::poll_immediate(&mut first)
            .await
            .is_none()
    );
    let mut second = Box::pin(who(&*cached, "good"));
    assert!(
        futures_util::future::poll_immediate(&mut second)
            .await
            .is_none()
    );
    drop(first);
    provider.gate.as_ref().unwrap().add_permits(2);
    assert_eq!(second.await.unwrap(), "good");
}

/// Allows what the caller has a role for; counts the actions it is asked about.
#[derive(Default)]
struct Evaluator {
    asked: AtomicUsize,
}

#[async_trait]
impl PolicyEvaluator for Evaluator {
    async fn check_access(
        &self,
        _: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        self.asked.fetch_add(actions.len(), Ordering::SeqCst);
        let decide = |action: &Action<'_>| match principal.roles.iter().any(|r| r == action.name) {
            true => Decision::Allow,
            false => Decision::Deny {
                reason: format!("no role {}", action.name),
            },
        };
        Ok(actions.iter().map(decide).collect())
    }
}

#[tokio::test]
async fn decisions_are_remembered_one_by_one_for_a_caller_as_it_is() {
    let evaluator = Arc::new(Evaluator::default());
    let tenant = TenantId::default();
    let cached = CachedPolicy::around(Arc::clone(&evaluator) as _, &tenant, "p", &cache("1h"));
    let server: ServerName = "files".parse().unwrap();
    let may = async |roles: &[&str], names: &[&str]| {
        let principal = Principal {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..Principal::named("ada".parse().unwrap())
        };
        let action = |name| Action {
            server: &server,
            method: "tools/call",
            kind: ItemKind::Tool,
            name,
        };
        let actions: Vec<_> = names.iter().copied().map(action).collect();
        let decided = cached.check_access(&context(), &principal, &actions).await;
        let decided: Vec<_> = decided.unwrap().iter().map(Decision::is_allowed).collect();
        (decided, evaluator.asked.swap(0, Ordering::SeqCst))
    };
    assert_eq!(may(&["a"], &["a", "b"]).await, (vec![true, false], 2));
    assert_eq!(
        may(&["a"], &["b", "c", "a"]).await,
        (vec![false, false, true], 1)
    );
    assert_eq!(
        may(&["a"], &["a", "a", "b", "c"]).await,
        (vec![true, true, false, false], 0)
    );
    assert_eq!(may(&["a", "b"], &["a", "b"]).await, (vec![true, true], 2));
    assert_eq!(may(&["a"], &["d", "d"]).await, (vec![false, false], 2));
    assert_eq!(may(&[], &[]).await, (vec![], 0));
}
