//! Who a stream is for.

use gateway_core::TenantId;

use crate::token::Scope;

/// The replica at the other end of a stream, asked for each tenant before anything of it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) replica: String,
    pub(crate) scope: Scope,
}

impl Recipient {
    /// Whether it may be told of a tenant. What it may not be told of is not there for it.
    pub(crate) fn may_have(&self, tenant: &TenantId) -> bool {
        self.scope.includes(tenant)
    }
}
