//! Credential storage `memory`: for as long as the gateway runs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_core::plugin::CredentialStorage;
use gateway_core::{
    CallContext, CredentialEntry, CredentialKey, ErrorKind, PluginError, SecretString, TenantId,
    UserId,
};
use jiff::Timestamp;
use tokio::sync::RwLock;

const MAX_ENTRIES: usize = 10_000;

type Kept = BTreeMap<(TenantId, CredentialKey), (Timestamp, SecretString)>;

/// Keeps credentials in the process. They are gone when it ends, or when its configuration is
/// another.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    kept: RwLock<Kept>,
}

#[async_trait]
impl CredentialStorage for Memory {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        let place = (context.tenant.clone(), key.clone());
        let mut kept = self.kept.write().await;
        if kept.len() >= MAX_ENTRIES && !kept.contains_key(&place) {
            let message = "the credential storage is full";
            return Err(PluginError::new(ErrorKind::ResourceExhausted, message));
        }
        kept.insert(place, (Timestamp::now(), value));
        Ok(())
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        let kept = self.kept.read().await;
        let found = kept.get(&(context.tenant.clone(), key.clone()));
        Ok(found.map(|(_, value)| value.clone()))
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        let place = (context.tenant.clone(), key.clone());
        self.kept.write().await.remove(&place);
        Ok(())
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        let kept = self.kept.read().await;
        let own = kept
            .iter()
            .filter(|((tenant, key), _)| *tenant == context.tenant && key.user_id == *user);
        let entries = own.map(|((_, key), (created_at, _))| CredentialEntry {
            server: key.server.clone(),
            credential_type: key.credential_type.clone(),
            created_at: Some(*created_at),
            expires_at: None,
        });
        Ok(entries.collect())
    }
}
