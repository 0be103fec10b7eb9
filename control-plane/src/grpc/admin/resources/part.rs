//! The three kinds of parts that a tenant's configuration has, as resources.

use aws_lc_rs::digest::{SHA256, digest};
use gateway_core::{Revision, TenantId};
use gateway_proto::admin::v1 as pb;
use gateway_proto::config::v1 as config;
use prost::Message;
use tonic::Status;

use crate::grpc::admin::fields::Described;
use crate::grpc::admin::names::required_tenant;
use crate::grpc::admin::refusal::field;

/// How many bytes of a hash an entity tag has: enough that no two differ by accident.
const ETAG_BYTES: usize = 12;

/// A part of a tenant's configuration that is a resource of its own.
pub(super) trait Part: Described + Clone {
    type Config: Message + Default + Clone + PartialEq;

    /// Behind the tenant's name, and in the document.
    const COLLECTION: &'static str;
    /// As people call one.
    const NOUN: &'static str;

    fn new(name: String, etag: String, revision: u64, config: Self::Config) -> Self;
    fn name(&self) -> &str;
    fn etag(&self) -> &str;
    fn config(&self) -> Option<&Self::Config>;

    /// All that a configuration has, by their ids.
    fn all(config: &config::TenantConfig) -> Vec<(String, Self::Config)>;

    /// Puts one in its place, or removes it.
    ///
    /// # Errors
    /// The id is no id of such a part; why.
    fn put(
        config: &mut config::TenantConfig,
        id: &str,
        part: Option<Self::Config>,
    ) -> Result<(), String>;

    /// Under which key of the document's section it is.
    fn key(id: &str) -> &str {
        id
    }
}

/// Which part of which tenant.
#[derive(Debug, Clone)]
pub(super) struct PartName {
    pub(super) tenant: TenantId,
    pub(super) id: String,
}

impl PartName {
    /// Reads `tenants/TENANT/COLLECTION/ID`.
    pub(super) fn read<P: Part>(at: &str, name: &str) -> Result<Self, Status> {
        let mut segments = name.splitn(4, '/');
        let parsed = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        );
        let (Some("tenants"), Some(tenant), Some(collection), Some(id)) = parsed else {
            return Err(Self::refuse::<P>(at));
        };
        if collection != P::COLLECTION || id.is_empty() || id.contains('/') {
            return Err(Self::refuse::<P>(at));
        }
        Ok(Self {
            tenant: required_tenant(at, &format!("tenants/{tenant}"))?,
            id: id.to_owned(),
        })
    }

    fn refuse<P: Part>(at: &str) -> Status {
        let (collection, noun) = (P::COLLECTION, P::NOUN);
        let form = format!("tenants/TENANT/{collection}/{}", noun.to_uppercase());
        field(at, format!("is no name of a {noun}: write {form}"))
    }

    pub(super) fn of<P: Part>(&self, revision: Revision, config: P::Config) -> P {
        let Self { tenant, id } = self;
        let name = format!("tenants/{tenant}/{}/{id}", P::COLLECTION);
        P::new(name, etag(&config), revision.0, config)
    }

    pub(super) fn not_found<P: Part>(&self) -> Status {
        let Self { tenant, id } = self;
        Status::not_found(format!("tenant {tenant} has no {} `{id}`", P::NOUN))
    }
}

/// Tells one configuration of a part from another. Maps are encoded in the order of their keys.
pub(super) fn etag(config: &impl Message) -> String {
    let digest = digest(&SHA256, &config.encode_to_vec());
    let bytes = digest.as_ref().iter().take(ETAG_BYTES);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// What the three messages have under the same names.
macro_rules! fields_of_a_part {
    () => {
        fn new(name: String, etag: String, revision: u64, config: Self::Config) -> Self {
            Self {
                name,
                etag,
                revision,
                config: Some(config),
            }
        }

        fn name(&self) -> &str {
            &self.name
        }

        fn etag(&self) -> &str {
            &self.etag
        }

        fn config(&self) -> Option<&Self::Config> {
            self.config.as_ref()
        }
    };
}

impl Part for pb::Server {
    type Config = config::ServerConfig;

    const COLLECTION: &'static str = "servers";
    const NOUN: &'static str = "server";

    fields_of_a_part!();

    fn all(config: &config::TenantConfig) -> Vec<(String, Self::Config)> {
        config.servers.clone().into_iter().collect()
    }

    fn put(
        config: &mut config::TenantConfig,
        id: &str,
        part: Option<Self::Config>,
    ) -> Result<(), String> {
        id.parse::<gateway_core::ServerName>()
            .map_err(|error| error.to_string())?;
        match part {
            Some(part) => drop(config.servers.insert(id.to_owned(), part)),
            None => drop(config.servers.remove(id)),
        }
        Ok(())
    }
}

impl Part for pb::Profile {
    type Config = config::ProfileConfig;

    const COLLECTION: &'static str = "profiles";
    const NOUN: &'static str = "profile";

    fields_of_a_part!();

    fn all(config: &config::TenantConfig) -> Vec<(String, Self::Config)> {
        config.profiles.clone().into_iter().collect()
    }

    fn put(
        config: &mut config::TenantConfig,
        id: &str,
        part: Option<Self::Config>,
    ) -> Result<(), String> {
        id.parse::<gateway_core::ProfileName>()
            .map_err(|error| error.to_string())?;
        match part {
            Some(part) => drop(config.profiles.insert(id.to_owned(), part)),
            None => drop(config.profiles.remove(id)),
        }
        Ok(())
    }
}

impl Part for pb::Plugin {
    type Config = config::PluginConfig;

    const COLLECTION: &'static str = "plugins";
    const NOUN: &'static str = "plugin";

    fields_of_a_part!();

    fn all(config: &config::TenantConfig) -> Vec<(String, Self::Config)> {
        let mut all = Vec::new();
        let Some(plugins) = &config.plugins else {
            return all;
        };
        let config::PluginsConfig {
            auth_provider,
            credential_storage,
            auth_proxy,
            audit_sink,
            policy_evaluator,
            mcp_provisioner,
            telemetry,
        } = plugins.clone();
        for (kind, plugins) in [
            ("audit_sink", audit_sink),
            ("auth_provider", auth_provider.into_iter().collect()),
            ("auth_proxy", auth_proxy.into_iter().collect()),
            (
                "credential_storage",
                credential_storage.into_iter().collect(),
            ),
            ("mcp_provisioner", mcp_provisioner.into_iter().collect()),
            ("policy_evaluator", policy_evaluator),
            ("telemetry", telemetry.into_iter().collect()),
        ] {
            let plugins = plugins.into_iter();
            all.extend(plugins.map(|plugin| (plugin_id(kind, &plugin), plugin)));
        }
        all
    }

    fn put(
        config: &mut config::TenantConfig,
        id: &str,
        part: Option<Self::Config>,
    ) -> Result<(), String> {
        let plugins = config.plugins.get_or_insert_default();
        let kind = Self::key(id);
        if let Some(part) = &part
            && plugin_id(kind, part) != id
        {
            return Err(format!(
                "`{id}` is no id of a plugin whose `config.name` is `{}`",
                part.name.as_deref().unwrap_or_default()
            ));
        }
        let one = match kind {
            "auth_provider" => &mut plugins.auth_provider,
            "credential_storage" => &mut plugins.credential_storage,
            "auth_proxy" => &mut plugins.auth_proxy,
            "mcp_provisioner" => &mut plugins.mcp_provisioner,
            "telemetry" => &mut plugins.telemetry,
            "audit_sink" => return put_among(&mut plugins.audit_sink, kind, id, part),
            "policy_evaluator" => return put_among(&mut plugins.policy_evaluator, kind, id, part),
            _ => return Err(format!("`{kind}` is no kind of plugin")),
        };
        *one = part;
        Ok(())
    }

    /// The kind, whose plugins all stand under it.
    fn key(id: &str) -> &str {
        id.split_once('.').map_or(id, |(kind, _)| kind)
    }
}

fn plugin_id(kind: &str, plugin: &config::PluginConfig) -> String {
    match plugin.name.as_deref() {
        Some(name) => format!("{kind}.{name}"),
        None => kind.to_owned(),
    }
}

/// Puts a plugin among several of its kind, whose order is theirs.
fn put_among(
    plugins: &mut Vec<config::PluginConfig>,
    kind: &str,
    id: &str,
    part: Option<config::PluginConfig>,
) -> Result<(), String> {
    let place = plugins
        .iter()
        .position(|plugin| plugin_id(kind, plugin) == id);
    match (place.and_then(|place| plugins.get_mut(place)), part) {
        (Some(place), Some(part)) => *place = part,
        (None, Some(part)) => plugins.push(part),
        (_, None) => plugins.retain(|plugin| plugin_id(kind, plugin) != id),
    }
    Ok(())
}
