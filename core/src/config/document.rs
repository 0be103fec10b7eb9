//! A tenant's whole configuration: one document, applied and pushed as one.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

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
    #[serde(
        default,
        deserialize_with = "or_nothing",
        skip_serializing_if = "PluginsConfig::is_empty"
    )]
    pub plugins: PluginsConfig,
    /// The MCP servers that clients reach through the gateway.
    #[serde(
        default,
        deserialize_with = "or_nothing",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub servers: BTreeMap<ServerName, ServerConfig>,
    /// Named views of the servers.
    #[serde(
        default,
        deserialize_with = "or_nothing",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub profiles: BTreeMap<ProfileName, ProfileConfig>,
}

/// A part of which every entry is commented out has no value, and means an empty one.
fn or_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
