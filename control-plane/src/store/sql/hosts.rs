//! The statements about host names, each on a connection whose transaction its caller owns.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::{HostName, TenantId};

use super::{Connection, audit, queries, text};
use crate::store::sql::{failed, parsed, signed};
use crate::store::{AddHostError, HostRecord, HostRemoval, HostTable, NewHost, StoreError};

const READING: &str = "reading host names";
const CHANGING: &str = "changing host names";

type Row = (String, String, String, String);

/// All of them, if they have changed after a sequence.
pub(super) async fn since(
    connection: &mut Connection,
    sequence: u64,
) -> Result<Option<HostTable>, StoreError> {
    let changed: Option<i64> =
        sqlx::query_scalar("SELECT sequence FROM hosts_changed WHERE sequence > $1")
            .bind(signed(sequence))
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed(READING))?;
    if changed.is_none() {
        return Ok(None);
    }
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT host, tenant FROM hosts")
        .fetch_all(connection)
        .await
        .map_err(failed(READING))?;
    let mut all = BTreeMap::new();
    for (host, tenant) in rows {
        all.insert(parsed("host name", host)?, parsed("tenant", tenant)?);
    }
    Ok(Some(Arc::new(all)))
}

pub(super) async fn add(transaction: &mut Connection, new: &NewHost) -> Result<(), AddHostError> {
    count_change(transaction).await?;
    let record = &new.record;
    let inserted = sqlx::query(
        "INSERT INTO hosts (host, tenant, created_at, author) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(record.host.as_str())
    .bind(record.tenant.as_str())
    .bind(record.created_at.to_string())
    .bind(text(&record.author))
    .execute(&mut *transaction)
    .await
    .map_err(failed(CHANGING))?;
    if inserted.rows_affected() == 0 {
        return Err(AddHostError::Exists);
    }
    audit::record(transaction, new.call()).await?;
    Ok(())
}

/// What is not there is for the caller to roll back.
pub(super) async fn remove(
    transaction: &mut Connection,
    removal: &HostRemoval,
) -> Result<Option<HostRecord>, StoreError> {
    count_change(transaction).await?;
    let row: Option<Row> = sqlx::query_as(
        "DELETE FROM hosts WHERE host = $1 RETURNING host, tenant, created_at, author",
    )
    .bind(removal.host.as_str())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed(CHANGING))?;
    let Some(record) = row.map(record).transpose()? else {
        return Ok(None);
    };
    audit::record(transaction, removal.call(&record.tenant)).await?;
    Ok(Some(record))
}

pub(super) async fn list(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    after: Option<&HostName>,
    limit: u32,
) -> Result<Vec<HostRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT host, tenant, created_at, author FROM hosts
         WHERE host > $1 AND tenant = coalesce($2, tenant) ORDER BY host LIMIT $3",
    )
    .bind(after.map_or("", HostName::as_str))
    .bind(tenant.map(TenantId::as_str))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    rows.into_iter().map(record).collect()
}

/// Comes first, as with every change.
async fn count_change(transaction: &mut Connection) -> Result<(), StoreError> {
    let sequence = queries::next_sequence(transaction).await?;
    sqlx::query("UPDATE hosts_changed SET sequence = $1")
        .bind(sequence)
        .execute(transaction)
        .await
        .map_err(failed(CHANGING))?;
    Ok(())
}

fn record((host, tenant, created_at, author): Row) -> Result<HostRecord, StoreError> {
    Ok(HostRecord {
        host: parsed("host name", host)?,
        tenant: parsed("tenant", tenant)?,
        created_at: parsed("time", created_at)?,
        author,
    })
}
