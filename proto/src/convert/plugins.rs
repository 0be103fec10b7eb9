//! The tenant's plugins.

use gateway_core::config::{
    AuditDurability, AuditOverflow, CacheConfig, PluginConfig, PluginsConfig, Provider,
};

use super::InvalidField;
use super::values::{from_duration, from_struct, known, required, to_duration, to_struct};
use crate::config::v1 as pb;

impl From<&PluginsConfig> for pb::PluginsConfig {
    fn from(plugins: &PluginsConfig) -> Self {
        let one = |plugin: &Option<PluginConfig>| plugin.as_ref().map(Into::into);
        let PluginsConfig {
            auth_provider,
            credential_storage,
            auth_proxy,
            audit_sink,
            policy_evaluator,
            mcp_provisioner,
            telemetry,
        } = plugins;
        Self {
            auth_provider: one(auth_provider),
            credential_storage: one(credential_storage),
            auth_proxy: one(auth_proxy),
            audit_sink: audit_sink.iter().map(Into::into).collect(),
            policy_evaluator: policy_evaluator.iter().map(Into::into).collect(),
            mcp_provisioner: one(mcp_provisioner),
            telemetry: one(telemetry),
        }
    }
}

impl TryFrom<pb::PluginsConfig> for PluginsConfig {
    type Error = InvalidField;

    fn try_from(message: pb::PluginsConfig) -> Result<Self, InvalidField> {
        Ok(Self {
            auth_provider: one(message.auth_provider, "auth_provider")?,
            credential_storage: one(message.credential_storage, "credential_storage")?,
            auth_proxy: one(message.auth_proxy, "auth_proxy")?,
            audit_sink: many(message.audit_sink, "audit_sink")?,
            policy_evaluator: many(message.policy_evaluator, "policy_evaluator")?,
            mcp_provisioner: one(message.mcp_provisioner, "mcp_provisioner")?,
            telemetry: one(message.telemetry, "telemetry")?,
        })
    }
}

fn one(
    message: Option<pb::PluginConfig>,
    path: &str,
) -> Result<Option<PluginConfig>, InvalidField> {
    let plugin = message.map(PluginConfig::try_from).transpose();
    plugin.map_err(|error| error.within(path))
}

fn many(messages: Vec<pb::PluginConfig>, path: &str) -> Result<Vec<PluginConfig>, InvalidField> {
    let mut plugins = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let plugin = PluginConfig::try_from(message);
        plugins.push(plugin.map_err(|error| error.within(&format!("{path}[{index}]")))?);
    }
    Ok(plugins)
}

impl From<&PluginConfig> for pb::PluginConfig {
    fn from(plugin: &PluginConfig) -> Self {
        let PluginConfig {
            name,
            provider,
            implementation,
            settings,
            server,
            timeout,
            cache,
            bearer_type,
            durability,
            on_overflow,
        } = plugin;
        let provider = match provider {
            Provider::InMemory => pb::Provider::InMemory,
            Provider::Mcp => pb::Provider::Mcp,
        };
        let durability = match durability {
            None => pb::AuditDurability::Unspecified,
            Some(AuditDurability::Process) => pb::AuditDurability::Process,
            Some(AuditDurability::Disk) => pb::AuditDurability::Disk,
            Some(AuditDurability::Sink) => pb::AuditDurability::Sink,
        };
        let on_overflow = match on_overflow {
            None => pb::AuditOverflow::Unspecified,
            Some(AuditOverflow::Refuse) => pb::AuditOverflow::Refuse,
            Some(AuditOverflow::Drop) => pb::AuditOverflow::Drop,
        };
        Self {
            name: name.clone(),
            provider: provider.into(),
            implementation: implementation.clone(),
            settings: to_struct(settings),
            server: server.as_ref().map(Into::into),
            timeout: timeout.map(to_duration),
            cache: cache.map(Into::into),
            bearer_type: bearer_type.clone(),
            durability: durability.into(),
            on_overflow: on_overflow.into(),
        }
    }
}

impl TryFrom<pb::PluginConfig> for PluginConfig {
    type Error = InvalidField;

    fn try_from(message: pb::PluginConfig) -> Result<Self, InvalidField> {
        let provider = match known(message.provider, "provider")? {
            pb::Provider::Unspecified => {
                return Err(InvalidField::new("provider", "is missing"));
            }
            pb::Provider::InMemory => Provider::InMemory,
            pb::Provider::Mcp => Provider::Mcp,
        };
        let durability = match known(message.durability, "durability")? {
            pb::AuditDurability::Unspecified => None,
            pb::AuditDurability::Process => Some(AuditDurability::Process),
            pb::AuditDurability::Disk => Some(AuditDurability::Disk),
            pb::AuditDurability::Sink => Some(AuditDurability::Sink),
        };
        let on_overflow = match known(message.on_overflow, "on_overflow")? {
            pb::AuditOverflow::Unspecified => None,
            pb::AuditOverflow::Refuse => Some(AuditOverflow::Refuse),
            pb::AuditOverflow::Drop => Some(AuditOverflow::Drop),
        };
        let settings = from_struct(message.settings).map_err(|error| error.within("settings"))?;
        let server = message.server.map(TryInto::try_into).transpose();
        let cache = message.cache.map(TryInto::try_into).transpose();
        Ok(Self {
            name: message.name,
            provider,
            implementation: message.implementation,
            settings,
            server: server.map_err(|error: InvalidField| error.within("server"))?,
            timeout: from_duration(message.timeout, "timeout")?,
            cache: cache.map_err(|error: InvalidField| error.within("cache"))?,
            bearer_type: message.bearer_type,
            durability,
            on_overflow,
        })
    }
}

impl From<CacheConfig> for pb::CacheConfig {
    fn from(cache: CacheConfig) -> Self {
        let CacheConfig { ttl, max_entries } = cache;
        Self {
            ttl: Some(to_duration(ttl)),
            max_entries,
        }
    }
}

impl TryFrom<pb::CacheConfig> for CacheConfig {
    type Error = InvalidField;

    fn try_from(message: pb::CacheConfig) -> Result<Self, InvalidField> {
        Ok(Self {
            ttl: required(from_duration(message.ttl, "ttl")?, "ttl")?,
            max_entries: message.max_entries,
        })
    }
}
