//! The audit trail: a row for every change, within its transaction, and one for every other call.

use gateway_core::{Revision, TenantId};
use jiff::Timestamp;

use super::{Connection, text};
use crate::store::sql::{failed, signed};
use crate::store::{CallRecord, StoreError};

const DOING: &str = "writing the audit trail";

/// A change that is being made.
pub(super) struct AuditRow<'a> {
    pub(super) sequence: i64,
    pub(super) created_at: Timestamp,
    pub(super) author: &'a str,
    pub(super) action: &'a str,
    pub(super) tenant: &'a TenantId,
    pub(super) revision: Revision,
    pub(super) reason: &'a str,
    pub(super) summary: &'a str,
}

impl AuditRow<'_> {
    pub(super) async fn insert(&self, connection: &mut Connection) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (sequence, created_at, author, action, target, revision, reason,
                                outcome, summary)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'Ok', $8)",
        )
        .bind(self.sequence)
        .bind(self.created_at.to_string())
        .bind(text(self.author))
        .bind(self.action)
        .bind(self.tenant.as_str())
        .bind(signed(self.revision.0))
        .bind(text(self.reason))
        .bind(text(self.summary))
        .execute(connection)
        .await
        .map_err(failed(DOING))?;
        Ok(())
    }
}

pub(super) async fn record(
    connection: &mut Connection,
    call: CallRecord,
) -> Result<(), StoreError> {
    let CallRecord {
        created_at,
        author,
        action,
        target,
        reason,
        outcome,
        summary,
    } = call;
    sqlx::query(
        "INSERT INTO audit (created_at, author, action, target, reason, outcome, summary)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(created_at.to_string())
    .bind(text(&author))
    .bind(text(&action))
    .bind(text(&target))
    .bind(text(&reason))
    .bind(text(&outcome))
    .bind(text(&summary))
    .execute(connection)
    .await
    .map_err(failed(DOING))?;
    Ok(())
}

/// The changes in their order.
#[cfg(test)]
pub(super) async fn changes(connection: &mut Connection) -> Vec<crate::store::TrailRow> {
    let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
        "SELECT sequence, action, target, revision FROM audit
         WHERE sequence IS NOT NULL AND outcome = 'Ok' ORDER BY sequence",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    let rows = rows.into_iter();
    rows.map(
        |(sequence, action, target, revision)| crate::store::TrailRow {
            sequence: sequence.try_into().unwrap(),
            action,
            target,
            revision: revision.try_into().unwrap(),
        },
    )
    .collect()
}
