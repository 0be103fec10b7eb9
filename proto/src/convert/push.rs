//! What replicas answer.

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};

use super::InvalidField;
use super::values::parsed;
use crate::push::v1 as pb;

/// A document that a replica could not put in force, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose document.
    pub tenant: TenantId,
    /// The refused revision.
    pub revision: Revision,
    /// What is wrong with it: at least one.
    pub violations: Vec<Violation>,
}

impl From<Refusal> for pb::Refusal {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            tenant,
            revision: Revision(revision),
            violations,
        } = refusal;
        Self {
            tenant: tenant.into(),
            revision,
            violations: violations.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::Refusal> for Refusal {
    type Error = InvalidField;

    fn try_from(message: pb::Refusal) -> Result<Self, InvalidField> {
        if message.violations.is_empty() {
            return Err(InvalidField::new("violations", "are missing"));
        }
        Ok(Self {
            tenant: parsed(message.tenant, "tenant")?,
            revision: Revision(message.revision),
            violations: message.violations.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<Violation> for pb::Violation {
    fn from(violation: Violation) -> Self {
        let Violation { path, reason } = violation;
        Self { path, reason }
    }
}

impl From<pb::Violation> for Violation {
    fn from(message: pb::Violation) -> Self {
        Self::new(message.path, message.reason)
    }
}
