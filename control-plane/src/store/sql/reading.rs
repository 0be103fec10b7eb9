//! The statements that only read, each on a connection of its caller.

use bytes::Bytes;
use gateway_core::{Revision, TenantId};

use super::Connection;
use crate::store::sql::{failed, parsed, signed, unsigned};
use crate::store::{RevisionRecord, StoreError, StoredRevision, TenantRecord};

/// The columns of a record, in their order.
type Row = (i64, String, String, String, String, String);

/// The same with the document.
type RowWithDocument = (i64, String, String, String, String, String, Vec<u8>);

pub(super) async fn revisions(
    connection: &mut Connection,
    tenant: &TenantId,
    before: Option<Revision>,
    limit: u32,
) -> Result<Vec<RevisionRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT revision, created_at, author, reason, summary, submitted FROM revisions
         WHERE tenant = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(before.map_or(i64::MAX, |revision| signed(revision.0)))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(failed("listing revisions"))?;
    rows.into_iter().map(record).collect()
}

pub(super) async fn revision(
    connection: &mut Connection,
    tenant: &TenantId,
    revision: Revision,
) -> Result<Option<StoredRevision>, StoreError> {
    let row: Option<RowWithDocument> = sqlx::query_as(
        "SELECT revision, created_at, author, reason, summary, submitted, resolved FROM revisions
         WHERE tenant = $1 AND revision = $2",
    )
    .bind(tenant.as_str())
    .bind(signed(revision.0))
    .fetch_optional(connection)
    .await
    .map_err(failed("reading a revision"))?;
    let Some((revision, created_at, author, reason, summary, submitted, resolved)) = row else {
        return Ok(None);
    };
    let row = (revision, created_at, author, reason, summary, submitted);
    Ok(Some(StoredRevision {
        record: record(row)?,
        resolved: Bytes::from(resolved),
    }))
}

pub(super) async fn tenants(
    connection: &mut Connection,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Vec<TenantRecord>, StoreError> {
    let rows: Vec<(String, i64, String, String)> = sqlx::query_as(
        "SELECT tenant, revision,
                (SELECT created_at FROM revisions
                 WHERE revisions.tenant = documents.tenant
                 AND revisions.revision = documents.revision),
                (SELECT author FROM revisions
                 WHERE revisions.tenant = documents.tenant
                 AND revisions.revision = documents.revision)
         FROM documents WHERE tenant > $1 AND NOT removed ORDER BY tenant LIMIT $2",
    )
    .bind(after.map_or("", TenantId::as_str))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(failed("listing tenants"))?;
    let mut tenants = Vec::with_capacity(rows.len());
    for (tenant, revision, created_at, author) in rows {
        tenants.push(TenantRecord {
            tenant: parsed("tenant", tenant)?,
            revision: Revision(unsigned("revision", revision)?),
            created_at: parsed("time", created_at)?,
            author,
        });
    }
    Ok(tenants)
}

fn record(row: Row) -> Result<RevisionRecord, StoreError> {
    let (revision, created_at, author, reason, summary, submitted) = row;
    Ok(RevisionRecord {
        revision: Revision(unsigned("revision", revision)?),
        created_at: parsed("time", created_at)?,
        author,
        reason,
        summary,
        submitted,
    })
}
