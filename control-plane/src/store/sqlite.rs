//! The store in one SQLite file.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::{HostName, Revision, TenantId};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::RolloutStore;
use super::sql::failed;
use super::{AddHostError, HostRecord, HostRemoval, HostStore, NewHost};
use super::{
    Answered, CallRecord, Document, Heads, NewRemoval, NewRevision, OpenError, RequestRecord,
    RevisionRecord, Store, StoreError, StoredRevision, TenantRecord, WriteError,
};
use super::{CreateTokenError, NewToken, Revocation, Revoked, TokenRecord, TokenStore};
use crate::rollout::{Rollout, RolloutStep};
use crate::token::{TokenHash, TokenId};

mod lock;
mod schema;

// The same files as in `postgres.rs`, on connections of this database.
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/audit.rs"]
mod audit;
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/hosts.rs"]
mod hosts;
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/queries.rs"]
mod queries;
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/reading.rs"]
mod reading;
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/requests.rs"]
mod requests;
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/rollouts.rs"]
mod rollouts;
#[expect(clippy::duplicate_mod, reason = "compiled for each database")]
#[path = "sql/tokens.rs"]
mod tokens;

type Connection = sqlx::SqliteConnection;

use lock::Lock;

/// How long a statement waits for another process, such as a backup, to release the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One writer at a time is SQLite's rule; the others read beside it.
const CONNECTIONS: u32 = 4;

/// Configuration in one SQLite file.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    pool: SqlitePool,
    id: String,
    /// Keeps other processes from the file.
    lock: Lock,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        let touched = touch(path).await;
        touched.map_err(|error| schema::not_writable(path, error))?;
        let lock = Lock::take(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // Its author is told that a change is kept: a loss of power must not take it back.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|error| schema::open_error(path, error))?;
        match schema::prepare(&pool, path).await {
            Ok(id) => Ok(Self { pool, id, lock }),
            Err(error) => {
                pool.close().await;
                Err(error)
            }
        }
    }
}

/// Makes sure that the file is there, can be written, and is its owner's alone: configuration may
/// hold what others should not read. SQLite gives its side files the same permissions.
async fn touch(path: &Path) -> io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    options.mode(0o600);
    drop(options.open(path).await?);
    #[cfg(unix)]
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        make_private(Path::new(&file)).await?;
    }
    Ok(())
}

/// Takes a file that was there before away from everybody but its owner.
#[cfg(unix)]
async fn make_private(path: &Path) -> io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = Permissions::from_mode(0o600);
    match tokio::fs::metadata(path).await {
        Ok(found) if found.permissions().mode() & 0o077 == 0 => Ok(()),
        Ok(_) => tokio::fs::set_permissions(path, permissions).await,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn id(&self) -> &str {
        &self.id
    }

    async fn heads_since(&self, sequence: u64) -> Result<Heads, StoreError> {
        // One transaction, so that the sequence and the heads are of the same moment.
        let doing = "reading what changed";
        let mut transaction = self.pool.begin().await.map_err(failed(doing))?;
        queries::heads_since(&mut transaction, sequence).await
    }

    async fn document(&self, tenant: &TenantId) -> Result<Option<Document>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        queries::document(&mut connection, tenant).await
    }

    async fn write(&self, revision: NewRevision) -> Result<Revision, WriteError> {
        let doing = "keeping a revision";
        // Immediate: a transaction that reads first could not become a writer beside another.
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        let written = queries::write(&mut transaction, revision).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(written)
    }

    async fn remove(&self, removal: NewRemoval) -> Result<(), WriteError> {
        let doing = "removing a tenant";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        queries::remove(&mut transaction, removal).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(())
    }

    async fn revisions(
        &self,
        tenant: &TenantId,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<RevisionRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        reading::revisions(&mut connection, tenant, before, limit).await
    }

    async fn revision(
        &self,
        tenant: &TenantId,
        revision: Revision,
    ) -> Result<Option<StoredRevision>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        reading::revision(&mut connection, tenant, revision).await
    }

    async fn tenants(
        &self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        reading::tenants(&mut connection, after, limit).await
    }

    async fn record(&self, call: CallRecord) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        audit::record(&mut connection, call).await
    }

    async fn answered(
        &self,
        request: &RequestRecord,
    ) -> Result<Option<(bool, Answered)>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        requests::find(&mut connection, request).await
    }

    async fn remember(
        &self,
        request: &RequestRecord,
        answered: &Answered,
    ) -> Result<(), WriteError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        requests::insert(&mut connection, request, answered).await
    }

    #[cfg(test)]
    async fn trail(&self) -> Vec<super::TrailRow> {
        audit::changes(&mut self.pool.acquire().await.unwrap()).await
    }

    async fn close(&self) {
        self.pool.close().await;
        self.lock.release();
    }
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn create_token(&self, token: NewToken) -> Result<(), CreateTokenError> {
        let doing = "keeping a token";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        tokens::create(&mut transaction, &token).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(())
    }

    async fn token(&self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        tokens::find(&mut connection, id).await
    }

    async fn token_by_hash(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        tokens::by_hash(&mut connection, hash).await
    }

    async fn tokens(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        tokens::list(&mut connection, tenant, after, limit).await
    }

    async fn revoke_token(&self, revocation: Revocation) -> Result<Option<Revoked>, StoreError> {
        let doing = "revoking a token";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        let revoked = tokens::revoke(&mut transaction, revocation).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(revoked)
    }
}

#[async_trait]
impl RolloutStore for SqliteStore {
    async fn rollout(&self, tenant: &TenantId) -> Result<Option<Rollout>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        rollouts::last(&mut connection, tenant).await
    }

    async fn active_rollouts(&self) -> Result<Vec<Rollout>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        rollouts::active(&mut connection).await
    }

    async fn step_rollout(&self, step: RolloutStep) -> Result<(), WriteError> {
        let doing = "keeping a step of a rollout";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        rollouts::step(&mut transaction, step).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(())
    }

    async fn lead(&self) -> Result<bool, StoreError> {
        // The file is this process's alone.
        Ok(true)
    }
}

#[async_trait]
impl HostStore for SqliteStore {
    async fn add_host(&self, host: NewHost) -> Result<(), AddHostError> {
        let doing = "keeping a host name";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        hosts::add(&mut transaction, &host).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(())
    }

    async fn remove_host(&self, removal: HostRemoval) -> Result<Option<HostRecord>, StoreError> {
        let doing = "removing a host name";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        let removed = hosts::remove(&mut transaction, &removal).await?;
        if removed.is_some() {
            transaction.commit().await.map_err(failed(doing))?;
        }
        Ok(removed)
    }

    async fn hosts(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&HostName>,
        limit: u32,
    ) -> Result<Vec<HostRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        hosts::list(&mut connection, tenant, after, limit).await
    }
}

/// SQLite keeps every text as it is.
fn text(text: &str) -> &str {
    text
}

#[cfg(test)]
mod tests;
