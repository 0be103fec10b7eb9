//! A tenant's whole configuration and its profiles.

use std::collections::BTreeMap;

use gateway_core::TenantId;
use gateway_core::config::{ProfileConfig, TenantConfig, ToolFilter};

use super::InvalidField;
use super::values::parsed;
use crate::config::v1 as pb;

impl From<&TenantConfig> for pb::TenantConfig {
    fn from(config: &TenantConfig) -> Self {
        let TenantConfig {
            tenant,
            plugins,
            servers,
            profiles,
        } = config;
        Self {
            tenant: tenant.to_string(),
            plugins: Some(plugins.into()).filter(|_| !plugins.is_empty()),
            servers: servers
                .iter()
                .map(|(name, server)| (name.to_string(), server.into()))
                .collect(),
            profiles: profiles
                .iter()
                .map(|(name, profile)| (name.to_string(), profile.into()))
                .collect(),
        }
    }
}

impl TryFrom<pb::TenantConfig> for TenantConfig {
    type Error = InvalidField;

    fn try_from(message: pb::TenantConfig) -> Result<Self, InvalidField> {
        let pb::TenantConfig {
            tenant,
            plugins,
            servers,
            profiles,
        } = message;
        let tenant = if tenant.is_empty() {
            TenantId::default_tenant()
        } else {
            parsed(tenant, "tenant")?
        };
        let plugins = plugins.unwrap_or_default().try_into();
        Ok(Self {
            tenant,
            plugins: plugins.map_err(|error: InvalidField| error.within("plugins"))?,
            servers: named(servers, "servers")?,
            profiles: named(profiles, "profiles")?,
        })
    }
}

/// Converts a map from names to messages.
fn named<N, M, T>(messages: BTreeMap<String, M>, path: &str) -> Result<BTreeMap<N, T>, InvalidField>
where
    N: TryFrom<String, Error: std::fmt::Display> + Ord,
    T: TryFrom<M, Error = InvalidField>,
{
    let mut entries = BTreeMap::new();
    for (name, message) in messages {
        let path = format!("{path}.{name}");
        let value = T::try_from(message).map_err(|error| error.within(&path))?;
        entries.insert(parsed(name, &path)?, value);
    }
    Ok(entries)
}

impl From<&ProfileConfig> for pb::ProfileConfig {
    fn from(profile: &ProfileConfig) -> Self {
        let ProfileConfig { servers, tools } = profile;
        let ToolFilter {
            allow,
            deny,
            rename,
        } = tools.clone();
        let filter = pb::ToolFilter {
            allow,
            deny,
            rename,
        };
        Self {
            servers: servers.iter().map(ToString::to_string).collect(),
            tools: Some(filter).filter(|_| !tools.is_empty()),
        }
    }
}

impl TryFrom<pb::ProfileConfig> for ProfileConfig {
    type Error = InvalidField;

    fn try_from(message: pb::ProfileConfig) -> Result<Self, InvalidField> {
        let mut servers = Vec::with_capacity(message.servers.len());
        for (index, name) in message.servers.into_iter().enumerate() {
            servers.push(parsed(name, &format!("servers[{index}]"))?);
        }
        let pb::ToolFilter {
            allow,
            deny,
            rename,
        } = message.tools.unwrap_or_default();
        let tools = ToolFilter {
            allow,
            deny,
            rename,
        };
        Ok(Self { servers, tools })
    }
}
