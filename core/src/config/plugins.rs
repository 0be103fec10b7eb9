//! The `plugins:` part of a tenant's configuration.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ServerSpec, Settings, TimeSpan};
use crate::plugin::PluginKind;

/// The tenant's plugins. `None` and empty mean: what the role of the process fills in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginsConfig {
    /// Says who a caller is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_provider: Option<PluginConfig>,
    /// Keeps credentials for use towards servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_storage: Option<PluginConfig>,
    /// Puts a credential into an outgoing request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_proxy: Option<PluginConfig>,
    /// Records what happened: one, or a list of named ones.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub audit_sink: Vec<PluginConfig>,
    /// Says what a caller may do: one, or a list of which all must allow.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many",
        serialize_with = "as_one_or_many"
    )]
    pub policy_evaluator: Vec<PluginConfig>,
    /// Starts and stops servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_provisioner: Option<PluginConfig>,
    /// Takes measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<PluginConfig>,
}

impl PluginsConfig {
    /// Whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The configured plugins of a kind with their field paths, such as `plugins.audit_sink[1]`.
    pub fn of_kind(&self, kind: PluginKind) -> Vec<(String, &PluginConfig)> {
        let path = format!("plugins.{kind}");
        let single = match kind {
            PluginKind::AuthProvider => &self.auth_provider,
            PluginKind::CredentialStorage => &self.credential_storage,
            PluginKind::AuthProxy => &self.auth_proxy,
            PluginKind::McpProvisioner => &self.mcp_provisioner,
            PluginKind::Telemetry => &self.telemetry,
            PluginKind::AuditSink => return numbered(path, &self.audit_sink),
            PluginKind::PolicyEvaluator => return numbered(path, &self.policy_evaluator),
        };
        single.iter().map(|plugin| (path.clone(), plugin)).collect()
    }
}

fn numbered(path: String, plugins: &[PluginConfig]) -> Vec<(String, &PluginConfig)> {
    match plugins {
        [plugin] if plugin.name.is_none() => vec![(path, plugin)],
        many => many
            .iter()
            .enumerate()
            .map(|(i, plugin)| (format!("{path}[{i}]"), plugin))
            .collect(),
    }
}

/// One configured plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// Its name in a list of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it runs.
    pub provider: Provider,
    /// For `in-memory`: which implementation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<String>,
    /// For `in-memory`: the implementation's own settings.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// For `mcp`: the server that implements it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSpec>,
    /// How long one call to it may take; `None`: the data plane's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// For authentication and policy: how long its answers are remembered; `None`: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// For authentication: the credential type of `Authorization: Bearer`; `None`: `api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_type: Option<String>,
    /// For audit: what a written event survives; `None`: `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<AuditDurability>,
    /// For audit: what happens when no space is left; `None`: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_overflow: Option<AuditOverflow>,
}

impl PluginConfig {
    /// An implementation in the gateway's own process, without settings.
    pub fn in_memory(implementation: impl Into<String>) -> Self {
        Self {
            name: None,
            provider: Provider::InMemory,
            implementation: Some(implementation.into()),
            settings: Settings::default(),
            server: None,
            timeout: None,
            cache: None,
            bearer_type: None,
            durability: None,
            on_overflow: None,
        }
    }
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// In the gateway's own process.
    InMemory,
    /// In an MCP server.
    Mcp,
}

/// How long a plugin's answers are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// How long; never beyond the principal's own expiry.
    pub ttl: TimeSpan,
    /// How many at the most; `None`: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u32>,
}

/// What an audit event survives once its request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditDurability {
    /// The death of the process.
    Process,
    /// The loss of power.
    Disk,
    /// It has reached the sink.
    Sink,
}

/// What happens to a request for whose audit event no space is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOverflow {
    /// It is refused.
    Refuse,
    /// It goes on, and the event is dropped and counted.
    Drop,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PluginConfig>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<PluginConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a plugin, or a list of named plugins")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![PluginConfig::deserialize(
                MapAccessDeserializer::new(map),
            )?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

fn as_one_or_many<S: Serializer>(
    plugins: &[PluginConfig],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match plugins {
        [plugin] if plugin.name.is_none() => plugin.serialize(serializer),
        many => many.serialize(serializer),
    }
}
