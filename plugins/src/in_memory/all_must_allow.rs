//! Several policy evaluators as one: what one denies is denied.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::{Action, Decision, PolicyEvaluator};
use gateway_core::{CallContext, ErrorKind, PluginError, Principal};

/// Asks the evaluators in their order, each only about what the earlier ones allow. The first
/// denial stands with its reason; the error of one is the error of all.
pub(crate) struct AllMustAllow {
    evaluators: Vec<(String, Arc<dyn PolicyEvaluator>)>,
}

impl AllMustAllow {
    pub(crate) fn new(evaluators: Vec<(String, Arc<dyn PolicyEvaluator>)>) -> Self {
        Self { evaluators }
    }
}

#[async_trait]
impl PolicyEvaluator for AllMustAllow {
    async fn check_access(
        &self,
        context: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let mut decisions = vec![Decision::Allow; actions.len()];
        for (name, evaluator) in &self.evaluators {
            let (open, asked): (Vec<_>, Vec<_>) = decisions
                .iter_mut()
                .zip(actions)
                .filter(|(decision, _)| decision.is_allowed())
                .map(|(decision, action)| (decision, action.clone()))
                .unzip();
            if asked.is_empty() {
                break;
            }
            let answers = evaluator.check_access(context, principal, &asked).await?;
            if answers.len() != asked.len() {
                let message = format!(
                    "policy evaluator `{name}` gave {} decisions on {} actions",
                    answers.len(),
                    asked.len()
                );
                return Err(PluginError::new(ErrorKind::Unavailable, message));
            }
            for (decision, answer) in open.into_iter().zip(answers) {
                *decision = answer;
            }
        }
        Ok(decisions)
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::plugin::ItemKind;
    use gateway_core::{Deadline, RequestId, TenantId};

    use super::*;

    /// Denies names that begin with its prefix; fails when asked about `error`.
    struct Denies(&'static str);

    #[async_trait]
    impl PolicyEvaluator for Denies {
        async fn check_access(
            &self,
            _: &CallContext,
            _: &Principal,
            actions: &[Action<'_>],
        ) -> Result<Vec<Decision>, PluginError> {
            if actions.iter().any(|action| action.name == "error") {
                return Err(PluginError::new(ErrorKind::Unavailable, "broken"));
            }
            let decide = |action: &Action<'_>| match action.name.starts_with(self.0) {
                true => Decision::Deny {
                    reason: format!("no {}", self.0),
                },
                false => Decision::Allow,
            };
            Ok(actions.iter().map(decide).collect())
        }
    }

    struct Mute;

    #[async_trait]
    impl PolicyEvaluator for Mute {
        async fn check_access(
            &self,
            _: &CallContext,
            _: &Principal,
            _: &[Action<'_>],
        ) -> Result<Vec<Decision>, PluginError> {
            Ok(Vec::new())
        }
    }

    async fn check(
        evaluators: Vec<Arc<dyn PolicyEvaluator>>,
        names: &[&str],
    ) -> Result<Vec<Decision>, PluginError> {
        let server = "files".parse().unwrap();
        let actions: Vec<_> = names
            .iter()
            .map(|name| Action {
                server: &server,
                method: "tools/call",
                kind: ItemKind::Tool,
                name,
            })
            .collect();
        let deadline = Deadline::after(std::time::Duration::from_secs(60));
        let context = CallContext::new(TenantId::default(), deadline, RequestId::new("r1"));
        let evaluators = evaluators
            .into_iter()
            .map(|evaluator| ("p".to_owned(), evaluator));
        AllMustAllow::new(evaluators.collect())
            .check_access(
                &context,
                &Principal::named("ada".parse().unwrap()),
                &actions,
            )
            .await
    }

    #[tokio::test]
    async fn the_first_denial_stands_and_later_evaluators_are_not_asked() {
        let decisions = check(
            vec![Arc::new(Denies("write")), Arc::new(Denies("w"))],
            &["read", "write", "walk"],
        );
        let denied = |reason: &str| Decision::Deny {
            reason: reason.to_owned(),
        };
        assert_eq!(
            decisions.await.unwrap(),
            [Decision::Allow, denied("no write"), denied("no w")]
        );
        let all_denied = check(vec![Arc::new(Denies("")), Arc::new(Mute)], &["read"]).await;
        assert_eq!(all_denied.unwrap(), [denied("no ")]);
    }

    #[tokio::test]
    async fn an_error_or_a_missing_decision_of_one_is_an_error_of_all() {
        let broken = check(
            vec![Arc::new(Denies("x")), Arc::new(Denies("y"))],
            &["error", "a"],
        );
        assert_eq!(broken.await.unwrap_err().to_string(), "broken");
        let mute = check(vec![Arc::new(Mute)], &["a"]).await;
        assert_eq!(
            mute.unwrap_err().to_string(),
            "policy evaluator `p` gave 0 decisions on 1 actions"
        );
    }
}
