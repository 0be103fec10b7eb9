//! From what was submitted to what is pushed: references that only the control plane can follow,
//! and the encoded form, which every replica must be able to read.

use bytes::Bytes;
use gateway_core::config::{ServerSpec, TenantConfig, Violation};
use gateway_core::plugin::PluginKind;

/// The largest encoded configuration. A batch is closed once it holds as much, so that none is
/// larger than twice this; gRPC clients take messages of 4 MiB unless told otherwise.
const MAX_ENCODED: usize = 1024 * 1024;

/// Adds what is wrong with references. A plugin that has a violation already is left at that.
pub(super) fn check(config: &TenantConfig, violations: &mut Vec<Violation>) {
    for kind in PluginKind::ALL {
        for (path, plugin) in config.plugins.of_kind(kind) {
            let reported = violations.iter().any(|found| found.path.starts_with(&path));
            if let Some(spec) = plugin.server.as_ref().filter(|_| !reported) {
                check_spec(&format!("{path}.server"), spec, violations);
            }
        }
    }
    for (name, server) in &config.servers {
        check_spec(&format!("servers.{name}"), &server.spec, violations);
    }
}

fn check_spec(path: &str, spec: &ServerSpec, violations: &mut Vec<Violation>) {
    if let ServerSpec::Catalog { reference } = spec {
        let reason = format!(
            "`{reference}` cannot be resolved: this control plane has no catalog client; name the server itself, with `type: remote` or `type: command`"
        );
        violations.push(Violation::new(format!("{path}.ref"), reason));
    }
}

/// Encodes a checked configuration and makes sure that a replica will read the same.
pub(super) fn encode(config: &TenantConfig) -> Result<Bytes, Violation> {
    let bytes = gateway_proto::encode(config);
    if bytes.len() > MAX_ENCODED {
        let reason = format!(
            "is too large to be pushed: {} bytes, of at most {MAX_ENCODED}",
            bytes.len()
        );
        return Err(Violation::new("tenant", reason));
    }
    match gateway_proto::decode(&bytes) {
        Ok(decoded) if decoded == *config => Ok(bytes),
        Err(gateway_proto::DecodeError::Invalid(field)) => Err(field.into()),
        // Protobuf readers bound the depth of messages, and only settings can be deep.
        _ => Err(Violation::new(
            "plugins",
            "`settings` are nested too deeply to be pushed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::config::load_yaml;

    use super::*;

    #[test]
    fn a_catalog_reference_is_a_violation_where_it_stands() {
        let config = load_yaml(
            "plugins:\n  auth_proxy: { provider: mcp, server: 'catalog://h/r:v1/p' }\n\
             servers:\n  github: { type: catalog, ref: 'catalog://h/r:v1/n' }\n",
        );
        let mut violations = Vec::new();
        check(&config.unwrap(), &mut violations);
        let paths: Vec<_> = violations.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(
            paths,
            ["plugins.auth_proxy.server.ref", "servers.github.ref"]
        );
    }

    #[test]
    fn a_plugin_that_is_refused_already_is_not_refused_twice() {
        let config =
            load_yaml("plugins:\n  auth_proxy: { provider: mcp, server: 'catalog://h/r:v1/p' }\n");
        let mut violations = vec![Violation::new("plugins.auth_proxy.server", "no")];
        check(&config.unwrap(), &mut violations);
        assert_eq!(violations.len(), 1);
    }

    #[test]
    fn settings_too_deep_for_the_wire_are_refused_before_they_are_kept() {
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        let config = load_yaml(&format!(
            "plugins:\n  telemetry: {{ provider: in-memory, implementation: x, settings: {{ a: {deep} }} }}\n"
        ));
        let violation = encode(&config.unwrap()).unwrap_err();
        assert!(violation.reason.contains("too deeply"), "{violation:?}");
    }

    #[test]
    fn a_configuration_too_large_for_a_batch_is_refused_before_it_is_kept() {
        let long = "x".repeat(MAX_ENCODED);
        let config = load_yaml(&format!(
            "servers:\n  a: {{ type: command, command: {long} }}\n"
        ));
        let violation = encode(&config.unwrap()).unwrap_err();
        assert!(violation.reason.contains("too large"), "{violation:?}");
    }
}
