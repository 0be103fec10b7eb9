//! What is different between two configurations, in words for the history.

use std::collections::BTreeMap;
use std::fmt::Display;

use gateway_core::config::TenantConfig;
use gateway_core::plugin::PluginKind;

/// One line such as `added server files; changed plugin audit_sink`.
pub(super) fn summarize(before: &TenantConfig, after: &TenantConfig) -> String {
    let mut parts = Vec::new();
    for kind in PluginKind::ALL {
        let (old, new) = (before.plugins.of_kind(kind), after.plugins.of_kind(kind));
        let change = match (old.is_empty(), new.is_empty()) {
            (true, false) => "added",
            (false, true) => "removed",
            _ if old != new => "changed",
            _ => continue,
        };
        parts.push(format!("{change} plugin {kind}"));
    }
    compare("server", &before.servers, &after.servers, &mut parts);
    compare("profile", &before.profiles, &after.profiles, &mut parts);
    if parts.is_empty() {
        "no difference".to_owned()
    } else {
        parts.join("; ")
    }
}

fn compare<N: Ord + Display, T: PartialEq>(
    what: &str,
    before: &BTreeMap<N, T>,
    after: &BTreeMap<N, T>,
    parts: &mut Vec<String>,
) {
    for (name, new) in after {
        match before.get(name) {
            None => parts.push(format!("added {what} {name}")),
            Some(old) if old != new => parts.push(format!("changed {what} {name}")),
            Some(_) => {}
        }
    }
    let removed = before.keys().filter(|name| !after.contains_key(name));
    parts.extend(removed.map(|name| format!("removed {what} {name}")));
}

#[cfg(test)]
mod tests {
    use gateway_core::config::load_yaml;

    use super::*;

    fn summary(before: &str, after: &str) -> String {
        summarize(&load_yaml(before).unwrap(), &load_yaml(after).unwrap())
    }

    #[test]
    fn says_what_was_added_changed_and_removed() {
        let before = "\
plugins: { audit_sink: { provider: in-memory, implementation: stdout } }
servers: { a: 'http://a', b: 'http://b' }
";
        let after = "\
plugins:
  audit_sink: { provider: in-memory, implementation: stderr }
  telemetry: { provider: in-memory, implementation: noop }
servers: { b: 'http://c', d: 'http://d' }
profiles: { dev: { servers: [d] } }
";
        assert_eq!(
            summary(before, after),
            "changed plugin audit_sink; added plugin telemetry; changed server b; added server d; \
             removed server a; added profile dev"
        );
    }

    #[test]
    fn a_list_that_loses_an_entry_is_changed() {
        let two = "plugins: { audit_sink: [{ name: a, provider: in-memory, implementation: x }, { name: b, provider: in-memory, implementation: y }] }";
        let one = "plugins: { audit_sink: [{ name: a, provider: in-memory, implementation: x }] }";
        assert_eq!(summary(two, one), "changed plugin audit_sink");
        assert_eq!(summary(two, two), "no difference");
    }
}
