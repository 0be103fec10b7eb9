//! The statements about rollouts, each on a connection whose transaction its caller owns.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::{Revision, TenantId};
use sqlx::FromRow;

use super::audit::AuditRow;
use super::{Connection, queries, text};
use crate::rollout::{Plan, Rollout, RolloutStep, Stage};
use crate::store::sql::{failed, parsed, signed, unsigned};
use crate::store::{NewRevision, Rolled, StoreError, WriteError};

const READING: &str = "reading rollouts";
const KEEPING: &str = "keeping a step of a rollout";

/// A row as it is in the table.
#[derive(FromRow)]
struct Row {
    tenant: String,
    revision: i64,
    stable: Option<i64>,
    share: f64,
    bake_milliseconds: i64,
    max_error_rate: f64,
    stage: String,
    reason: String,
    canaries: String,
    lost: i64,
    author: String,
    created_at: String,
    updated_at: String,
    baking_since: Option<String>,
    sequence: i64,
}

/// Tenant, stage, canaries, and what is stable with its document.
type AheadRow = (String, String, String, Option<i64>, Option<Vec<u8>>);

/// What is in force elsewhere while a tenant's rollout is not over.
pub(super) struct Ahead {
    pub(super) stage: Stage,
    pub(super) canaries: Arc<BTreeSet<String>>,
    pub(super) stable: Option<(Revision, Bytes)>,
}

pub(super) async fn last(
    connection: &mut Connection,
    tenant: &TenantId,
) -> Result<Option<Rollout>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM rollouts WHERE tenant = $1")
        .bind(tenant.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed(READING))?;
    row.map(Rollout::try_from).transpose()
}

pub(super) async fn active(connection: &mut Connection) -> Result<Vec<Rollout>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM rollouts WHERE stage IN ('canary', 'halted') ORDER BY tenant",
    )
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    rows.into_iter().map(Rollout::try_from).collect()
}

/// The rollouts that are not over of tenants that changed after a sequence.
pub(super) async fn ahead_since(
    connection: &mut Connection,
    sequence: i64,
) -> Result<HashMap<TenantId, Ahead>, StoreError> {
    let rows: Vec<AheadRow> = sqlx::query_as(
        "SELECT tenant, stage, canaries, stable,
                (SELECT resolved FROM revisions
                 WHERE revisions.tenant = rollouts.tenant
                 AND revisions.revision = rollouts.stable)
         FROM rollouts WHERE stage IN ('canary', 'halted')
         AND (SELECT sequence FROM documents WHERE documents.tenant = rollouts.tenant) > $1",
    )
    .bind(sequence)
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    let mut found = HashMap::with_capacity(rows.len());
    for (tenant, stage, canaries, stable, resolved) in rows {
        let stable = match stable.zip(resolved) {
            Some((revision, resolved)) => {
                Some((Revision(unsigned("revision", revision)?), resolved.into()))
            }
            None => None,
        };
        let ahead = Ahead {
            stage: read_stage(stage)?,
            canaries: read_canaries(canaries)?,
            stable,
        };
        found.insert(parsed("tenant", tenant)?, ahead);
    }
    Ok(found)
}

/// What a new revision does to the rollouts of its tenant, within its transaction. `before` is what
/// was current; `None`: nothing.
pub(super) async fn begin(
    transaction: &mut Connection,
    new: &NewRevision,
    (revision, before): (Revision, Option<Revision>),
    sequence: i64,
) -> Result<(), StoreError> {
    let plan = match new.rolled {
        Rolled::AtOnce(ended_as) => {
            return end(
                transaction,
                &new.tenant,
                ended_as,
                &new.created_at,
                sequence,
            )
            .await;
        }
        Rolled::By(plan) => plan,
    };
    let earlier = last(&mut *transaction, &new.tenant).await?;
    let earlier = earlier.filter(|earlier| earlier.stage.is_active());
    let stable = earlier.map_or(before, |earlier| earlier.stable);
    let bake = i64::try_from(plan.bake.as_millis()).unwrap_or(i64::MAX);
    let at = new.created_at.to_string();
    sqlx::query(
        "INSERT INTO rollouts (tenant, revision, stable, share, bake_milliseconds, max_error_rate,
                               stage, reason, canaries, lost, author, created_at, updated_at,
                               baking_since, sequence)
         VALUES ($1, $2, $3, $4, $5, $6, 'canary', '', '[]', 0, $7, $8, $8, NULL, $9)
         ON CONFLICT (tenant) DO UPDATE
         SET revision = excluded.revision, stable = excluded.stable, share = excluded.share,
             bake_milliseconds = excluded.bake_milliseconds,
             max_error_rate = excluded.max_error_rate, stage = excluded.stage,
             reason = excluded.reason, canaries = excluded.canaries, lost = excluded.lost,
             author = excluded.author, created_at = excluded.created_at,
             updated_at = excluded.updated_at, baking_since = excluded.baking_since,
             sequence = excluded.sequence",
    )
    .bind(new.tenant.as_str())
    .bind(signed(revision.0))
    .bind(stable.map(|stable| signed(stable.0)))
    .bind(plan.share)
    .bind(bake)
    .bind(plan.max_error_rate)
    .bind(text(&new.author))
    .bind(at)
    .bind(sequence)
    .execute(transaction)
    .await
    .map_err(failed(KEEPING))?;
    Ok(())
}

/// Ends a tenant's rollout where that is not over.
pub(super) async fn end(
    transaction: &mut Connection,
    tenant: &TenantId,
    ended_as: Stage,
    at: &jiff::Timestamp,
    sequence: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE rollouts SET stage = $1, updated_at = $2, sequence = $3
         WHERE tenant = $4 AND stage IN ('canary', 'halted')",
    )
    .bind(ended_as.as_str())
    .bind(at.to_string())
    .bind(sequence)
    .bind(tenant.as_str())
    .execute(transaction)
    .await
    .map_err(failed(KEEPING))?;
    Ok(())
}

pub(super) async fn step(
    transaction: &mut Connection,
    step: RolloutStep,
) -> Result<(), WriteError> {
    let sequence = queries::next_sequence(transaction).await?;
    let canaries = serde_json::Value::from_iter(step.canaries.iter().cloned()).to_string();
    let stepped = sqlx::query(
        "UPDATE rollouts SET stage = $1, reason = $2, canaries = $3, lost = $4,
                             updated_at = $5, baking_since = $6, sequence = $7
         WHERE tenant = $8 AND revision = $9 AND sequence = $10
         AND stage IN ('canary', 'halted')",
    )
    .bind(step.stage.as_str())
    .bind(text(&step.reason))
    .bind(text(&canaries))
    .bind(i64::from(step.lost))
    .bind(step.at.to_string())
    .bind(step.baking_since.map(|since| since.to_string()))
    .bind(sequence)
    .bind(step.tenant.as_str())
    .bind(signed(step.revision.0))
    .bind(signed(step.after))
    .execute(&mut *transaction)
    .await
    .map_err(failed(KEEPING))?;
    if stepped.rows_affected() == 0 {
        return Err(WriteError::Conflict { current: None });
    }
    sqlx::query("UPDATE documents SET sequence = $1 WHERE tenant = $2")
        .bind(sequence)
        .bind(step.tenant.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed(KEEPING))?;
    let row = AuditRow {
        sequence,
        created_at: step.at,
        author: &step.author,
        action: "rollout",
        tenant: &step.tenant,
        revision: step.revision,
        reason: &step.because,
        summary: &summary(&step),
    };
    row.insert(transaction).await?;
    Ok(())
}

/// What the audit trail says of a step.
fn summary(step: &RolloutStep) -> String {
    let stage = step.stage.as_str();
    match (step.stage, &*step.reason, step.baking_since) {
        (Stage::Canary, _, Some(_)) => format!("{stage}: baking"),
        (Stage::Canary, ..) => {
            let names: Vec<_> = step.canaries.iter().map(String::as_str).collect();
            format!("{stage}: on {}", names.join(", "))
        }
        (_, "", _) => stage.to_owned(),
        (_, reason, _) => format!("{stage}: {reason}"),
    }
}

fn read_stage(text: String) -> Result<Stage, StoreError> {
    Stage::parse(&text).ok_or(StoreError::Unreadable {
        what: "stage of a rollout",
        value: text,
    })
}

fn read_canaries(text: String) -> Result<Arc<BTreeSet<String>>, StoreError> {
    let read = serde_json::from_str(&text).map_err(|_| StoreError::Unreadable {
        what: "list of canaries",
        value: text,
    });
    read.map(Arc::new)
}

impl TryFrom<Row> for Rollout {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let revision = |number| unsigned("revision", number).map(Revision);
        let lost = unsigned("number of lost canaries", row.lost)?;
        let bake = unsigned("duration", row.bake_milliseconds)?;
        let since = row.baking_since;
        Ok(Self {
            tenant: parsed("tenant", row.tenant)?,
            revision: revision(row.revision)?,
            stable: row.stable.map(revision).transpose()?,
            plan: Plan {
                share: row.share,
                bake: Duration::from_millis(bake),
                max_error_rate: row.max_error_rate,
            },
            stage: read_stage(row.stage)?,
            reason: row.reason,
            canaries: read_canaries(row.canaries)?,
            lost: u32::try_from(lost).unwrap_or(u32::MAX),
            author: row.author,
            created_at: parsed("time", row.created_at)?,
            updated_at: parsed("time", row.updated_at)?,
            baking_since: since.map(|since| parsed("time", since)).transpose()?,
            sequence: unsigned("sequence", row.sequence)?,
        })
    }
}
