//! Step 4: whether the caller may do it.

use gateway_core::plugin::{Action, Decision};
use gateway_mcp::list::ListKind;

use super::authenticate::{Authenticated, within};
use super::list::{Offer, Visible};
use super::route::Routed;
use crate::error::{Failure, Reason};
use crate::exposure::item_kind;
use crate::request::ClientRequest;
use crate::upstream::CacheHints;

/// A request that the policy allows.
pub(crate) struct Authorized {
    pub(super) routed: Routed,
}

/// Asks the policy about a call.
pub(super) async fn authorize(
    routed: Routed,
    request: &ClientRequest,
) -> Result<Authorized, Failure> {
    let action = Action {
        server: routed.server.name(),
        method: request.method(),
        kind: routed.kind,
        name: &routed.name,
    };
    let decisions = decide(&routed.caller, std::slice::from_ref(&action)).await?;
    match decisions.into_iter().next() {
        Some(Decision::Allow) => Ok(Authorized { routed }),
        Some(Decision::Deny { reason }) => {
            let message = format!("not allowed: {reason}");
            Err(Failure::new(Reason::Denied, message))
        }
        Some(Decision::Undecided { .. }) | None => Err(undecided()),
    }
}

/// Keeps what the caller may see of what the servers offer. What a policy does not answer for is
/// not shown.
pub(super) async fn visible(
    caller: &Authenticated,
    kind: ListKind,
    mut offer: Offer,
) -> Result<Visible, Failure> {
    if caller.snapshot.plugins.policy_evaluator.allows_everything() {
        return Ok(Visible { offer, shown: None });
    }
    let actions: Vec<_> = offer
        .items()
        .iter()
        .map(|offered| Action {
            server: offered.server.name(),
            method: kind.method(),
            kind: item_kind(kind),
            name: offered.name(),
        })
        .collect();
    let decisions = decide(caller, &actions).await?;
    let shown = decisions.iter().map(Decision::is_allowed).collect();
    // What a policy says of one caller is that caller's, and may change without a word.
    offer.hints = offer.hints.and(CacheHints::UNSAID);
    Ok(Visible {
        offer,
        shown: Some(shown),
    })
}

/// Asks the policy; one decision for each action.
pub(super) async fn decide(
    caller: &Authenticated,
    actions: &[Action<'_>],
) -> Result<Vec<Decision>, Failure> {
    // Of several evaluators the most patient one sets the bound for all of them together.
    let configured = &caller.snapshot.config.plugins.policy_evaluator;
    let context = caller.context_for(configured.iter().max_by_key(|plugin| plugin.timeout));
    let policy = &caller.snapshot.plugins.policy_evaluator;
    let asked = policy.check_access(&context, &caller.principal, actions);
    let decisions = within(context.deadline, "the policy", asked).await??;
    if decisions.len() == actions.len() {
        Ok(decisions)
    } else {
        Err(undecided())
    }
}

pub(super) fn undecided() -> Failure {
    Failure::new(
        Reason::Unavailable,
        "the policy did not decide about everything it was asked",
    )
}
