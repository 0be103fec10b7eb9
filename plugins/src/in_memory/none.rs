//! `none`: stands where a tenant has no credential storage, proxy or provisioner. It answers that
//! there is nothing, and refuses what would need something.

use async_trait::async_trait;
use gateway_core::config::ServerSpec;
use gateway_core::plugin::{
    AuthProxy, CredentialStorage, Injection, McpProvisioner, ProvisionedServer, ProxyRequest,
};
use gateway_core::{
    CallContext, CredentialEntry, CredentialKey, ErrorKind, PluginError, SecretString, ServerName,
    UserId,
};

/// Has nothing and does nothing.
#[derive(Debug)]
pub(crate) struct NotConfigured;

impl NotConfigured {
    pub(crate) const NAME: &'static str = "none";
}

#[async_trait]
impl CredentialStorage for NotConfigured {
    async fn store(
        &self,
        _context: &CallContext,
        key: &CredentialKey,
        _value: SecretString,
    ) -> Result<(), PluginError> {
        let message = format!(
            "the credential for server `{}` cannot be stored: the tenant has no \
             `credential_storage`; configure one under `plugins`",
            key.server
        );
        Err(PluginError::new(ErrorKind::Unsupported, message))
    }

    async fn retrieve(
        &self,
        _context: &CallContext,
        _key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        Ok(None)
    }

    async fn delete(
        &self,
        _context: &CallContext,
        _key: &CredentialKey,
    ) -> Result<(), PluginError> {
        Ok(())
    }

    async fn list(
        &self,
        _context: &CallContext,
        _user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl AuthProxy for NotConfigured {
    async fn inject_credentials(
        &self,
        _context: &CallContext,
        request: ProxyRequest<'_>,
    ) -> Result<Injection, PluginError> {
        let message = format!(
            "there is no credential for server `{}`: the tenant has no `auth_proxy`; configure \
             one under `plugins`",
            request.server
        );
        Err(PluginError::new(ErrorKind::NotFound, message))
    }
}

#[async_trait]
impl McpProvisioner for NotConfigured {
    async fn provision(
        &self,
        _context: &CallContext,
        name: &ServerName,
        _server: &ServerSpec,
        _user: &UserId,
    ) -> Result<ProvisionedServer, PluginError> {
        let message = format!(
            "server `{name}` cannot be provisioned: the tenant has no `mcp_provisioner`; \
             configure one under `plugins`"
        );
        Err(PluginError::new(ErrorKind::Unsupported, message))
    }

    async fn deprovision(&self, _context: &CallContext, _id: &str) -> Result<(), PluginError> {
        Ok(())
    }

    async fn list(
        &self,
        _context: &CallContext,
        _user: &UserId,
    ) -> Result<Vec<ProvisionedServer>, PluginError> {
        Ok(Vec::new())
    }
}
