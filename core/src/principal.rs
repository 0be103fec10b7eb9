//! Who a request acts for, as the authentication plugin established it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{TenantId, UserId};

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The caller's name within the tenant.
    pub user_id: UserId,
    /// The tenant that the provider says the caller belongs to. `None` when the provider does
    /// not say. The endpoint alone decides the tenant: where this differs, the request is refused.
    pub tenant_id: Option<TenantId>,
    /// Roles, for the policy plugin.
    pub roles: Vec<String>,
    /// Groups, for the policy plugin.
    pub groups: Vec<String>,
    /// Whatever else the provider says, for policy and audit.
    pub metadata: BTreeMap<String, String>,
    /// When the credential stops being valid. No cache keeps the principal longer.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// A caller of whom only the name is known.
    pub fn named(user_id: UserId) -> Self {
        Self {
            user_id,
            tenant_id: None,
            roles: Vec::new(),
            groups: Vec::new(),
            metadata: BTreeMap::new(),
            expires_at: None,
        }
    }
}
