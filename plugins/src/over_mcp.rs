//! Plugins that are MCP servers: each trait as calls of the tools that the contract names.

mod adapter;
mod answer;
mod audit_sink;
mod auth_provider;
mod auth_proxy;
mod connection;
mod credential_storage;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod mcp_provisioner;
mod policy_evaluator;
mod server;
mod telemetry;

use async_trait::async_trait;
use gateway_core::config::{ServerSpec, Violation};
use gateway_core::{Deadline, TenantId};
use gateway_mcp::client::{ClientError, Peer};
use std::sync::Arc;

pub use adapter::{Adapter, required_tools};
pub(crate) use audit_sink::AuditSinkServer;
pub(crate) use auth_provider::AuthProviderServer;
pub(crate) use auth_proxy::AuthProxyServer;
pub(crate) use credential_storage::CredentialStorageServer;
pub use health::PluginCondition;
pub(crate) use health::{Conditions, Health};
pub(crate) use mcp_provisioner::McpProvisionerServer;
pub(crate) use policy_evaluator::PolicyEvaluatorServer;
pub(crate) use server::PluginServer;
pub(crate) use telemetry::TelemetryServer;

/// The way to one plugin's server: an address with its secrets, or a command.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens a new conversation, whose era is found out. Dropped halfway, nothing stays open.
    ///
    /// # Errors
    /// The server cannot be reached, or is no MCP server.
    async fn dial(&self, deadline: Deadline) -> Result<Peer, ClientError>;
}

/// Finds the way to the servers of plugins, within what the process permits.
pub trait PluginServers: Send + Sync {
    /// The way to the server of the plugin whose field of the configuration is `path`. Touches no
    /// network and starts nothing.
    ///
    /// # Errors
    /// What is not permitted, or cannot be: the fields are below `path`.
    fn find(
        &self,
        tenant: &TenantId,
        path: &str,
        spec: &ServerSpec,
    ) -> Result<Arc<dyn Dial>, Vec<Violation>>;
}

/// Finds none.
impl PluginServers for () {
    fn find(
        &self,
        _: &TenantId,
        path: &str,
        _: &ServerSpec,
    ) -> Result<Arc<dyn Dial>, Vec<Violation>> {
        let reason = "no server can be reached from here";
        Err(vec![Violation::new(path, reason)])
    }
}
