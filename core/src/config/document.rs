//! A tenant's whole configuration: one document, applied and pushed as one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PluginsConfig, ProfileConfig, ServerConfig};
use crate::{ProfileName, ServerName, TenantId};

/// Everything that one tenant configures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// Whose it is; `default` when left out.
    #[serde(default)]
    pub tenant: TenantId,
    /// The tenant's plugins; what is left out is filled in when they are built.
    #[serde(default, skip_serializing_if = "PluginsConfig::is_empty")]
    pub plugins: PluginsConfig,
    /// The MCP servers that clients reach through the gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<ServerName, ServerConfig>,
    /// Named views of the servers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<ProfileName, ProfileConfig>,
}
