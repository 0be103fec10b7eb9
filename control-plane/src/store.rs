//! Where configuration is kept: one versioned document for each tenant, and every revision of it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::{Revision, TenantId};
use jiff::Timestamp;

mod sqlite;
#[cfg(test)]
mod suite;
mod tokens;

pub(crate) use sqlite::SqliteStore;
pub(crate) use tokens::{CreateTokenError, NewToken, Revocation, Revoked, TokenRecord, TokenStore};

/// A store of versioned documents. Each change is one transaction and gets the next number of the
/// store's one sequence; who has seen everything up to a number asks for what came after it.
#[async_trait]
pub(crate) trait Store: TokenStore + fmt::Debug + Send + Sync {
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

    /// Notes a call that made no change in the audit trail, where changes are noted by themselves.
    async fn record(&self, call: CallRecord) -> Result<(), StoreError>;

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
}

/// What is current for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tenant: TenantId,
    /// Its last change.
    pub(crate) sequence: u64,
    /// Its revision and the encoded configuration; `None`: it was removed.
    pub(crate) current: Option<(Revision, Bytes)>,
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be written or made.
    #[error(
        "the database {path} cannot be opened for writing: check that its directory exists and that this user may write there"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another process holds it.
    #[error("the database {path} is in use by another process: stop that one first")]
    InUse {
        /// The file.
        path: PathBuf,
        /// The database's own error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is damaged, or no database.
    #[error(
        "the database {path} is damaged or is no SQLite database ({finding}): move it away to start with an empty one, or restore it from a backup"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        finding: String,
    },
    /// A later version of the program has changed its form.
    #[error(
        "the database {path} was made by a newer version of this program (schema {found}, known up to {known}): use that version, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema's version.
        found: i64,
        /// The last that this program knows.
        known: i64,
    },
    /// The database failed otherwise.
    #[error("the database {path} cannot be opened")]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database opened, and what it holds could not be read.
    #[error("the configuration in the database {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}
