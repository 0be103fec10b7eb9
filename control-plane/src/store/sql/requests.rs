//! What was answered to requests that their callers may send again.

use gateway_core::Revision;

use super::{Connection, text};
use crate::store::sql::{failed, signed, unsigned};
use crate::store::{Answered, RequestRecord, StoreError, WriteError};

const DOING: &str = "keeping what a request led to";

/// Keeps what a request led to, unless its id is taken. What is too old to be asked for goes.
pub(super) async fn insert(
    connection: &mut Connection,
    request: &RequestRecord,
    answered: &Answered,
) -> Result<(), WriteError> {
    let now = request.created_at.as_second();
    sqlx::query("DELETE FROM requests WHERE created_at < $1")
        .bind(now - RequestRecord::KEPT_SECONDS)
        .execute(&mut *connection)
        .await
        .map_err(failed(DOING))?;
    let inserted = sqlx::query(
        "INSERT INTO requests (author, id, fingerprint, created_at, revision, based_on, changed)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(text(&request.author))
    .bind(text(&request.id))
    .bind(request.fingerprint.as_slice())
    .bind(now)
    .bind(signed(answered.revision.0))
    .bind(answered.based_on.map(|revision| signed(revision.0)))
    .bind(answered.changed)
    .execute(connection)
    .await
    .map_err(failed(DOING))?;
    match inserted.rows_affected() {
        0 => Err(WriteError::Repeated),
        _ => Ok(()),
    }
}

/// What the request of this caller and id led to, and whether it was the same one.
pub(super) async fn find(
    connection: &mut Connection,
    request: &RequestRecord,
) -> Result<Option<(bool, Answered)>, StoreError> {
    let row: Option<(Vec<u8>, i64, Option<i64>, bool)> = sqlx::query_as(
        "SELECT fingerprint, revision, based_on, changed FROM requests
         WHERE author = $1 AND id = $2 AND created_at >= $3",
    )
    .bind(text(&request.author))
    .bind(text(&request.id))
    .bind(request.created_at.as_second() - RequestRecord::KEPT_SECONDS)
    .fetch_optional(connection)
    .await
    .map_err(failed("looking for a request"))?;
    let Some((fingerprint, revision, based_on, changed)) = row else {
        return Ok(None);
    };
    let number = |revision| unsigned("revision", revision).map(Revision);
    let answered = Answered {
        revision: number(revision)?,
        based_on: based_on.map(number).transpose()?,
        changed,
    };
    Ok(Some((fingerprint == request.fingerprint, answered)))
}
