//! A policy plugin whose decisions are remembered.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::config::CacheConfig;
use gateway_core::plugin::{Action, Decision, PolicyEvaluator};
use gateway_core::{CallContext, ErrorKind, PluginError, Principal, TenantId};

use super::memory::{Answers, Key};

/// Asks an evaluator about what it has not decided yet, for this caller as it is now: one with
/// another role is another caller.
pub(crate) struct CachedPolicy {
    evaluator: Arc<dyn PolicyEvaluator>,
    answers: Answers<Decision>,
}

impl CachedPolicy {
    /// An evaluator with a cache, or as it is when there is no randomness to key one with.
    pub(crate) fn around(
        evaluator: Arc<dyn PolicyEvaluator>,
        tenant: &TenantId,
        name: &str,
        config: &CacheConfig,
    ) -> Arc<dyn PolicyEvaluator> {
        match Answers::new(tenant, &format!("policy_evaluator {name}"), config) {
            Some(answers) => Arc::new(Self { evaluator, answers }),
            None => evaluator,
        }
    }

    fn key(&self, caller: &[String], action: &Action<'_>) -> Key {
        let action = [
            action.server.as_str(),
            action.method,
            action.kind.as_str(),
            action.name,
        ];
        self.answers
            .key(caller.iter().map(String::as_str).chain(action))
    }
}

/// Everything that an evaluator can see of a caller. Lists begin with their lengths; what is not
/// known is an empty part, so that no other part takes its place.
pub(super) fn parts_of(principal: &Principal) -> Vec<String> {
    let mut parts = vec![principal.user_id.to_string()];
    let tenant = principal.tenant_id.as_ref();
    parts.push(tenant.map_or_else(String::new, ToString::to_string));
    for list in [&principal.roles, &principal.groups] {
        parts.push(list.len().to_string());
        parts.extend(list.iter().cloned());
    }
    parts.push(principal.metadata.len().to_string());
    let metadata = principal.metadata.iter();
    parts.extend(metadata.flat_map(|(name, value)| [name.clone(), value.clone()]));
    parts.push(
        principal
            .expires_at
            .map_or_else(String::new, |end| end.to_string()),
    );
    parts
}

#[async_trait]
impl PolicyEvaluator for CachedPolicy {
    async fn check_access(
        &self,
        context: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let caller = parts_of(principal);
        let mut decisions = Vec::with_capacity(actions.len());
        let (mut open, mut open_keys, mut question) = (Vec::new(), Vec::new(), Vec::new());
        for action in actions {
            let key = self.key(&caller, action);
            let known = self.answers.find(&key);
            if known.is_none() {
                open.push(action.clone());
                open_keys.push(key);
                question.extend(key.map(char::from));
            }
            decisions.push(known);
        }
        if !open.is_empty() {
            let question: String = question.into_iter().collect();
            let question = self.answers.key(["several", question.as_str()]);
            let ask = || self.evaluator.check_access(context, principal, &open);
            let answers = self.answers.ask(context, question, ask).await?;
            if answers.len() != open.len() {
                let message = format!(
                    "the policy gave {} decisions on {} actions",
                    answers.len(),
                    open.len()
                );
                return Err(PluginError::new(ErrorKind::Unavailable, message));
            }
            for (key, answer) in open_keys.into_iter().zip(answers.iter()) {
                if !matches!(answer, Decision::Undecided { .. }) {
                    self.answers.keep(key, answer.clone(), answer.is_allowed());
                }
            }
            self.answers.answered(&question).await;
            let unknown = decisions.iter_mut().filter(|known| known.is_none());
            for (decision, answer) in unknown.zip(answers.iter()) {
                *decision = Some(answer.clone());
            }
        }
        Ok(decisions.into_iter().flatten().collect())
    }
}
