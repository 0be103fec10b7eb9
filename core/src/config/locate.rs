//! Finds where in a YAML text a field stands, for errors that are found after parsing.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml::Spanned;

/// The line and column (from 1) of the value at `path`, or of its nearest ancestor that stands in
/// the text. `None` when the text is no YAML.
pub(super) fn locate(text: &str, path: &str) -> Option<(u64, u64)> {
    let root: Spanned<Node> = serde_yaml::from_str(text).ok()?;
    let mut found = &root;
    let mut place = (1, 1);
    for step in steps(path) {
        let (child, at) = match (&found.value, step) {
            (Node::Map(entries), Step::Field(name)) => match longest_match(entries, name, path) {
                Some(entry) => entry,
                None => break,
            },
            (Node::List(items), Step::Index(index)) => match items.get(index) {
                Some(item) => (item, (item.referenced.line(), item.referenced.column())),
                None => break,
            },
            _ => break,
        };
        found = child;
        place = at;
    }
    Some(place)
}

enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

/// Splits `plugins.audit_sink[1].name` into its steps.
fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        steps.push(Step::Field(name));
        for index in indexes
            .split(['[', ']'])
            .filter_map(|digits| digits.parse().ok())
        {
            steps.push(Step::Index(index));
        }
    }
    steps
}

type Entry = (Spanned<String>, Spanned<Node>);

/// The entry called `name`. A key that itself has dots ends the walk at that key: it is the last
/// step of every path that holds one.
fn longest_match<'a>(
    entries: &'a [Entry],
    name: &str,
    path: &str,
) -> Option<(&'a Spanned<Node>, (u64, u64))> {
    let (key, value) = entries
        .iter()
        .find(|(key, _)| key.value == name)
        .or_else(|| {
            entries
                .iter()
                .find(|(key, _)| path.ends_with(&format!(".{}", key.value)))
        })?;
    Some((value, (key.referenced.line(), key.referenced.column())))
}

/// Any YAML value, of which only the shape is kept.
enum Node {
    Map(Vec<Entry>),
    List(Vec<Spanned<Node>>),
    Scalar,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::locate;

    const TEXT: &str = "\
tenant: acme
servers:
  files:
    type: command
    env: { API.KEY: x }
plugins:
  audit_sink:
    - name: one
    - name: two
";

    #[test]
    fn finds_fields_and_list_items() {
        assert_eq!(locate(TEXT, "servers.files.type"), Some((4, 5)));
        assert_eq!(locate(TEXT, "plugins.audit_sink[1].name"), Some((9, 7)));
        assert_eq!(locate(TEXT, "servers.files.env.API.KEY"), Some((5, 12)));
    }

    #[test]
    fn a_missing_field_is_at_its_parent() {
        assert_eq!(locate(TEXT, "servers.files.command"), Some((3, 3)));
        assert_eq!(locate(TEXT, "profiles.x"), Some((1, 1)));
    }
}
