//! Authentication: who a caller is.

use async_trait::async_trait;

use crate::{CallContext, Credential, PluginError, Principal};

/// What a provider says of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// The credential is good, and this is whose it is.
    Accepted(Principal),
    /// The credential is unknown, wrong, expired or missing. The reason goes to the audit log;
    /// the client learns only that it is not authenticated.
    Rejected {
        /// Why, without any part of the credential.
        reason: String,
    },
}

/// Says who a caller is. MCP tool: `validate_credential`.
#[async_trait]
pub trait AuthProvider: Send + Sync {
    /// Judges what the client presented; [`Credential::none`] when it presented nothing.
    ///
    /// Called once for each client request unless a cache answers. Has no side effect that a
    /// caller could see, so it may be repeated or dropped at any await.
    ///
    /// # Errors
    /// An error means that nothing is known about the credential (the provider cannot be reached,
    /// its answer cannot be read): the request is refused, and nothing is cached.
    async fn validate_credential(
        &self,
        context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError>;
}
