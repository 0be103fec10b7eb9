//! One plugin made of an MCP server, whichever kind it is of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::TenantId;
use gateway_core::plugin::{
    AuditSink, AuthProvider, AuthProxy, CredentialStorage, McpProvisioner, PluginKind,
    PolicyEvaluator, Telemetry,
};

use super::{
    AuditSinkServer, AuthProviderServer, AuthProxyServer, CredentialStorageServer, Dial, Health,
    McpProvisionerServer, PluginServer, PolicyEvaluatorServer, TelemetryServer,
};

/// A plugin over MCP, as the trait that it implements. Nothing is cached.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is the trait that it is named after")]
pub enum Adapter {
    AuthProvider(Arc<dyn AuthProvider>),
    CredentialStorage(Arc<dyn CredentialStorage>),
    AuthProxy(Arc<dyn AuthProxy>),
    AuditSink(Arc<dyn AuditSink>),
    PolicyEvaluator(Arc<dyn PolicyEvaluator>),
    McpProvisioner(Arc<dyn McpProvisioner>),
    Telemetry(Arc<dyn Telemetry>),
}

impl Adapter {
    /// Of the server that is reached this way; connects once somebody calls. `timeout` is what one
    /// call may take.
    pub fn of(kind: PluginKind, dial: Arc<dyn Dial>, timeout: Duration) -> Self {
        let health = Arc::new(Health::never_left_alone(kind.as_str()));
        let required = required_tools(kind);
        let server =
            PluginServer::new(dial, kind.as_str(), required, Some(timeout), health).checked();
        match kind {
            PluginKind::AuthProvider => {
                Self::AuthProvider(Arc::new(AuthProviderServer::new(server)))
            }
            PluginKind::CredentialStorage => {
                Self::CredentialStorage(Arc::new(CredentialStorageServer::new(server)))
            }
            PluginKind::AuthProxy => Self::AuthProxy(Arc::new(AuthProxyServer::new(server))),
            PluginKind::AuditSink => Self::AuditSink(Arc::new(AuditSinkServer::new(server))),
            PluginKind::PolicyEvaluator => {
                Self::PolicyEvaluator(Arc::new(PolicyEvaluatorServer::new(server)))
            }
            PluginKind::McpProvisioner => {
                Self::McpProvisioner(Arc::new(McpProvisionerServer::new(server)))
            }
            PluginKind::Telemetry => {
                Self::Telemetry(Arc::new(TelemetryServer::new(server, TenantId::default())))
            }
        }
    }
}

/// The tools that a plugin of a kind cannot do without.
pub fn required_tools(kind: PluginKind) -> &'static [&'static str] {
    match kind {
        PluginKind::AuthProvider => AuthProviderServer::REQUIRED,
        PluginKind::CredentialStorage => CredentialStorageServer::REQUIRED,
        PluginKind::AuthProxy => AuthProxyServer::REQUIRED,
        PluginKind::AuditSink => AuditSinkServer::REQUIRED,
        PluginKind::PolicyEvaluator => PolicyEvaluatorServer::REQUIRED,
        PluginKind::McpProvisioner => McpProvisionerServer::REQUIRED,
        PluginKind::Telemetry => TelemetryServer::REQUIRED,
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").finish_non_exhaustive()
    }
}
