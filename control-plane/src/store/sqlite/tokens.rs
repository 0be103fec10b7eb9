//! The tokens in the SQLite file.

use async_trait::async_trait;
use gateway_core::TenantId;
use sqlx::sqlite::SqliteConnection;

use super::{SqliteStore, audit, failed, parsed};
use crate::store::{
    CreateTokenError, NewToken, Revocation, Revoked, StoreError, TokenRecord, TokenStore,
};
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

#[async_trait]
impl TokenStore for SqliteStore {
    async fn create_token(&self, token: NewToken) -> Result<(), CreateTokenError> {
        let doing = "keeping a token";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        if find(&mut transaction, &token.id()).await?.is_some() {
            return Err(CreateTokenError::Exists);
        }
        sqlx::query(
            "INSERT INTO tokens (tenant, name, role, hash, created_at, author, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(token.role.tenant().map_or("", TenantId::as_str))
        .bind(token.name.as_str())
        .bind(token.role.kind())
        .bind(token.hash.as_bytes())
        .bind(token.created_at.to_string())
        .bind(&token.author)
        .bind(token.expires_at.map(|end| end.to_string()))
        .execute(&mut *transaction)
        .await
        .map_err(failed(doing))?;
        audit::record(&mut transaction, token.call()).await?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(())
    }

    async fn token(&self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("connecting"))?;
        find(&mut connection, id).await
    }

    async fn token_by_hash(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT tenant, name, role, created_at, author, expires_at, revoked_at FROM tokens
             WHERE hash = ?",
        )
        .bind(hash.as_bytes())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("reading a token"))?;
        row.map(record).transpose()
    }

    async fn tokens(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let (after_tenant, after_name) = after.map_or(("", ""), key);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT tenant, name, role, created_at, author, expires_at, revoked_at FROM tokens
             WHERE (tenant, name) > (?, ?) AND tenant = coalesce(?, tenant)
             ORDER BY tenant, name LIMIT ?",
        )
        .bind(after_tenant)
        .bind(after_name)
        .bind(tenant.map(TenantId::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("listing tokens"))?;
        rows.into_iter().map(record).collect()
    }

    async fn revoke_token(&self, revocation: Revocation) -> Result<Option<Revoked>, StoreError> {
        let doing = "revoking a token";
        let begin = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begin.map_err(failed(doing))?;
        let Some(mut record) = find(&mut transaction, &revocation.id).await? else {
            return Ok(None);
        };
        if record.revoked_at.is_some() {
            return Ok(Some(Revoked {
                record,
                changed: false,
            }));
        }
        let (tenant, name) = key(&revocation.id);
        sqlx::query("UPDATE tokens SET revoked_at = ? WHERE tenant = ? AND name = ?")
            .bind(revocation.revoked_at.to_string())
            .bind(tenant)
            .bind(name)
            .execute(&mut *transaction)
            .await
            .map_err(failed(doing))?;
        audit::record(&mut transaction, revocation.call()).await?;
        transaction.commit().await.map_err(failed(doing))?;
        record.revoked_at = Some(revocation.revoked_at);
        Ok(Some(Revoked {
            record,
            changed: true,
        }))
    }
}

async fn find(
    connection: &mut SqliteConnection,
    id: &TokenId,
) -> Result<Option<TokenRecord>, StoreError> {
    let (tenant, name) = key(id);
    let row: Option<Row> = sqlx::query_as(
        "SELECT tenant, name, role, created_at, author, expires_at, revoked_at FROM tokens
         WHERE tenant = ? AND name = ?",
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
