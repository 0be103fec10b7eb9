//! What a change does, for people and for programs.

use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::change::Kind;
use serde_json::{Value, json};

/// A value longer than this is cut off for people.
const MAX_CHARS: usize = 100;

/// One line for each change, behind a line that says what they come to.
pub(super) fn lines(head: &str, changes: &[pb::Change]) -> String {
    let mut text = format!("{head}\n");
    for change in changes {
        let (before, after) = (short(&change.before), short(&change.after));
        let line = match change.kind() {
            Kind::Added => format!("  + {} {after}\n", change.path),
            Kind::Removed => format!("  - {} {before}\n", change.path),
            Kind::Changed => format!("  ~ {} {before} -> {after}\n", change.path),
            // Of a newer control plane.
            Kind::Unspecified => format!("  ? {}\n", change.path),
        };
        text.push_str(&line);
    }
    text
}

/// The same as JSON.
pub(super) fn records(changes: &[pb::Change]) -> Vec<Value> {
    let records = changes.iter().map(|change| {
        let kind = match change.kind() {
            Kind::Added => "added",
            Kind::Removed => "removed",
            Kind::Changed => "changed",
            Kind::Unspecified => "unknown",
        };
        json!({
            "kind": kind,
            "path": change.path,
            "before": parsed(&change.before),
            "after": parsed(&change.after),
        })
    });
    records.collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn short(text: &str) -> String {
    if text.chars().count() <= MAX_CHARS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_CHARS - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind, path: &str, before: &str, after: &str) -> pb::Change {
        pb::Change {
            kind: kind.into(),
            path: path.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    #[test]
    fn each_change_is_a_line() {
        let long = format!("\"{}\"", "x".repeat(200));
        let changes = [
            change(Kind::Added, "servers.a", "", &long),
            change(Kind::Changed, "servers.b.timeout", "\"1s\"", "\"2s\""),
            change(Kind::Removed, "profiles.dev", "{}", ""),
        ];
        let text = lines("acme: revision 2", &changes);
        let cut = format!("\"{}…", "x".repeat(98));
        let expected = format!(
            "acme: revision 2\n  + servers.a {cut}\n  ~ servers.b.timeout \"1s\" -> \"2s\"\n  - profiles.dev {{}}\n"
        );
        assert_eq!(text, expected);
        assert_eq!(records(&changes)[1]["after"], "2s");
    }
}
