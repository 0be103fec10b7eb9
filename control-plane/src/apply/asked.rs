//! What is asked of the writer, and what comes of it.

use gateway_core::config::TenantConfig;
use gateway_core::{Revision, TenantId};

use super::Difference;
use crate::rollout::Plan;

/// A configuration that somebody wants in force.
#[derive(Debug, Clone)]
pub struct Change {
    /// The whole configuration of its tenant.
    pub config: TenantConfig,
    /// The text that it was read from.
    pub submitted: String,
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The revision that must be current; `None`: whatever is current is replaced.
    pub expected: Option<Revision>,
    /// Checks and compares, and changes nothing.
    pub validate_only: bool,
    /// Refuses to make the tenant where there is none.
    pub must_exist: bool,
    /// How it is rolled out; `None`: to all replicas at once.
    pub canary: Option<Plan>,
}

/// A revision whose document somebody wants in force again.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub to: Revision,
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The revision that must be current; `None`: whatever is current is replaced.
    pub expected: Option<Revision>,
    /// Checks and compares, and changes nothing.
    pub validate_only: bool,
    /// Refuses to make the tenant where there is none.
    pub must_exist: bool,
    /// How it is rolled out; `None`: to all replicas at once.
    pub canary: Option<Plan>,
}

/// A tenant that somebody wants out of service.
#[derive(Debug, Clone)]
pub struct Removal {
    /// Which.
    pub tenant: TenantId,
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The revision that must be current; `None`: whatever is current.
    pub expected: Option<Revision>,
}

/// A configuration that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The revision that it is. Where nothing was to be changed, the one that is current; 0 where
    /// there is none.
    pub revision: Revision,
    /// Whether the configuration differs from what was current before.
    pub changed: bool,
    /// How.
    pub differences: Vec<Difference>,
}
