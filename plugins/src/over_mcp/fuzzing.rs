//! What the fuzz target of plugins' answers reaches of this crate, and nobody else.

use gateway_core::Principal;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Given};
use super::{auth_provider, auth_proxy, credential_storage, mcp_provisioner, policy_evaluator};

/// What an answer was taken for, by who could have asked.
#[derive(Debug, Default)]
pub struct Readings {
    /// Whether the tool says that it failed.
    pub failed: bool,
    /// Who the caller is, for authentication.
    pub principal: Option<Principal>,
    /// Why it could not be read, for each that could not.
    pub errors: Vec<String>,
}

/// Reads the result of a tool as each kind of plugin would.
pub fn read_answer(result: &str) -> Readings {
    let mut readings = Readings::default();
    let given = match Answer::read(result) {
        Ok(Answer::Given(given)) => given,
        Ok(Answer::Failed(_)) => {
            readings.failed = true;
            return readings;
        }
        Err(error) => {
            readings.errors.push(error);
            return readings;
        }
    };
    let principal = given.read::<auth_provider::Answered>();
    match principal.and_then(auth_provider::Answered::principal) {
        Ok(principal) => readings.principal = Some(principal),
        Err(error) => readings.errors.push(error),
    }
    readings
        .errors
        .extend(error::<auth_proxy::Injected>(&given));
    readings
        .errors
        .extend(error::<credential_storage::Retrieved>(&given));
    readings
        .errors
        .extend(error::<mcp_provisioner::Provisioned>(&given));
    readings
        .errors
        .extend(error::<policy_evaluator::Answered>(&given));
    let decisions = given.read_within::<Vec<policy_evaluator::Answered>>("decisions");
    readings.errors.extend(decisions.err());
    let listed = given.read_within::<Vec<credential_storage::Listed>>("credentials");
    readings.errors.extend(listed.err());
    readings
}

fn error<T: DeserializeOwned>(given: &Given) -> Option<String> {
    given.read::<T>().err()
}
