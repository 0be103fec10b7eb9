//! The statements about tokens, each on a connection whose transaction its caller owns.

use gateway_core::TenantId;

use super::{Connection, audit, text};
use crate::store::sql::{failed, parsed};
use crate::store::{CreateTokenError, NewToken, Revocation, Revoked, StoreError, TokenRecord};
use crate::token::{Role, TokenHash, TokenId};

/// The columns of a record, in their order.
type Row = (
    String,
    String,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
);

pub(super) async fn create(
    transaction: &mut Connection,
    token: &NewToken,
) -> Result<(), CreateTokenError> {
    let inserted = sqlx::query(
        "INSERT INTO tokens (tenant, name, role, hash, created_at, author, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(token.role.tenant().map_or("", TenantId::as_str))
    .bind(token.name.as_str())
    .bind(token.role.stored_kind())
    .bind(token.hash.as_bytes())
    .bind(token.created_at.to_string())
    .bind(text(&token.author))
    .bind(token.expires_at.map(|end| end.to_string()))
    .execute(&mut *transaction)
    .await
    .map_err(failed("keeping a token"))?;
    if inserted.rows_affected() == 0 {
        return Err(CreateTokenError::Exists);
    }
    audit::record(transaction, token.call()).await?;
    Ok(())
}

pub(super) async fn by_hash(
    connection: &mut Connection,
    hash: &TokenHash,
) -> Result<Option<TokenRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT tenant, name, role, created_at, author, expires_at, revoked_at FROM tokens
         WHERE hash = $1",
    )
    .bind(hash.as_bytes())
    .fetch_optional(connection)
    .await
    .map_err(failed("reading a token"))?;
    row.map(record).transpose()
}

pub(super) async fn list(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    after: Option<&TokenId>,
    limit: u32,
) -> Result<Vec<TokenRecord>, StoreError> {
    let (after_tenant, after_name) = after.map_or(("", ""), key);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT tenant, name, role, created_at, author, expires_at, revoked_at FROM tokens
         WHERE (tenant, name) > ($1, $2) AND tenant = coalesce($3, tenant)
         ORDER BY tenant, name LIMIT $4",
    )
    .bind(after_tenant)
    .bind(after_name)
    .bind(tenant.map(TenantId::as_str))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(failed("listing tokens"))?;
    rows.into_iter().map(record).collect()
}

pub(super) async fn revoke(
    transaction: &mut Connection,
    revocation: Revocation,
) -> Result<Option<Revoked>, StoreError> {
    let (tenant, name) = key(&revocation.id);
    // Who comes second finds it revoked.
    let updated = sqlx::query(
        "UPDATE tokens SET revoked_at = $1 WHERE tenant = $2 AND name = $3 AND revoked_at IS NULL",
    )
    .bind(revocation.revoked_at.to_string())
    .bind(tenant)
    .bind(name)
    .execute(&mut *transaction)
    .await
    .map_err(failed("revoking a token"))?;
    let changed = updated.rows_affected() > 0;
    let Some(record) = find(&mut *transaction, &revocation.id).await? else {
        return Ok(None);
    };
    if changed {
        audit::record(transaction, revocation.call()).await?;
    }
    Ok(Some(Revoked { record, changed }))
}

pub(super) async fn find(
    connection: &mut Connection,
    id: &TokenId,
) -> Result<Option<TokenRecord>, StoreError> {
    let (tenant, name) = key(id);
    let row: Option<Row> = sqlx::query_as(
        "SELECT tenant, name, role, created_at, author, expires_at, revoked_at FROM tokens
         WHERE tenant = $1 AND name = $2",
    )
    .bind(tenant)
    .bind(name)
    .fetch_optional(connection)
    .await
    .map_err(failed("reading a token"))?;
    row.map(record).transpose()
}

fn key(id: &TokenId) -> (&str, &str) {
    let tenant = id.tenant.as_ref().map_or("", TenantId::as_str);
    (tenant, id.name.as_str())
}

fn record(row: Row) -> Result<TokenRecord, StoreError> {
    let (tenant, name, kind, created_at, author, expires_at, revoked_at) = row;
    let tenant = match tenant.is_empty() {
        true => None,
        false => Some(parsed("tenant", tenant)?),
    };
    let role = Role::of_kind(&kind, tenant);
    Ok(TokenRecord {
        name: parsed("token", name)?,
        role: role.ok_or(StoreError::Unreadable {
            what: "role",
            value: kind,
        })?,
        created_at: parsed("time", created_at)?,
        author,
        expires_at: expires_at.map(|end| parsed("time", end)).transpose()?,
        revoked_at: revoked_at.map(|end| parsed("time", end)).transpose()?,
    })
}
