//! Implementations that are each wrong in one way that a suite must find.

use std::fs::{File, OpenOptions};
use std::future::pending;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use gateway_core::config::ServerSpec;
use gateway_core::plugin::{
    Action, Attributes, AuditEvent, AuditSink, AuthProvider, AuthProxy, Authentication,
    CredentialStorage, Decision, Injection, McpProvisioner, PolicyEvaluator, ProvisionedServer,
    ProxyRequest, Telemetry,
};
use gateway_core::{
    CallContext, Credential, CredentialEntry, CredentialKey, ErrorKind, ExposeSecret, PluginError,
    Principal, SecretString, ServerName, TenantId, UserId,
};
use tokio::sync::Mutex;

use super::working::{BearerOf, Kept, KeysOfUsers, NoWrites};

/// Repeats the credential in the reason of a rejection.
pub(super) struct Talkative;

#[async_trait]
impl AuthProvider for Talkative {
    async fn validate_credential(
        &self,
        context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        let answer = KeysOfUsers.validate_credential(context, credential).await?;
        Ok(match answer {
            Authentication::Rejected { .. } => Authentication::Rejected {
                reason: format!("no such key: {}", credential.value.expose_secret()),
            },
            accepted => accepted,
        })
    }
}

/// Never answers when the deadline has passed.
pub(super) struct HangsWhenLate;

#[async_trait]
impl AuthProvider for HangsWhenLate {
    async fn validate_credential(
        &self,
        context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        if context.deadline.has_passed() {
            pending::<()>().await;
        }
        KeysOfUsers.validate_credential(context, credential).await
    }
}

/// Answers only for what it allows.
pub(super) struct AllowedOnly;

#[async_trait]
impl PolicyEvaluator for AllowedOnly {
    async fn check_access(
        &self,
        context: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let mut decisions = NoWrites.check_access(context, principal, actions).await?;
        decisions.retain(Decision::is_allowed);
        Ok(decisions)
    }
}

/// Writes texts into its lines as they come.
pub(super) struct RawText(Mutex<File>);

impl RawText {
    pub(super) fn new(path: &Path) -> Self {
        Self(Mutex::new(
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap(),
        ))
    }
}

#[async_trait]
impl AuditSink for RawText {
    async fn log_event(&self, _: &CallContext, event: &AuditEvent) -> Result<(), PluginError> {
        let line = serde_json::to_string(event).unwrap().replace("\\n", "\n");
        writeln!(self.0.lock().await, "{line}").unwrap();
        Ok(())
    }
}

/// Keeps all tenants' credentials as one's.
#[derive(Default)]
pub(super) struct OneTenant(pub(super) Kept);

fn one(context: &CallContext) -> CallContext {
    CallContext {
        tenant: TenantId::default(),
        ..context.clone()
    }
}

#[async_trait]
impl CredentialStorage for OneTenant {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        self.0.store(&one(context), key, value).await
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        self.0.retrieve(&one(context), key).await
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        self.0.delete(&one(context), key).await
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        self.0.list(&one(context), user).await
    }
}

/// Sets `Host`, changes the message, and denies where there is nothing.
pub(super) struct Overstepping;

#[async_trait]
impl AuthProxy for Overstepping {
    async fn inject_credentials(
        &self,
        context: &CallContext,
        request: ProxyRequest<'_>,
    ) -> Result<Injection, PluginError> {
        let mut injection = BearerOf
            .inject_credentials(context, request)
            .await
            .map_err(|error| {
                PluginError::with_cause(ErrorKind::PermissionDenied, "not allowed", error)
            })?;
        injection
            .headers
            .push(("Host".into(), SecretString::from("elsewhere.example")));
        injection.body = Some(request.body.replace("ping", "tools/call"));
        Ok(injection)
    }
}

/// Starts another instance at every call, and stops none.
#[derive(Default)]
pub(super) struct StartsAgain {
    started: AtomicU64,
}

#[async_trait]
impl McpProvisioner for StartsAgain {
    async fn provision(
        &self,
        _: &CallContext,
        name: &ServerName,
        _: &ServerSpec,
        user: &UserId,
    ) -> Result<ProvisionedServer, PluginError> {
        Ok(ProvisionedServer {
            id: self.started.fetch_add(1, Ordering::Relaxed).to_string(),
            name: name.clone(),
            endpoint: format!("stdio:{name}"),
            status: "running".into(),
            user_id: user.clone(),
        })
    }

    async fn deprovision(&self, _: &CallContext, _: &str) -> Result<(), PluginError> {
        Ok(())
    }

    async fn list(
        &self,
        _: &CallContext,
        _: &UserId,
    ) -> Result<Vec<ProvisionedServer>, PluginError> {
        Ok(Vec::new())
    }
}

/// Panics at a value that is no finite number.
pub(super) struct Finite;

#[async_trait]
impl Telemetry for Finite {
    fn record_counter(&self, _: &'static str, _: u64, _: &Attributes<'_>) {}

    fn record_histogram(&self, _: &'static str, value: f64, _: &Attributes<'_>) {
        assert!(value.is_finite(), "not a finite number");
    }

    fn record_gauge(&self, _: &'static str, _: i64, _: &Attributes<'_>) {}

    async fn close(&self) {}
}
