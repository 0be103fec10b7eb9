//! The host names that stand for tenants.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::{HostName, TenantId};
use jiff::Timestamp;

use super::{CallRecord, StoreError};

/// All host names, and for whom each stands. Shared, not copied.
pub(crate) type HostTable = Arc<BTreeMap<HostName, TenantId>>;

/// A store of host names. Each change is one transaction, the row of the audit trail included, and
/// gets a number of the store's sequence. Names are in the order of their bytes.
#[async_trait]
pub(crate) trait HostStore: fmt::Debug + Send + Sync {
    /// Gives a name that nobody has.
    async fn add_host(&self, host: NewHost) -> Result<(), AddHostError>;

    /// Takes a name away. `None`: there is none, and nothing is recorded.
    async fn remove_host(&self, removal: HostRemoval) -> Result<Option<HostRecord>, StoreError>;

    /// Names in their order: at the most `limit`, those behind `after` if given, and of one tenant
    /// only if that is given.
    async fn hosts(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&HostName>,
        limit: u32,
    ) -> Result<Vec<HostRecord>, StoreError>;
}

/// A name that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRecord {
    pub(crate) host: HostName,
    pub(crate) tenant: TenantId,
    pub(crate) created_at: Timestamp,
    pub(crate) author: String,
}

/// A name to be given.
#[derive(Debug, Clone)]
pub(crate) struct NewHost {
    pub(crate) record: HostRecord,
    pub(crate) reason: String,
}

/// A name to be taken away.
#[derive(Debug, Clone)]
pub(crate) struct HostRemoval {
    pub(crate) host: HostName,
    pub(crate) removed_at: Timestamp,
    pub(crate) author: String,
    pub(crate) reason: String,
}

/// A name was not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddHostError {
    /// A tenant has it.
    #[error("the name is given already")]
    Exists,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NewHost {
    /// What the audit trail says of it.
    pub(crate) fn call(&self) -> CallRecord {
        let record = &self.record;
        CallRecord {
            created_at: record.created_at,
            author: record.author.clone(),
            action: "CreateHost".to_owned(),
            target: format!("hosts/{}", record.host),
            reason: self.reason.clone(),
            outcome: "Ok".to_owned(),
            summary: format!("gave the host name to tenant {}", record.tenant),
        }
    }
}

impl HostRemoval {
    /// What the audit trail says of it.
    pub(crate) fn call(&self, tenant: &TenantId) -> CallRecord {
        CallRecord {
            created_at: self.removed_at,
            author: self.author.clone(),
            action: "DeleteHost".to_owned(),
            target: format!("hosts/{}", self.host),
            reason: self.reason.clone(),
            outcome: "Ok".to_owned(),
            summary: format!("took the host name from tenant {tenant}"),
        }
    }
}
