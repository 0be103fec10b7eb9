//! A configuration as operators may see it. Whatever may be a secret is hidden: that something
//! harmless is hidden too does no harm.

mod text;

use std::collections::BTreeMap;

use gateway_core::config::{
    PluginConfig, PluginsConfig, RemoteAuth, SecretRef, ServerConfig, ServerSpec, ServerTls,
    Setting, Settings, TenantConfig,
};
use serde_json::{Map, Value};

use text::{HIDDEN, arguments, names_secret, plain, reference};

/// The configuration without its secrets. Everything is taken apart by name, so that a new field
/// is decided on here before it is shown.
pub(super) fn redacted(config: &TenantConfig) -> TenantConfig {
    let TenantConfig {
        tenant,
        plugins,
        servers,
        profiles,
    } = config;
    let servers = servers.iter();
    TenantConfig {
        tenant: tenant.clone(),
        plugins: plugins_of(plugins),
        servers: servers
            .map(|(name, of)| (name.clone(), server(of)))
            .collect(),
        profiles: profiles.clone(),
    }
}

fn plugins_of(plugins: &PluginsConfig) -> PluginsConfig {
    let PluginsConfig {
        auth_provider,
        credential_storage,
        auth_proxy,
        audit_sink,
        policy_evaluator,
        mcp_provisioner,
        telemetry,
    } = plugins;
    PluginsConfig {
        auth_provider: auth_provider.as_ref().map(plugin),
        credential_storage: credential_storage.as_ref().map(plugin),
        auth_proxy: auth_proxy.as_ref().map(plugin),
        audit_sink: audit_sink.iter().map(plugin).collect(),
        policy_evaluator: policy_evaluator.iter().map(plugin).collect(),
        mcp_provisioner: mcp_provisioner.as_ref().map(plugin),
        telemetry: telemetry.as_ref().map(plugin),
    }
}

fn plugin(config: &PluginConfig) -> PluginConfig {
    let PluginConfig {
        name,
        provider,
        implementation,
        settings: own,
        server,
        timeout,
        cache,
        bearer_type,
        durability,
        on_overflow,
    } = config;
    PluginConfig {
        name: name.clone(),
        provider: *provider,
        implementation: implementation.clone(),
        settings: settings(own),
        server: server.as_ref().map(spec),
        timeout: *timeout,
        cache: *cache,
        bearer_type: bearer_type.clone(),
        durability: *durability,
        on_overflow: *on_overflow,
    }
}

fn server(config: &ServerConfig) -> ServerConfig {
    let ServerConfig {
        spec: own,
        timeout,
        idle_timeout,
        credentials,
        isolation,
    } = config;
    ServerConfig {
        spec: spec(own),
        timeout: *timeout,
        idle_timeout: *idle_timeout,
        credentials: *credentials,
        isolation: *isolation,
    }
}

fn remote_auth(auth: &RemoteAuth) -> RemoteAuth {
    match auth {
        RemoteAuth::Bearer(secret) => RemoteAuth::Bearer(secret_ref(secret)),
    }
}

fn spec(spec: &ServerSpec) -> ServerSpec {
    match spec {
        ServerSpec::Catalog { reference: of } => ServerSpec::Catalog {
            reference: reference(of),
        },
        ServerSpec::Remote {
            endpoint,
            headers,
            auth,
            tls,
        } => ServerSpec::Remote {
            endpoint: plain(endpoint),
            headers: values(headers),
            auth: auth.as_ref().map(remote_auth),
            tls: tls.as_ref().map(|tls| ServerTls {
                ca: tls.ca.as_ref().map(secret_ref),
                cert: tls.cert.as_ref().map(secret_ref),
                key: tls.key.as_ref().map(secret_ref),
            }),
        },
        ServerSpec::Image {
            image,
            port,
            path,
            args,
            env,
        } => ServerSpec::Image {
            image: reference(image),
            port: *port,
            path: path.as_deref().map(plain),
            args: arguments(args),
            env: values(env),
        },
        ServerSpec::Registry { name, version } => ServerSpec::Registry {
            name: name.clone(),
            version: version.clone(),
        },
        ServerSpec::Sidecar {
            address,
            path,
            auth,
        } => ServerSpec::Sidecar {
            auth: auth.as_ref().map(remote_auth),
            address: address.clone(),
            path: path.as_deref().map(plain),
        },
        ServerSpec::Command {
            command,
            args,
            env,
            cwd,
        } => ServerSpec::Command {
            command: plain(command),
            args: arguments(args),
            env: values(env),
            cwd: cwd.clone(),
        },
    }
}

/// Environment variables or headers: their names, and where secrets are.
fn values(values: &BTreeMap<String, Setting>) -> BTreeMap<String, Setting> {
    let shown = values.iter().map(|(name, value)| {
        let value = match value {
            Setting::Literal(_) => Setting::Literal(HIDDEN.to_owned()),
            Setting::Secret(secret) => Setting::Secret(secret_ref(secret)),
        };
        (name.clone(), value)
    });
    shown.collect()
}

/// Where a secret is, unless somebody has written the secret itself in that place.
fn secret_ref(secret: &SecretRef) -> SecretRef {
    match secret {
        SecretRef::FromEnv(name) => SecretRef::FromEnv(plain(name)),
        SecretRef::FromFile(path) => SecretRef::FromFile(path.clone()),
        SecretRef::FromCredential(kind) => SecretRef::FromCredential(plain(kind)),
    }
}

fn settings(settings: &Settings) -> Settings {
    let shown = object(settings.as_map());
    // Hiding puts text in the place of values: no number comes in that could be too large.
    Settings::try_from(shown).unwrap_or_default()
}

fn object(fields: &Map<String, Value>) -> Map<String, Value> {
    let shown = fields
        .iter()
        .map(|(key, of)| (key.clone(), value(of, names_secret(key))));
    shown.collect()
}

/// A setting; what a secret's name stands before is hidden, but not the parts of an object there,
/// which have names of their own.
fn value(value: &Value, is_secret: bool) -> Value {
    match value {
        Value::Object(fields) => Value::Object(object(fields)),
        Value::Array(items) => {
            let items = items.iter().map(|item| self::value(item, is_secret));
            Value::Array(items.collect())
        }
        Value::Null => Value::Null,
        Value::String(_) | Value::Number(_) | Value::Bool(_) if is_secret => HIDDEN.into(),
        Value::String(text) => Value::String(plain(text)),
        Value::Number(_) | Value::Bool(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests;
