//! Credential storage: secrets for use towards servers, per tenant and user.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{CallContext, CredentialEntry, CredentialKey, PluginError, UserId};

/// Keeps credentials. MCP tools: `store_credential`, `retrieve_credential`, `delete_credential`,
/// `list_credentials`.
///
/// Every method works within the tenant of its call context; the same key in another tenant is
/// another credential.
#[async_trait]
pub trait CredentialStorage: Send + Sync {
    /// Stores a value, replacing an earlier one of the same key. When it returns, a later
    /// `retrieve` on any replica sees the new value. Dropped halfway, either the old or the new
    /// value is stored, never a mixture. May be repeated.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where nothing can be stored;
    /// any other kind where it is unknown whether the value was stored.
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError>;

    /// The stored value; `None` when there is none, which is not an error.
    ///
    /// # Errors
    /// An error means that it is unknown whether there is one: nothing may be sent without it.
    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError>;

    /// Removes a value. Removing what is not there succeeds, so it may be repeated.
    ///
    /// # Errors
    /// As for [`store`](Self::store).
    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError>;

    /// What is stored for a user, without the values, ordered by server and type.
    ///
    /// # Errors
    /// An error means that the list is unknown, not that it is empty.
    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError>;
}
