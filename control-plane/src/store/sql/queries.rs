//! The statements, each on a connection whose transaction its caller owns.

use bytes::Bytes;
use gateway_core::{Revision, TenantId};

use super::audit::AuditRow;
use super::{Connection, hosts, requests, rollouts, text};
use crate::rollout::Stage;
use crate::store::sql::{failed, parsed, signed, unsigned};
use crate::store::{
    Answered, Canary, Document, Head, Heads, NewRemoval, NewRevision, StoreError, WriteError,
};

pub(super) async fn heads_since(
    connection: &mut Connection,
    sequence: u64,
) -> Result<Heads, StoreError> {
    let doing = "reading what changed";
    let now: i64 = sqlx::query_scalar("SELECT sequence FROM store")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed(doing))?;
    // No join, here and where tenants are listed: a planner that expects many rows would read every
    // revision that there ever was, each time that something changed.
    let rows: Vec<(String, i64, i64, bool, Vec<u8>)> = sqlx::query_as(
        "SELECT tenant, sequence, revision, removed,
                (SELECT resolved FROM revisions
                 WHERE revisions.tenant = documents.tenant
                 AND revisions.revision = documents.revision)
         FROM documents WHERE sequence > $1 ORDER BY sequence",
    )
    .bind(signed(sequence))
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(doing))?;
    let mut ahead = rollouts::ahead_since(connection, signed(sequence)).await?;

    let mut heads = Vec::with_capacity(rows.len());
    for (tenant, sequence, revision, removed, resolved) in rows {
        let tenant = parsed("tenant", tenant)?;
        let revision = Revision(unsigned("revision", revision)?);
        let latest = Some((revision, Bytes::from(resolved)));
        let (current, canary) = match ahead.remove(&tenant) {
            None => (latest, None),
            Some(ahead) => {
                let latest = latest.filter(|_| ahead.stage == Stage::Canary);
                let canary = latest.map(|(revision, config)| Canary {
                    revision,
                    config,
                    replicas: ahead.canaries,
                });
                (ahead.stable, canary)
            }
        };
        let is_there = !removed;
        heads.push(Head {
            tenant,
            sequence: unsigned("sequence", sequence)?,
            latest: Some(revision).filter(|_| is_there),
            current: current.filter(|_| is_there),
            canary: canary.filter(|_| is_there),
        });
    }
    Ok(Heads {
        sequence: unsigned("sequence", now)?,
        heads,
        hosts: hosts::since(connection, sequence).await?,
    })
}

pub(super) async fn document(
    connection: &mut Connection,
    tenant: &TenantId,
) -> Result<Option<Document>, StoreError> {
    let row: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT revision, resolved FROM documents JOIN revisions USING (tenant, revision)
         WHERE tenant = $1 AND NOT removed",
    )
    .bind(tenant.as_str())
    .fetch_optional(connection)
    .await
    .map_err(failed("reading a document"))?;
    let Some((revision, resolved)) = row else {
        return Ok(None);
    };
    Ok(Some(Document {
        revision: Revision(unsigned("revision", revision)?),
        resolved: resolved.into(),
    }))
}

pub(super) async fn write(
    transaction: &mut Connection,
    new: NewRevision,
) -> Result<Revision, WriteError> {
    let doing = "keeping a revision";
    let sequence = next_sequence(transaction).await?;
    let last = last_revision(transaction, &new.tenant).await?;
    last.expect_current(new.expected)?;
    let revision = Revision(last.revision.0 + 1);

    sqlx::query(
        "INSERT INTO revisions (tenant, revision, sequence, created_at, author, reason, summary,
                                submitted, resolved)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.tenant.as_str())
    .bind(signed(revision.0))
    .bind(sequence)
    .bind(new.created_at.to_string())
    .bind(text(&new.author))
    .bind(text(&new.reason))
    .bind(text(&new.summary))
    .bind(text(&new.submitted))
    .bind(new.resolved.as_ref())
    .execute(&mut *transaction)
    .await
    .map_err(failed(doing))?;

    sqlx::query(
        "INSERT INTO documents (tenant, revision, sequence, removed) VALUES ($1, $2, $3, FALSE)
         ON CONFLICT (tenant) DO UPDATE
         SET revision = excluded.revision, sequence = excluded.sequence, removed = FALSE",
    )
    .bind(new.tenant.as_str())
    .bind(signed(revision.0))
    .bind(sequence)
    .execute(&mut *transaction)
    .await
    .map_err(failed(doing))?;

    rollouts::begin(transaction, &new, (revision, new.expected), sequence).await?;
    if let Some(request) = &new.request {
        let answered = Answered {
            revision,
            based_on: new.expected,
            changed: true,
        };
        requests::insert(transaction, request, &answered).await?;
    }

    let row = AuditRow {
        sequence,
        created_at: new.created_at,
        author: &new.author,
        action: new.action.as_str(),
        tenant: &new.tenant,
        revision,
        reason: &new.reason,
        summary: &new.summary,
    };
    row.insert(transaction).await?;
    Ok(revision)
}

pub(super) async fn remove(
    transaction: &mut Connection,
    removal: NewRemoval,
) -> Result<(), WriteError> {
    let sequence = next_sequence(transaction).await?;
    let last = last_revision(transaction, &removal.tenant).await?;
    last.expect_current(Some(removal.expected))?;

    sqlx::query("UPDATE documents SET removed = TRUE, sequence = $1 WHERE tenant = $2")
        .bind(sequence)
        .bind(removal.tenant.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed("removing a tenant"))?;

    let (tenant, at) = (&removal.tenant, &removal.created_at);
    rollouts::end(transaction, tenant, Stage::Superseded, at, sequence).await?;
    if let Some(request) = &removal.request {
        let answered = Answered {
            revision: last.revision,
            based_on: Some(last.revision),
            changed: true,
        };
        requests::insert(transaction, request, &answered).await?;
    }

    let row = AuditRow {
        sequence,
        created_at: removal.created_at,
        author: &removal.author,
        action: "remove",
        tenant: &removal.tenant,
        revision: last.revision,
        reason: &removal.reason,
        summary: "removed the tenant",
    };
    row.insert(transaction).await?;
    Ok(())
}

/// A tenant's last revision, 0 if it never had one.
struct LastRevision {
    revision: Revision,
    removed: bool,
}

impl LastRevision {
    fn expect_current(&self, expected: Option<Revision>) -> Result<(), WriteError> {
        let current = Some(self.revision).filter(|_| !self.removed);
        if current == expected {
            Ok(())
        } else {
            Err(WriteError::Conflict { current })
        }
    }
}

async fn last_revision(
    connection: &mut Connection,
    tenant: &TenantId,
) -> Result<LastRevision, StoreError> {
    let row: Option<(i64, bool)> =
        sqlx::query_as("SELECT revision, removed FROM documents WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(connection)
            .await
            .map_err(failed("reading a revision"))?;
    let (revision, removed) = row.unwrap_or((0, true));
    Ok(LastRevision {
        revision: Revision(unsigned("revision", revision)?),
        removed,
    })
}

/// Comes first in a transaction that changes something: the row is locked from then on, so that what
/// is read next stays as it is, and sequences become visible in their order.
pub(super) async fn next_sequence(connection: &mut Connection) -> Result<i64, StoreError> {
    sqlx::query_scalar("UPDATE store SET sequence = sequence + 1 RETURNING sequence")
        .fetch_one(connection)
        .await
        .map_err(failed("counting a change"))
}
