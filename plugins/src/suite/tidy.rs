//! Removes what a suite has made and not removed, because a case failed before it could.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::config::ServerSpec;
use gateway_core::plugin::{CredentialStorage, McpProvisioner, ProvisionedServer};
use gateway_core::{
    CallContext, CredentialEntry, CredentialKey, PluginError, SecretString, ServerName, TenantId,
    UserId,
};
use tokio::sync::Mutex;

use super::probe::context_of;

/// A storage that remembers what may be in it.
pub(super) struct TidyStorage {
    storage: Arc<dyn CredentialStorage>,
    stored: Mutex<BTreeSet<(TenantId, CredentialKey)>>,
}

impl TidyStorage {
    pub(super) fn new(storage: Arc<dyn CredentialStorage>) -> Self {
        Self {
            storage,
            stored: Mutex::default(),
        }
    }

    /// Deletes it, as far as the storage lets it be deleted; the first refusal ends that.
    pub(super) async fn clean(&self) {
        for (tenant, key) in std::mem::take(&mut *self.stored.lock().await) {
            let deleted = self.storage.delete(&context_of(&tenant), &key).await;
            if deleted.is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl CredentialStorage for TidyStorage {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        let entry = (context.tenant.clone(), key.clone());
        self.stored.lock().await.insert(entry);
        self.storage.store(context, key, value).await
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        self.storage.retrieve(context, key).await
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        self.storage.delete(context, key).await?;
        let entry = (context.tenant.clone(), key.clone());
        self.stored.lock().await.remove(&entry);
        Ok(())
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        self.storage.list(context, user).await
    }
}

/// A provisioner that remembers for whom it may run something.
pub(super) struct TidyProvisioner {
    provisioner: Arc<dyn McpProvisioner>,
    users: Mutex<BTreeSet<(TenantId, UserId)>>,
}

impl TidyProvisioner {
    pub(super) fn new(provisioner: Arc<dyn McpProvisioner>) -> Self {
        Self {
            provisioner,
            users: Mutex::default(),
        }
    }

    /// Stops it, as far as the provisioner lists it; the first refusal ends that.
    pub(super) async fn clean(&self) {
        for (tenant, user) in std::mem::take(&mut *self.users.lock().await) {
            let context = context_of(&tenant);
            let Ok(listed) = self.provisioner.list(&context, &user).await else {
                return;
            };
            for server in listed {
                let stopped = self.provisioner.deprovision(&context, &server.id).await;
                if stopped.is_err() {
                    return;
                }
            }
        }
    }
}

#[async_trait]
impl McpProvisioner for TidyProvisioner {
    async fn provision(
        &self,
        context: &CallContext,
        name: &ServerName,
        server: &ServerSpec,
        user: &UserId,
    ) -> Result<ProvisionedServer, PluginError> {
        let entry = (context.tenant.clone(), user.clone());
        self.users.lock().await.insert(entry);
        self.provisioner
            .provision(context, name, server, user)
            .await
    }

    async fn deprovision(&self, context: &CallContext, id: &str) -> Result<(), PluginError> {
        self.provisioner.deprovision(context, id).await
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<ProvisionedServer>, PluginError> {
        self.provisioner.list(context, user).await
    }
}
