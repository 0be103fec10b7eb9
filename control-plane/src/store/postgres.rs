//! The store in a PostgreSQL database, which several control planes may share.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::{HostName, Revision, TenantId};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgPool};

use super::sql::failed;
use super::{AddHostError, HostRecord, HostRemoval, HostStore, NewHost};
use super::{Announcement, Other, ReplicaStore};
use super::{
    Answered, CallRecord, Document, Heads, NewRemoval, NewRevision, OpenError, PostgresAddress,
    RequestRecord, RevisionRecord, Store, StoreError, StoredRevision, TenantRecord, WriteError,
};
use super::{CreateTokenError, NewToken, Revocation, Revoked, TokenRecord, TokenStore};
use crate::token::{TokenHash, TokenId};

mod leader;
mod lease;
mod listen;
mod replicas;
mod schema;

// The same files as in `sqlite.rs`, on connections of this database.
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

type Connection = sqlx::PgConnection;

use leader::Leadership;
use lease::{Lease, late, limited, uncertain};
pub(crate) use listen::{Listener, News};

/// Writers take turns, and readers are quick; one connection is the listener's.
const CONNECTIONS: u32 = 8;

/// How long a connection may take to come about, or to become free.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);

/// How long closing may take where PostgreSQL does not answer any more.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

const READING_HEADS: &str = "reading what changed";
const KEEPING: &str = "keeping a revision";
const REMOVING: &str = "removing a tenant";
const KEEPING_TOKEN: &str = "keeping a token";
const KEEPING_HOST: &str = "keeping a host name";
const REMOVING_HOST: &str = "removing a host name";
const ANNOUNCING: &str = "telling of replicas";
const REVOKING_TOKEN: &str = "revoking a token";

/// What is read for a list of changes is of one moment.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Each statement sees what was committed before it, so also what the writer before has left.
const BEGIN_WRITING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Configuration in a PostgreSQL database.
#[derive(Debug)]
pub(crate) struct PostgresStore {
    pool: PgPool,
    id: String,
    leadership: Leadership,
}

impl PostgresStore {
    /// Connects and brings the schema up to date. The database must be there.
    pub(crate) async fn open(address: &PostgresAddress) -> Result<Self, OpenError> {
        let id = schema::prepare(address).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_LIMIT)
            .connect_lazy_with(schema::limited(address.options()));
        let leadership = Leadership::new(schema::limited(address.options()));
        Ok(Self {
            pool,
            id,
            leadership,
        })
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        Ok(Lease::new(connection))
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn id(&self) -> &str {
        &self.id
    }

    async fn heads_since(&self, sequence: u64) -> Result<Heads, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(read_heads(&mut lease, sequence)).await;
        lease.end(read, late(READING_HEADS))
    }

    async fn document(&self, tenant: &TenantId) -> Result<Option<Document>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(queries::document(&mut lease, tenant)).await;
        lease.end(read, late("reading a document"))
    }

    async fn write(&self, revision: NewRevision) -> Result<Revision, WriteError> {
        let mut lease = self.lease().await?;
        let written = limited(write(&mut lease, revision)).await;
        lease.end(written, uncertain(KEEPING))
    }

    async fn remove(&self, removal: NewRemoval) -> Result<(), WriteError> {
        let mut lease = self.lease().await?;
        let removed = limited(remove(&mut lease, removal)).await;
        lease.end(removed, uncertain(REMOVING))
    }

    async fn revisions(
        &self,
        tenant: &TenantId,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<RevisionRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(reading::revisions(&mut lease, tenant, before, limit)).await;
        lease.end(read, late("listing revisions"))
    }

    async fn revision(
        &self,
        tenant: &TenantId,
        revision: Revision,
    ) -> Result<Option<StoredRevision>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(reading::revision(&mut lease, tenant, revision)).await;
        lease.end(read, late("reading a revision"))
    }

    async fn tenants(
        &self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(reading::tenants(&mut lease, after, limit)).await;
        lease.end(read, late("listing tenants"))
    }

    async fn record(&self, call: CallRecord) -> Result<(), StoreError> {
        let mut lease = self.lease().await?;
        let recorded = limited(audit::record(&mut lease, call)).await;
        lease.end(recorded, late("writing the audit trail"))
    }

    async fn answered(
        &self,
        request: &RequestRecord,
    ) -> Result<Option<(bool, Answered)>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(requests::find(&mut lease, request)).await;
        lease.end(read, late("looking for a request"))
    }

    async fn remember(
        &self,
        request: &RequestRecord,
        answered: &Answered,
    ) -> Result<(), WriteError> {
        let mut lease = self.lease().await?;
        let kept = limited(requests::insert(&mut lease, request, answered)).await;
        lease.end(kept, late("keeping what a request led to"))
    }

    fn listener(&self) -> Option<Listener> {
        Some(Listener::new(self.pool.clone()))
    }

    fn replica_store(&self) -> Option<&dyn ReplicaStore> {
        Some(self)
    }

    #[cfg(test)]
    async fn trail(&self) -> Vec<super::TrailRow> {
        audit::changes(&mut self.pool.acquire().await.unwrap()).await
    }

    async fn close(&self) {
        self.leadership.give_up().await;
        // Connections that are in use are waited for.
        let closed = tokio::time::timeout(CLOSE_LIMIT, self.pool.close()).await;
        if closed.is_err() {
            tracing::warn!("the connections to PostgreSQL did not close in time");
        }
    }
}

#[async_trait]
impl TokenStore for PostgresStore {
    async fn create_token(&self, token: NewToken) -> Result<(), CreateTokenError> {
        let mut lease = self.lease().await?;
        let created = limited(create_token(&mut lease, &token)).await;
        lease.end(created, uncertain(KEEPING_TOKEN))
    }

    async fn token(&self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(tokens::find(&mut lease, id)).await;
        lease.end(read, late("reading a token"))
    }

    async fn token_by_hash(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(tokens::by_hash(&mut lease, hash)).await;
        lease.end(read, late("reading a token"))
    }

    async fn tokens(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(tokens::list(&mut lease, tenant, after, limit)).await;
        lease.end(read, late("listing tokens"))
    }

    async fn revoke_token(&self, revocation: Revocation) -> Result<Option<Revoked>, StoreError> {
        let mut lease = self.lease().await?;
        let revoked = limited(revoke_token(&mut lease, revocation)).await;
        lease.end(revoked, uncertain(REVOKING_TOKEN))
    }
}

#[async_trait]
impl HostStore for PostgresStore {
    async fn add_host(&self, host: NewHost) -> Result<(), AddHostError> {
        let mut lease = self.lease().await?;
        let added = limited(add_host(&mut lease, &host)).await;
        lease.end(added, uncertain(KEEPING_HOST))
    }

    async fn remove_host(&self, removal: HostRemoval) -> Result<Option<HostRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let removed = limited(remove_host(&mut lease, &removal)).await;
        lease.end(removed, uncertain(REMOVING_HOST))
    }

    async fn hosts(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&HostName>,
        limit: u32,
    ) -> Result<Vec<HostRecord>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(hosts::list(&mut lease, tenant, after, limit)).await;
        lease.end(read, late("listing host names"))
    }
}

async fn add_host(connection: &mut Connection, host: &NewHost) -> Result<(), AddHostError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(KEEPING_HOST))?;
    hosts::add(&mut transaction, host).await?;
    transaction
        .commit()
        .await
        .map_err(uncertain(KEEPING_HOST))?;
    Ok(())
}

async fn remove_host(
    connection: &mut Connection,
    removal: &HostRemoval,
) -> Result<Option<HostRecord>, StoreError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(REMOVING_HOST))?;
    let removed = hosts::remove(&mut transaction, removal).await?;
    if removed.is_some() {
        transaction
            .commit()
            .await
            .map_err(uncertain(REMOVING_HOST))?;
    }
    Ok(removed)
}

#[async_trait]
impl ReplicaStore for PostgresStore {
    async fn announce(&self, announcement: &Announcement) -> Result<bool, StoreError> {
        let mut lease = self.lease().await?;
        let announced = limited(announce(&mut lease, announcement)).await;
        lease.end(announced, uncertain(ANNOUNCING))
    }

    async fn others(&self, own: &str, known: &[(String, u64)]) -> Result<Vec<Other>, StoreError> {
        let mut lease = self.lease().await?;
        let read = limited(replicas::others(&mut lease, own, known)).await;
        lease.end(read, late("reading of the replicas of others"))
    }

    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        let mut lease = self.lease().await?;
        let left = limited(replicas::leave(&mut lease, id)).await;
        lease.end(left, uncertain(ANNOUNCING))
    }
}

async fn announce(
    connection: &mut Connection,
    announcement: &Announcement,
) -> Result<bool, StoreError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(ANNOUNCING))?;
    let taken = replicas::announce(&mut transaction, announcement).await?;
    transaction.commit().await.map_err(uncertain(ANNOUNCING))?;
    Ok(taken)
}

async fn create_token(
    connection: &mut Connection,
    token: &NewToken,
) -> Result<(), CreateTokenError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(KEEPING_TOKEN))?;
    tokens::create(&mut transaction, token).await?;
    transaction
        .commit()
        .await
        .map_err(uncertain(KEEPING_TOKEN))?;
    Ok(())
}

async fn revoke_token(
    connection: &mut Connection,
    revocation: Revocation,
) -> Result<Option<Revoked>, StoreError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(REVOKING_TOKEN))?;
    let revoked = tokens::revoke(&mut transaction, revocation).await?;
    transaction
        .commit()
        .await
        .map_err(uncertain(REVOKING_TOKEN))?;
    Ok(revoked)
}

async fn read_heads(connection: &mut Connection, sequence: u64) -> Result<Heads, StoreError> {
    let begin = connection.begin_with(BEGIN_READING).await;
    let mut transaction = begin.map_err(failed(READING_HEADS))?;
    let heads = queries::heads_since(&mut transaction, sequence).await?;
    transaction.commit().await.map_err(failed(READING_HEADS))?;
    Ok(heads)
}

async fn write(connection: &mut Connection, new: NewRevision) -> Result<Revision, WriteError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(KEEPING))?;
    let written = queries::write(&mut transaction, new).await?;
    transaction.commit().await.map_err(uncertain(KEEPING))?;
    Ok(written)
}

async fn remove(connection: &mut Connection, removal: NewRemoval) -> Result<(), WriteError> {
    let begin = connection.begin_with(BEGIN_WRITING).await;
    let mut transaction = begin.map_err(failed(REMOVING))?;
    queries::remove(&mut transaction, removal).await?;
    transaction.commit().await.map_err(uncertain(REMOVING))?;
    Ok(())
}

/// PostgreSQL's texts have no NUL. It is in no YAML, and in what a caller says its picture does.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{2400}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
pub(crate) mod tests;
