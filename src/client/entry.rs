//! What a client is told of the gateway, in the client's own words.

use serde_json::{Map, Value, json};

use super::known::Dialect;

/// How a client reaches the gateway.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) url: String,
    /// The variable of the client's environment that holds its key.
    pub(super) key_variable: Option<String>,
}

/// Why a client cannot be told.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot take a header from an environment variable, and a key does not belong into its file"
)]
pub(super) struct NoVariables;

/// The entry for the gateway.
pub(super) fn write(dialect: &Dialect, way: &Way) -> Result<Value, NoVariables> {
    let mut entry = Map::new();
    let http = dialect.http;
    if http.has_type {
        entry.insert("type".into(), "http".into());
    }
    entry.insert(http.url.into(), way.url.as_str().into());
    if let Some(name) = &way.key_variable {
        let variable = http.variable.ok_or(NoVariables)?;
        let (before, after) = variable.around;
        let value = format!("{before}{name}{after}");
        entry.insert(variable.field.into(), json!({ "X-API-Key": value }));
    }
    Ok(Value::Object(entry))
}

/// Where an entry leads, for people: its URL, or the program that it starts.
pub(super) fn describe(entry: &Value) -> String {
    let text = |field| entry.get(field).and_then(Value::as_str);
    if let Some(url) = ["url", "httpUrl", "serverUrl"].into_iter().find_map(text) {
        return url.to_owned();
    }
    let args = entry
        .get("args")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let words = text("command")
        .into_iter()
        .chain(args.filter_map(Value::as_str));
    words.collect::<Vec<_>>().join(" ")
}
