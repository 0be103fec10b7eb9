//! Small implementations that do what their trait demands, so that every case of a suite runs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_core::config::ServerSpec;
use gateway_core::plugin::{
    Action, AuthProvider, AuthProxy, Authentication, CredentialStorage, Decision, Injection,
    McpProvisioner, PolicyEvaluator, ProvisionedServer, ProxyRequest,
};
use gateway_core::{
    CallContext, Credential, CredentialEntry, CredentialKey, ErrorKind, ExposeSecret, PluginError,
    Principal, SecretString, ServerName, TenantId, UserId,
};
use tokio::sync::Mutex;

/// Knows the keys `key-of-ada` and `key-of-bob`.
pub(super) struct KeysOfUsers;

#[async_trait]
impl AuthProvider for KeysOfUsers {
    async fn validate_credential(
        &self,
        _: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        Ok(match credential.value.expose_secret() {
            "key-of-ada" => Authentication::Accepted(Principal::named("ada".parse().unwrap())),
            "key-of-bob" => Authentication::Accepted(Principal::named("bob".parse().unwrap())),
            _ => Authentication::Rejected {
                reason: "no such key".into(),
            },
        })
    }
}

/// Denies what is called `write`.
pub(super) struct NoWrites;

#[async_trait]
impl PolicyEvaluator for NoWrites {
    async fn check_access(
        &self,
        _: &CallContext,
        _: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let denied = || Decision::Deny {
            reason: "nobody writes".into(),
        };
        let decide = |action: &Action<'_>| match action.name {
            "write" => denied(),
            _ => Decision::Allow,
        };
        Ok(actions.iter().map(decide).collect())
    }
}

/// Keeps credentials in memory.
#[derive(Default)]
pub(super) struct Kept(Mutex<BTreeMap<(TenantId, CredentialKey), SecretString>>);

impl Kept {
    pub(super) async fn is_empty(&self) -> bool {
        self.0.lock().await.is_empty()
    }
}

#[async_trait]
impl CredentialStorage for Kept {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        self.0
            .lock()
            .await
            .insert((context.tenant.clone(), key.clone()), value);
        Ok(())
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        Ok(self
            .0
            .lock()
            .await
            .get(&(context.tenant.clone(), key.clone()))
            .cloned())
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        self.0
            .lock()
            .await
            .remove(&(context.tenant.clone(), key.clone()));
        Ok(())
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        let kept = self.0.lock().await;
        let own = kept
            .keys()
            .filter(|(tenant, key)| *tenant == context.tenant && key.user_id == *user);
        let entries = own.map(|(_, key)| CredentialEntry {
            server: key.server.clone(),
            credential_type: key.credential_type.clone(),
            created_at: None,
            expires_at: None,
        });
        Ok(entries.collect())
    }
}

/// Gives every user but `mallory` a bearer token.
pub(super) struct BearerOf;

#[async_trait]
impl AuthProxy for BearerOf {
    async fn inject_credentials(
        &self,
        _: &CallContext,
        request: ProxyRequest<'_>,
    ) -> Result<Injection, PluginError> {
        if request.user_id.as_str() == "mallory" {
            return Err(PluginError::new(ErrorKind::NotFound, "no credential"));
        }
        let value = SecretString::from(format!("Bearer of {}", request.user_id));
        Ok(Injection {
            headers: vec![("Authorization".into(), value)],
            body: Some(request.body.to_owned()),
        })
    }
}

/// Pretends to start commands.
#[derive(Default)]
pub(super) struct Started(Mutex<BTreeMap<String, (TenantId, ProvisionedServer)>>);

impl Started {
    pub(super) async fn is_empty(&self) -> bool {
        self.0.lock().await.is_empty()
    }
}

#[async_trait]
impl McpProvisioner for Started {
    async fn provision(
        &self,
        context: &CallContext,
        name: &ServerName,
        server: &ServerSpec,
        user: &UserId,
    ) -> Result<ProvisionedServer, PluginError> {
        if !matches!(server, ServerSpec::Command { .. }) {
            return Err(PluginError::new(ErrorKind::Unsupported, "commands only"));
        }
        let id = format!("{}/{user}/{name}", context.tenant);
        let started = ProvisionedServer {
            id: id.clone(),
            name: name.clone(),
            endpoint: format!("stdio:{name}"),
            status: "running".into(),
            user_id: user.clone(),
        };
        self.0
            .lock()
            .await
            .insert(id, (context.tenant.clone(), started.clone()));
        Ok(started)
    }

    async fn deprovision(&self, context: &CallContext, id: &str) -> Result<(), PluginError> {
        let mut started = self.0.lock().await;
        if started
            .get(id)
            .is_some_and(|(tenant, _)| *tenant == context.tenant)
        {
            started.remove(id);
        }
        Ok(())
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<ProvisionedServer>, PluginError> {
        let started = self.0.lock().await;
        let own = started
            .values()
            .filter(|(tenant, server)| *tenant == context.tenant && server.user_id == *user);
        Ok(own.map(|(_, server)| server.clone()).collect())
    }
}
