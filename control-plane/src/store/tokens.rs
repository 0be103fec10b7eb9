//! The tokens that a store keeps beside the configuration: by name, role and hash.

use std::fmt;

use async_trait::async_trait;
use gateway_core::{TenantId, TokenName};
use jiff::Timestamp;

use super::{CallRecord, StoreError};
use crate::token::{Role, TokenHash, TokenId};

/// A store of tokens. Each change is one transaction, the row of the audit trail included. Names are
/// in the order of their bytes, and those without a tenant come first.
#[async_trait]
pub(crate) trait TokenStore: fmt::Debug + Send + Sync {
    /// Keeps a token whose name nobody had before.
    async fn create_token(&self, token: NewToken) -> Result<(), CreateTokenError>;

    /// The token of this name, whatever has become of it.
    async fn token(&self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError>;

    /// The token of this secret, whatever has become of it.
    async fn token_by_hash(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError>;

    /// Tokens in the order of their names: at the most `limit`, those behind `after` if given, and of
    /// one tenant only if that is given.
    async fn tokens(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, StoreError>;

    /// Ends a token. One that was ended before stays as it is, and nothing is recorded. `None`: there
    /// is none of this name.
    async fn revoke_token(&self, revocation: Revocation) -> Result<Option<Revoked>, StoreError>;
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub(crate) struct NewToken {
    pub(crate) name: TokenName,
    pub(crate) role: Role,
    pub(crate) hash: TokenHash,
    pub(crate) created_at: Timestamp,
    pub(crate) author: String,
    pub(crate) reason: String,
    /// `None`: it does not end by itself.
    pub(crate) expires_at: Option<Timestamp>,
}

/// A token to be ended.
#[derive(Debug, Clone)]
pub(crate) struct Revocation {
    pub(crate) id: TokenId,
    pub(crate) revoked_at: Timestamp,
    pub(crate) author: String,
    pub(crate) reason: String,
}

/// A token that has been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) record: TokenRecord,
    /// Whether it was by this revocation.
    pub(crate) changed: bool,
}

/// A token that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRecord {
    pub(crate) name: TokenName,
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
    pub(crate) author: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A token was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateTokenError {
    /// There is one of this name, or there was.
    #[error("the name was given before")]
    Exists,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TokenRecord {
    pub(crate) fn id(&self) -> TokenId {
        TokenId {
            tenant: self.role.tenant().cloned(),
            name: self.name.clone(),
        }
    }
}

impl NewToken {
    pub(crate) fn id(&self) -> TokenId {
        TokenId {
            tenant: self.role.tenant().cloned(),
            name: self.name.clone(),
        }
    }

    /// What the audit trail says of it.
    pub(crate) fn call(&self) -> CallRecord {
        let mut summary = format!("made a token of role {}", self.role);
        if let Some(end) = self.expires_at {
            summary.push_str(&format!(" until {end}"));
        }
        CallRecord {
            created_at: self.created_at,
            author: self.author.clone(),
            action: "CreateToken".to_owned(),
            target: self.id().resource_name(),
            reason: self.reason.clone(),
            outcome: "Ok".to_owned(),
            summary,
        }
    }
}

impl Revocation {
    /// What the audit trail says of it.
    pub(crate) fn call(&self) -> CallRecord {
        CallRecord {
            created_at: self.revoked_at,
            author: self.author.clone(),
            action: "RevokeToken".to_owned(),
            target: self.id.resource_name(),
            reason: self.reason.clone(),
            outcome: "Ok".to_owned(),
            summary: "revoked the token".to_owned(),
        }
    }
}
