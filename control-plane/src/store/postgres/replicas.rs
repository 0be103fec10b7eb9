//! The statements about control planes and their replicas, each on a connection whose transaction its
//! caller owns.

use super::Connection;
use crate::store::sql::{failed, signed, unsigned};
use crate::store::{Announcement, GONE_AFTER, Other, StoreError};

/// For so long it is remembered that a replica has gone. Who has read nothing for longer begins anew.
const REMEMBERED_SECONDS: f64 = 60.0;

/// For so long a control plane is kept that is not seen any more.
const KEPT_SECONDS: f64 = 3600.0;

const ANNOUNCING: &str = "telling of replicas";
const READING: &str = "reading of the replicas of others";

/// What `Listener` listens to beside the changes of the store.
pub(super) const CHANNEL: &str = "mcp_gateway_replicas";

pub(super) async fn announce(
    transaction: &mut Connection,
    announcement: &Announcement,
) -> Result<bool, StoreError> {
    let Announcement {
        id,
        name,
        sequence,
        version,
        replicas,
        replaces,
    } = announcement;
    // The one that is given up, and those that have not been seen for long.
    sqlx::query(
        "DELETE FROM control_planes
         WHERE id = ANY ($1) OR seen_at < now() - make_interval(secs => $2)",
    )
    .bind(replaces)
    .bind(KEPT_SECONDS)
    .execute(&mut *transaction)
    .await
    .map_err(failed(ANNOUNCING))?;
    let statement = match version {
        1 => {
            "INSERT INTO control_planes (id, name, sequence, version, seen_at)
             VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING"
        }
        _ => {
            "UPDATE control_planes SET name = $2, sequence = $3, version = $4, seen_at = now()
             WHERE id = $1"
        }
    };
    let said = sqlx::query(statement)
        .bind(id)
        .bind(name)
        .bind(signed(*sequence))
        .bind(signed(*version))
        .execute(&mut *transaction)
        .await
        .map_err(failed(ANNOUNCING))?;
    if said.rows_affected() == 0 {
        return Ok(false);
    }
    let (names, told): (Vec<&str>, Vec<Option<&str>>) = replicas
        .iter()
        .map(|(name, told)| (name.as_str(), told.as_deref()))
        .unzip();
    if !names.is_empty() {
        sqlx::query(
            "INSERT INTO replicas (control_plane, replica, version, told, written_at)
             SELECT $1, replica, $2, told, now() FROM unnest($3::text[], $4::text[]) AS new (replica, told)
             ON CONFLICT (control_plane, replica) DO UPDATE
             SET version = excluded.version, told = excluded.told, written_at = excluded.written_at",
        )
        .bind(id)
        .bind(signed(*version))
        .bind(names)
        .bind(told)
        .execute(&mut *transaction)
        .await
        .map_err(failed(ANNOUNCING))?;
    }
    sqlx::query(
        "DELETE FROM replicas WHERE control_plane = $1 AND told IS NULL
         AND written_at < now() - make_interval(secs => $2)",
    )
    .bind(id)
    .bind(REMEMBERED_SECONDS)
    .execute(&mut *transaction)
    .await
    .map_err(failed(ANNOUNCING))?;
    tell(transaction).await?;
    Ok(true)
}

/// The others read as soon as this is committed, and not only when it is time.
async fn tell(transaction: &mut Connection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, '')")
        .bind(CHANNEL)
        .execute(transaction)
        .await
        .map_err(failed(ANNOUNCING))?;
    Ok(())
}

pub(super) async fn others(
    connection: &mut Connection,
    own: &str,
    known: &[(String, u64)],
) -> Result<Vec<Other>, StoreError> {
    let ids: Vec<&str> = known.iter().map(|(id, _)| id.as_str()).collect();
    let versions: Vec<i64> = known.iter().map(|(_, version)| signed(*version)).collect();
    // One statement, so that all of it is of one moment.
    type Row = (String, String, i64, i64, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT plane.id, plane.name, plane.sequence, plane.version, replica.replica, replica.told
         FROM control_planes AS plane
         LEFT JOIN unnest($2::text[], $3::bigint[]) AS known (id, version) ON known.id = plane.id
         LEFT JOIN replicas AS replica ON replica.control_plane = plane.id
             AND replica.version > coalesce(known.version, 0)
         WHERE plane.id <> $1 AND plane.seen_at > now() - make_interval(secs => $4)
         ORDER BY plane.id",
    )
    .bind(own)
    .bind(ids)
    .bind(versions)
    .bind(GONE_AFTER.as_secs_f64())
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    let mut others: Vec<Other> = Vec::new();
    for (id, name, sequence, version, replica, told) in rows {
        let changed = replica.map(|replica| (replica, told));
        match others.last_mut().filter(|last| last.id == id) {
            Some(last) => last.replicas.extend(changed),
            None => others.push(Other {
                id,
                name,
                sequence: unsigned("sequence", sequence)?,
                version: unsigned("version", version)?,
                replicas: changed.into_iter().collect(),
            }),
        }
    }
    Ok(others)
}

pub(super) async fn leave(transaction: &mut Connection, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM control_planes WHERE id = $1")
        .bind(id)
        .execute(&mut *transaction)
        .await
        .map_err(failed(ANNOUNCING))?;
    tell(transaction).await
}
