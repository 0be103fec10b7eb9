//! What a data plane puts in place of an authentication or policy plugin that a tenant leaves
//! out. No configuration can name it.

use async_trait::async_trait;
use gateway_core::plugin::{Action, AuthProvider, Authentication, Decision, PolicyEvaluator};
use gateway_core::{CallContext, Credential, PluginError, Principal};

/// Refuses every credential and every action.
#[derive(Debug)]
pub(crate) struct DenyAll;

#[async_trait]
impl AuthProvider for DenyAll {
    async fn validate_credential(
        &self,
        _context: &CallContext,
        _credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        Ok(Authentication::Rejected {
            reason: "the tenant has no `auth_provider`".to_owned(),
        })
    }
}

#[async_trait]
impl PolicyEvaluator for DenyAll {
    async fn check_access(
        &self,
        _context: &CallContext,
        _principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let denied = Decision::Deny {
            reason: "the tenant has no `policy_evaluator`".to_owned(),
        };
        Ok(vec![denied; actions.len()])
    }
}
