//! Policy `always-allow`: every action, by everybody.

use async_trait::async_trait;
use gateway_core::plugin::{Action, Decision, PolicyEvaluator};
use gateway_core::{CallContext, PluginError, Principal};

/// Allows everything.
#[derive(Debug)]
pub(crate) struct AlwaysAllow;

#[async_trait]
impl PolicyEvaluator for AlwaysAllow {
    async fn check_access(
        &self,
        _context: &CallContext,
        _principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        Ok(vec![Decision::Allow; actions.len()])
    }

    fn allows_everything(&self) -> bool {
        true
    }
}
