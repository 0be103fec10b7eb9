//! The plugin contract: seven traits, each of which can be implemented in memory or by an MCP
//! server. What an implementation may rely on and what it must not do is said at each method.

mod audit_sink;
mod auth_provider;
mod auth_proxy;
mod credential_storage;
mod mcp_provisioner;
mod policy_evaluator;
mod telemetry;

use std::fmt;
use std::sync::Arc;

pub use audit_sink::{AuditEvent, AuditOutcome, AuditSink, Reservation};
pub use auth_provider::{AuthProvider, Authentication};
pub use auth_proxy::{AuthProxy, Injection, ProxyRequest};
pub use credential_storage::CredentialStorage;
pub use mcp_provisioner::{McpProvisioner, ProvisionedServer};
pub use policy_evaluator::{Action, Decision, ItemKind, PolicyEvaluator};
pub use telemetry::{Attributes, Telemetry};

/// The seven roles that a plugin can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKind {
    /// Says who a caller is.
    AuthProvider,
    /// Keeps credentials for use towards servers.
    CredentialStorage,
    /// Puts a credential into an outgoing request.
    AuthProxy,
    /// Records what happened.
    AuditSink,
    /// Says what a caller may do.
    PolicyEvaluator,
    /// Starts and stops servers.
    McpProvisioner,
    /// Takes measurements.
    Telemetry,
}

impl PluginKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::AuthProvider,
        Self::CredentialStorage,
        Self::AuthProxy,
        Self::AuditSink,
        Self::PolicyEvaluator,
        Self::McpProvisioner,
        Self::Telemetry,
    ];

    /// The kind as the configuration spells it, under `plugins:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthProvider => "auth_provider",
            Self::CredentialStorage => "credential_storage",
            Self::AuthProxy => "auth_proxy",
            Self::AuditSink => "audit_sink",
            Self::PolicyEvaluator => "policy_evaluator",
            Self::McpProvisioner => "mcp_provisioner",
            Self::Telemetry => "telemetry",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tenant's plugins, complete: what a tenant leaves out is filled in when they are built, so
/// that nobody has to ask whether one is there.
#[derive(Clone)]
pub struct Plugins {
    /// Says who a caller is.
    pub auth_provider: Arc<dyn AuthProvider>,
    /// Keeps credentials for use towards servers.
    pub credential_storage: Arc<dyn CredentialStorage>,
    /// Puts a credential into an outgoing request.
    pub auth_proxy: Arc<dyn AuthProxy>,
    /// Records what happened; several configured sinks are one here.
    pub audit_sink: Arc<dyn AuditSink>,
    /// Says what a caller may do; of several configured evaluators, all must allow.
    pub policy_evaluator: Arc<dyn PolicyEvaluator>,
    /// Starts and stops servers.
    pub mcp_provisioner: Arc<dyn McpProvisioner>,
    /// Takes measurements.
    pub telemetry: Arc<dyn Telemetry>,
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugins").finish_non_exhaustive()
    }
}
