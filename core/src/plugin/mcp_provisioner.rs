//! Provisioning: starting and stopping MCP servers on demand.

use async_trait::async_trait;

use crate::config::ServerSpec;
use crate::{CallContext, PluginError, ServerName, UserId};

/// A server that a provisioner runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionedServer {
    /// The provisioner's own name for it, for `deprovision`.
    pub id: String,
    /// The configured server that it is an instance of.
    pub name: ServerName,
    /// Where it answers.
    pub endpoint: String,
    /// `starting`, `running`, `stopping` or `failed`.
    pub status: String,
    /// Whom it belongs to.
    pub user_id: UserId,
}

/// Starts and stops servers. MCP tools: `provision`, `deprovision`, `list`.
#[async_trait]
pub trait McpProvisioner: Send + Sync {
    /// Starts an instance of a server for a user, or returns the one that runs already: repeating
    /// a call never makes a second instance. Dropped halfway, an instance may exist; `list` shows it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the implementation cannot
    /// run this kind of server at all.
    async fn provision(
        &self,
        context: &CallContext,
        name: &ServerName,
        server: &ServerSpec,
        user: &UserId,
    ) -> Result<ProvisionedServer, PluginError>;

    /// Stops an instance and removes what it left. An unknown id succeeds, so it may be repeated.
    ///
    /// # Errors
    /// An error means that the instance may still be there.
    async fn deprovision(&self, context: &CallContext, id: &str) -> Result<(), PluginError>;

    /// The tenant's instances of a user, ordered by name.
    ///
    /// # Errors
    /// An error means that the list is unknown, not that it is empty.
    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<ProvisionedServer>, PluginError>;
}
