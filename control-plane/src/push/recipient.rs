//! Who a stream is for.

use std::sync::Arc;

use gateway_core::TenantId;

use crate::store::HostTable;
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

    /// What it may know of the host names that stand for tenants.
    pub(crate) fn hosts(&self, all: &HostTable) -> HostTable {
        if self.scope.tenants().is_none() {
            return Arc::clone(all);
        }
        let own = all.iter().filter(|(_, tenant)| self.may_have(tenant));
        let own = own.map(|(host, tenant)| (host.clone(), tenant.clone()));
        Arc::new(own.collect())
    }
}
