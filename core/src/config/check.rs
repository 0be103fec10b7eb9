//! What a document must hold beyond its form: references, combinations, uniqueness. Which
//! implementations exist and what their settings mean is the plugin registry's to say.

use std::collections::BTreeSet;

use super::{
    PluginConfig, ProfileConfig, Provider, ServerConfig, ServerSpec, SidecarAddress, TenantConfig,
};
use crate::plugin::PluginKind;

/// One thing that is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, such as `servers.files.command` or `plugins.audit_sink[1].name`.
    pub path: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl Violation {
    /// Names the field and what is wrong with it.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

/// Everything that is wrong with a document, in the order of its fields; empty when it is sound.
pub fn check(config: &TenantConfig) -> Vec<Violation> {
    let mut violations = Vec::new();
    for kind in PluginKind::ALL {
        let plugins = config.plugins.of_kind(kind);
        check_plugin_names(&plugins, &mut violations);
        for (path, plugin) in plugins {
            check_plugin(kind, &path, plugin, &mut violations);
        }
    }
    for (name, server) in &config.servers {
        check_server(&format!("servers.{name}"), server, &mut violations);
    }
    for (name, profile) in &config.profiles {
        check_profile(
            &format!("profiles.{name}"),
            profile,
            config,
            &mut violations,
        );
    }
    violations
}

fn check_plugin_names(plugins: &[(String, &PluginConfig)], violations: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for (path, plugin) in plugins {
        match &plugin.name {
            None if plugins.len() > 1 => {
                violations.push(Violation::new(
                    path,
                    "needs a `name`, because the list has several",
                ));
            }
            Some(name) if !seen.insert(name) => {
                let reason = format!("`{name}` is the name of an earlier entry of this list");
                violations.push(Violation::new(format!("{path}.name"), reason));
            }
            _ => {}
        }
    }
}

fn check_plugin(
    kind: PluginKind,
    path: &str,
    plugin: &PluginConfig,
    violations: &mut Vec<Violation>,
) {
    let mut refuse = |field: &str, reason: &str| {
        violations.push(Violation::new(format!("{path}.{field}"), reason));
    };
    match plugin.provider {
        Provider::InMemory => {
            if plugin.implementation.is_none() {
                refuse("provider", "provider `in-memory` needs `implementation`");
            }
            if plugin.server.is_some() {
                refuse(
                    "server",
                    "belongs to provider `mcp`; provider `in-memory` has `implementation`",
                );
            }
        }
        Provider::Mcp => {
            if plugin.server.is_none() {
                refuse("provider", "provider `mcp` needs `server`");
            }
            if plugin.implementation.is_some() {
                refuse(
                    "implementation",
                    "belongs to provider `in-memory`; provider `mcp` has `server`",
                );
            }
            if !plugin.settings.is_empty() {
                refuse(
                    "settings",
                    "belongs to provider `in-memory`; a plugin server has its own configuration",
                );
            }
        }
    }
    let remembers = matches!(kind, PluginKind::AuthProvider | PluginKind::PolicyEvaluator);
    if plugin.cache.is_some() && !remembers {
        refuse(
            "cache",
            "only `auth_provider` and `policy_evaluator` have a cache",
        );
    }
    if plugin.bearer_type.is_some() && kind != PluginKind::AuthProvider {
        refuse("bearer_type", "belongs to `auth_provider`");
    }
    if plugin.durability.is_some() && kind != PluginKind::AuditSink {
        refuse("durability", "belongs to `audit_sink`");
    }
    if plugin.on_overflow.is_some() && kind != PluginKind::AuditSink {
        refuse("on_overflow", "belongs to `audit_sink`");
    }
}

fn check_server(path: &str, server: &ServerConfig, violations: &mut Vec<Violation>) {
    let mut refuse = |field: String, reason: String| {
        violations.push(Violation::new(format!("{path}.{field}"), reason));
    };
    match &server.spec {
        ServerSpec::Remote {
            endpoint,
            headers,
            tls,
            ..
        } => {
            if let Err(reason) = check_endpoint(endpoint) {
                refuse("endpoint".into(), reason);
            }
            for name in headers.keys() {
                if let Err(reason) = check_header_name(name) {
                    refuse(format!("headers.{name}"), reason);
                }
            }
            if let Some(tls) = tls {
                if !endpoint.starts_with("https://") {
                    refuse(
                        "tls".into(),
                        "is for endpoints that begin with https://".into(),
                    );
                }
                if tls.cert.is_some() != tls.key.is_some() {
                    let reason =
                        "a certificate needs its key: give both `cert` and `key`, or neither";
                    refuse("tls".into(), reason.into());
                }
            }
        }
        ServerSpec::Command { command, env, .. } => {
            if command.trim().is_empty() {
                refuse(
                    "command".into(),
                    "is empty: name the program to start".into(),
                );
            }
            for name in env.keys() {
                if name.is_empty() || name.contains(['=', '\0']) {
                    refuse(
                        format!("env.{name}"),
                        "is no name of an environment variable".into(),
                    );
                }
            }
        }
        ServerSpec::Sidecar { address, path, .. } => {
            if *address == SidecarAddress::Port(0) {
                refuse("port".into(), "must be from 1 to 65535".into());
            }
            if let SidecarAddress::Socket(socket) = address
                && !socket.has_root()
            {
                let reason = "must be the whole path of a socket, from `/` on";
                refuse("socket".into(), reason.into());
            }
            if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
                refuse("path".into(), "must begin with `/`".into());
            }
        }
        ServerSpec::Catalog { reference } if !reference.starts_with("catalog://") => {
            refuse("ref".into(), "must begin with catalog://".into());
        }
        _ => {}
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let rest = ["http://", "https://", "unix://"]
        .iter()
        .find_map(|s| endpoint.strip_prefix(s));
    let Some(rest) = rest else {
        return Err(format!(
            "`{endpoint}` must begin with http://, https:// or unix://"
        ));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not hold a user name or password: use `auth` or `headers`".into());
    }
    if authority.is_empty() && !endpoint.starts_with("unix:///") {
        return Err(format!("`{endpoint}` names no host"));
    }
    Ok(())
}

/// Checks the name of a header that a configuration sets. Framing and what MCP says is not its to set.
///
/// # Errors
/// Says why not.
pub fn check_header_name(name: &str) -> Result<(), String> {
    const OWN: [&str; 9] = [
        "host",
        "content-length",
        "content-type",
        "accept",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
    ];
    let lower = name.to_ascii_lowercase();
    if lower.is_empty()
        || !lower
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        return Err(format!("`{name}` is no name of an HTTP header"));
    }
    if OWN.contains(&lower.as_str()) || lower.starts_with("mcp-") {
        return Err(format!("`{name}` is the gateway's own to set"));
    }
    Ok(())
}

fn check_profile(
    path: &str,
    profile: &ProfileConfig,
    config: &TenantConfig,
    violations: &mut Vec<Violation>,
) {
    let mut seen = BTreeSet::new();
    for (index, server) in profile.servers.iter().enumerate() {
        let field = format!("{path}.servers[{index}]");
        if !config.servers.contains_key(server) {
            violations.push(Violation::new(
                field,
                format!("there is no server `{server}`"),
            ));
        } else if !seen.insert(server) {
            violations.push(Violation::new(
                field,
                format!("`{server}` is listed already"),
            ));
        }
    }
    let mut targets = BTreeSet::new();
    for (from, to) in &profile.tools.rename {
        if !targets.insert(to) {
            let reason = format!("`{to}` is the new name of another tool already");
            violations.push(Violation::new(
                format!("{path}.tools.rename.{from}"),
                reason,
            ));
        }
    }
}
