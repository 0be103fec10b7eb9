//! What is different between two configurations, field by field.

use gateway_core::config::TenantConfig;
use serde_json::{Map, Value};

/// One field that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which, such as `servers.files.command` or `plugins.audit_sink[1].name`.
    pub path: String,
    /// What happened to it.
    pub kind: DifferenceKind,
}

/// What happened to a field, with its values as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It was not there before.
    Added(String),
    /// It had another value.
    Changed {
        /// Which it had.
        before: String,
        /// Which it has.
        after: String,
    },
    /// It is not there any more.
    Removed(String),
}

/// What leads from one configuration to another, in the order of the fields. What was added or
/// removed as a whole is one difference.
pub(super) fn between(before: &TenantConfig, after: &TenantConfig) -> Vec<Difference> {
    let mut found = Vec::new();
    // A configuration that cannot be written as JSON cannot be written as YAML either, and was
    // never read from any.
    let (Ok(before), Ok(after)) = (serde_json::to_value(before), serde_json::to_value(after))
    else {
        return found;
    };
    compare("", &before, &after, &mut found);
    // The tenant of what was not there is `default`, which is no difference.
    found.retain(|difference| difference.path != "tenant");
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => maps(path, before, after, found),
        (Value::Array(before), Value::Array(after)) => lists(path, before, after, found),
        _ if before == after => {}
        _ => found.push(Difference {
            path: path.to_owned(),
            kind: DifferenceKind::Changed {
                before: before.to_string(),
                after: after.to_string(),
            },
        }),
    }
}

fn maps(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let field = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    for (name, value) in after {
        match before.get(name) {
            Some(earlier) => compare(&field(name), earlier, value, found),
            None => added(&field(name), value, found),
        }
    }
    for (name, value) in before {
        if !after.contains_key(name) {
            removed(&field(name), value, found);
        }
    }
}

fn lists(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Difference>) {
    for (index, value) in after.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match before.get(index) {
            Some(earlier) => compare(&path, earlier, value, found),
            None => added(&path, value, found),
        }
    }
    for (index, value) in before.iter().enumerate().skip(after.len()) {
        removed(&format!("{path}[{index}]"), value, found);
    }
}

/// The parts of a document, whose own entries are told one by one even when the part is new.
const PARTS: [&str; 3] = ["plugins", "servers", "profiles"];

fn added(path: &str, value: &Value, found: &mut Vec<Difference>) {
    match value {
        Value::Object(entries) if PARTS.contains(&path) => {
            maps(path, &Map::new(), entries, found);
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            kind: DifferenceKind::Added(value.to_string()),
        }),
    }
}

fn removed(path: &str, value: &Value, found: &mut Vec<Difference>) {
    match value {
        Value::Object(entries) if PARTS.contains(&path) => {
            maps(path, entries, &Map::new(), found);
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            kind: DifferenceKind::Removed(value.to_string()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::config::load_yaml;

    use super::*;

    fn lines(before: &str, after: &str) -> Vec<String> {
        let (before, after) = (load_yaml(before).unwrap(), load_yaml(after).unwrap());
        let line = |Difference { path, kind }| match kind {
            DifferenceKind::Added(value) => format!("+ {path} {value}"),
            DifferenceKind::Removed(value) => format!("- {path} {value}"),
            DifferenceKind::Changed { before, after } => format!("~ {path} {before} {after}"),
        };
        between(&before, &after).into_iter().map(line).collect()
    }

    #[test]
    fn every_field_that_differs_is_told_and_no_other() {
        let before = "\
servers:
  a: { type: command, command: one, args: [x, y] }
  b: { type: command, command: two }
profiles: { dev: { servers: [b] } }
";
        let after = "\
tenant: acme
servers:
  a: { type: command, command: three, args: [x], timeout: 5s }
  c: { type: command, command: two }
";
        assert_eq!(
            lines(before, after),
            [
                r#"~ servers.a.command "one" "three""#,
                r#"- servers.a.args[1] "y""#,
                r#"+ servers.a.timeout "5s""#,
                r#"+ servers.c {"type":"command","command":"two"}"#,
                r#"- servers.b {"type":"command","command":"two"}"#,
                r#"- profiles.dev {"servers":["b"]}"#,
            ]
        );
        assert!(lines(after, after).is_empty());
    }
}
