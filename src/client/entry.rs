//! What a client is told of the gateway, in the client's own words.

use serde_json::{Map, Value, json};

use super::known::{Dialect, Passing};

/// The variable that a gateway which a client starts takes that client's key from.
const KEY_VARIABLE: &str = "MCP_GATEWAY_API_KEY";

/// How a client reaches the gateway.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) to: Target,
    /// The variable of the client's environment that holds its key.
    pub(super) key_variable: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Url(String),
    /// The client starts this program with these arguments.
    Command(String, Vec<String>),
}

/// Why a client cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    #[error(
        "cannot take a header from an environment variable, and a key does not belong into its file"
    )]
    NoVariables,
    #[error(
        "cannot pass an environment variable on to what it starts, and a key does not belong into its file"
    )]
    NotPassedOn,
    #[error("passes variables on under their own names only: use --api-key-env {KEY_VARIABLE}")]
    OtherName,
    #[error("only knows servers that it starts itself: leave --url and MCP_GATEWAY_URL out")]
    NoUrls,
}

/// The entry for the gateway.
pub(super) fn write(dialect: &Dialect, way: &Way) -> Result<Value, Untold> {
    let key = way.key_variable.as_deref();
    let entry = match &way.to {
        Target::Url(url) => write_http(dialect, url, key),
        Target::Command(command, args) => write_stdio(dialect, command, args, key),
    };
    entry.map(Value::Object)
}

fn write_http(
    dialect: &Dialect,
    url: &str,
    key: Option<&str>,
) -> Result<Map<String, Value>, Untold> {
    let mut entry = Map::new();
    let http = dialect.http.ok_or(Untold::NoUrls)?;
    if http.has_type {
        entry.insert("type".into(), "http".into());
    }
    entry.insert(http.url.into(), url.into());
    if let Some(name) = key {
        let variable = http.variable.ok_or(Untold::NoVariables)?;
        let (before, after) = variable.around;
        let value = format!("{before}{name}{after}");
        entry.insert(variable.field.into(), json!({ "X-API-Key": value }));
    }
    Ok(entry)
}

fn write_stdio(
    dialect: &Dialect,
    command: &str,
    args: &[String],
    key: Option<&str>,
) -> Result<Map<String, Value>, Untold> {
    let mut entry = Map::new();
    if dialect.stdio.has_type {
        entry.insert("type".into(), "stdio".into());
    }
    entry.insert("command".into(), command.into());
    entry.insert("args".into(), args.into());
    match (key, dialect.stdio.variable) {
        (None, _) => {}
        (Some(_), Passing::Never) => return Err(Untold::NotPassedOn),
        (Some(name), Passing::Value(before, after)) => {
            let value = format!("{before}{name}{after}");
            entry.insert("env".into(), json!({ KEY_VARIABLE: value }));
        }
        (Some(KEY_VARIABLE), Passing::Name(list)) => {
            entry.insert(list.into(), json!([KEY_VARIABLE]));
        }
        (Some(_), Passing::Name(_)) => return Err(Untold::OtherName),
    }
    Ok(entry)
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
