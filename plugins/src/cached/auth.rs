//! An authentication plugin whose answers are remembered.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt as _, TryFutureExt as _};
use gateway_core::config::CacheConfig;
use gateway_core::plugin::{AuthProvider, Authentication};
use gateway_core::{CallContext, Credential, ErrorKind, ExposeSecret, PluginError, TenantId};
use jiff::Timestamp;

use super::memory::Answers;

/// Asks a provider, and remembers whose a credential is until the credential's end at the latest.
pub(crate) struct CachedAuth {
    provider: Arc<dyn AuthProvider>,
    answers: Answers<Authentication>,
}

impl CachedAuth {
    /// A provider with a cache, or as it is when there is no randomness to key one with.
    pub(crate) fn around(
        provider: Arc<dyn AuthProvider>,
        tenant: &TenantId,
        config: &CacheConfig,
    ) -> Arc<dyn AuthProvider> {
        match Answers::new(tenant, "auth_provider", config) {
            Some(answers) => Arc::new(Self { provider, answers }),
            None => provider,
        }
    }
}

fn is_current(answer: &Authentication) -> bool {
    match answer {
        Authentication::Accepted(principal) => principal
            .expires_at
            .is_none_or(|end| end > Timestamp::now()),
        Authentication::Rejected { .. } => true,
    }
}

#[async_trait]
impl AuthProvider for CachedAuth {
    async fn validate_credential(
        &self,
        context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        let parts = [
            credential.credential_type.as_str(),
            credential.value.expose_secret(),
        ];
        let key = self.answers.key(parts);
        if let Some(answer) = self.answers.find(&key) {
            if is_current(&answer) {
                return Ok(answer);
            }
            self.answers.forget(&key);
        }
        let ask = || {
            let asking = self.provider.validate_credential(context, credential);
            asking.map_ok(|answer| vec![answer]).boxed()
        };
        let asked = self.answers.ask(context, key, ask).await?;
        let Some(answer) = asked.first() else {
            return Err(PluginError::new(
                ErrorKind::Internal,
                "authentication gave no answer",
            ));
        };
        let is_accepted = matches!(answer, Authentication::Accepted(_));
        self.answers.keep(key, answer.clone(), is_accepted);
        self.answers.answered(&key).await;
        Ok(answer.clone())
    }
}
