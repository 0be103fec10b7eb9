//! Where configuration is kept: one versioned document for each tenant, and every revision of it.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::{Revision, TenantId};
use jiff::Timestamp;

mod hosts;
#[cfg(test)]
mod killed;
mod open;
mod postgres;
mod replicas;
mod rollouts;
mod sql;
mod sqlite;
#[cfg(test)]
mod suite;
mod tokens;

pub(crate) use hosts::{AddHostError, HostRecord, HostRemoval, HostStore, HostTable, NewHost};
pub(crate) use open::open;
pub use open::{Database, InvalidAddress, OpenError, PostgresAddress};
#[cfg(test)]
pub(crate) use postgres::tests::new_database;
pub(crate) use postgres::{Listener, News};
pub(crate) use replicas::{Announcement, GONE_AFTER, Other, ReplicaStore};
pub(crate) use rollouts::{Canary, Rolled, RolloutStore};
pub(crate) use tokens::{CreateTokenError, NewToken, Revocation, Revoked, TokenRecord, TokenStore};

/// A store of versioned documents. Each change is one transaction and gets the next number of the
/// store's one sequence; who has seen everything up to a number asks for what came after it.
#[async_trait]
pub(crate) trait Store:
    TokenStore + HostStore + RolloutStore + fmt::Debug + Send + Sync
{
    /// Tells this store from every other. Sequences and revisions count only within it.
    fn id(&self) -> &str;

    /// What changed after `sequence`, in the order of the changes, removed tenants included.
    async fn heads_since(&self, sequence: u64) -> Result<Heads, StoreError>;

    /// A tenant's current document; `None` if it has none or was removed.
    async fn document(&self, tenant: &TenantId) -> Result<Option<Document>, StoreError>;

    /// Keeps a new revision and makes it current, all or nothing.
    async fn write(&self, revision: NewRevision) -> Result<Revision, WriteError>;

    /// Makes a tenant have no current document, all or nothing. Its revisions stay.
    async fn remove(&self, removal: NewRemoval) -> Result<(), WriteError>;

    /// A tenant's revisions, newest first: at the most `limit`, those before `before` if given.
    async fn revisions(
        &self,
        tenant: &TenantId,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<RevisionRecord>, StoreError>;

    /// One revision of a tenant with its document; `None` if there is none of that number.
    async fn revision(
        &self,
        tenant: &TenantId,
        revision: Revision,
    ) -> Result<Option<StoredRevision>, StoreError>;

    /// The tenants that have a document, in the order of their names: at the most `limit`, those
    /// behind `after` if given.
    async fn tenants(
        &self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantRecord>, StoreError>;

    /// What a request led to that has this one's author and id, and whether it was the same one;
    /// `None`: there was none, or it is too long ago.
    async fn answered(
        &self,
        request: &RequestRecord,
    ) -> Result<Option<(bool, Answered)>, StoreError>;

    /// Keeps what a request led to that changed nothing. Of a change it is kept with the change.
    async fn remember(
        &self,
        request: &RequestRecord,
        answered: &Answered,
    ) -> Result<(), WriteError>;

    /// Notes a call that made no change in the audit trail, where changes are noted by themselves.
    async fn record(&self, call: CallRecord) -> Result<(), StoreError>;

    /// Hears of changes that other processes make; `None` where this one alone may make any.
    fn listener(&self) -> Option<Listener> {
        None
    }

    /// Where control planes tell each other of their replicas; `None` where there is only this one,
    /// which knows of its own.
    fn replica_store(&self) -> Option<&dyn ReplicaStore> {
        None
    }

    /// The changes in the audit trail, in their order.
    #[cfg(test)]
    async fn trail(&self) -> Vec<TrailRow>;

    /// Ends every use of the store.
    async fn close(&self);
}

/// What changed in the store since some sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Where the store was when they were read.
    pub(crate) sequence: u64,
    /// Each changed tenant once, by its last change.
    pub(crate) heads: Vec<Head>,
    /// All host names that stand for tenants; `None`: they have not changed.
    pub(crate) hosts: Option<HostTable>,
}

/// What is current for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tenant: TenantId,
    /// Its last change.
    pub(crate) sequence: u64,
    /// Its last revision; `None`: it was removed.
    pub(crate) latest: Option<Revision>,
    /// The revision that replicas are to have, and the encoded configuration; `None`: nothing. It is
    /// the latest but while that is rolled out.
    pub(crate) current: Option<(Revision, Bytes)>,
    /// What a few of the replicas are to have instead.
    pub(crate) canary: Option<Canary>,
}

/// A tenant's current document. Its revision is its entity tag: no number is given out twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) revision: Revision,
    /// An encoded `TenantConfig`.
    pub(crate) resolved: Bytes,
}

/// A configuration to be kept.
#[derive(Debug, Clone)]
pub(crate) struct NewRevision {
    pub(crate) tenant: TenantId,
    /// The revision that must be current; `None`: the tenant must have no document.
    pub(crate) expected: Option<Revision>,
    pub(crate) created_at: Timestamp,
    pub(crate) author: String,
    pub(crate) reason: String,
    pub(crate) summary: String,
    /// By what it came about.
    pub(crate) action: WriteAction,
    pub(crate) submitted: String,
    pub(crate) resolved: Bytes,
    /// How it comes to the replicas.
    pub(crate) rolled: Rolled,
    /// The request that it came by, if that may come again.
    pub(crate) request: Option<RequestRecord>,
}

/// A request that its caller may send again, to be answered as the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestRecord {
    /// Whose it is. The ids of one caller are nothing to another.
    pub(crate) author: String,
    /// Which it is, as its caller calls it.
    pub(crate) id: String,
    /// A hash of all that it says.
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) created_at: Timestamp,
}

impl RequestRecord {
    /// How long what a request led to is kept.
    pub(crate) const KEPT_SECONDS: i64 = 24 * 60 * 60;
}

/// What a request led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    /// What was current afterwards.
    pub(crate) revision: Revision,
    /// What was current before; `None`: nothing.
    pub(crate) based_on: Option<Revision>,
    /// Whether it made a change.
    pub(crate) changed: bool,
}

/// By what a revision came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteAction {
    Apply,
    Rollback,
}

impl WriteAction {
    /// As the audit trail has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Rollback => "rollback",
        }
    }
}

/// A tenant to be removed.
#[derive(Debug, Clone)]
pub(crate) struct NewRemoval {
    pub(crate) tenant: TenantId,
    /// The revision that must be current.
    pub(crate) expected: Revision,
    pub(crate) created_at: Timestamp,
    pub(crate) author: String,
    pub(crate) reason: String,
    /// The request that it came by, if that may come again.
    pub(crate) request: Option<RequestRecord>,
}

/// Who made a revision, when, why, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRecord {
    /// Its number.
    pub revision: Revision,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Who submitted it.
    pub author: String,
    /// Why, in the author's words.
    pub reason: String,
    /// What is different from the revision before.
    pub summary: String,
    /// The text as it was submitted.
    pub submitted: String,
}

/// A revision with its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRevision {
    pub(crate) record: RevisionRecord,
    /// An encoded `TenantConfig`.
    pub(crate) resolved: Bytes,
}

/// A tenant and its current revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantRecord {
    pub(crate) tenant: TenantId,
    pub(crate) revision: Revision,
    pub(crate) created_at: Timestamp,
    pub(crate) author: String,
}

/// A call that changed nothing: it only read, or was refused.
#[derive(Debug, Clone)]
pub(crate) struct CallRecord {
    pub(crate) created_at: Timestamp,
    /// Empty: nobody who is known.
    pub(crate) author: String,
    pub(crate) action: String,
    /// What it was about, in the words of its caller.
    pub(crate) target: String,
    pub(crate) reason: String,
    /// `Ok`, or the code of the refusal.
    pub(crate) outcome: String,
    pub(crate) summary: String,
}

/// A change in the audit trail.
#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TrailRow {
    pub(crate) sequence: u64,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) revision: u64,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the configuration store failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The database's own error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection was lost, or nothing was answered in time, when the change was to be kept.
    #[error(
        "the connection to the configuration store was lost while {doing}: whether it was done is not known"
    )]
    Uncertain {
        /// What was being done.
        doing: &'static str,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database holds what no version of this program writes.
    #[error("the configuration store holds an unreadable {what}: {value}")]
    Unreadable {
        /// Which field.
        what: &'static str,
        /// What is there.
        value: String,
    },
}

/// A change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Another revision is current than the one that the change was based on.
    #[error("another change came first")]
    Conflict {
        /// What is current.
        current: Option<Revision>,
    },
    /// A request of this author and id has been answered already.
    #[error("the request was answered already")]
    Repeated,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
