//! One server of a client's configuration, as the gateway would have it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gateway_core::ServerName;
use gateway_core::config::{RemoteAuth, SecretRef, ServerConfig, ServerSpec, Setting};
use serde_json::Value;

use super::value::{Found, looks_secret, plain_text, setting};

#[derive(Debug)]
pub(super) struct Imported {
    /// What the client calls it.
    pub(super) from: String,
    pub(super) name: ServerName,
    pub(super) server: ServerConfig,
    /// Values that go into files of their own.
    pub(super) secrets: Vec<(PathBuf, String)>,
}

/// Reads a client's entry, or says why the gateway cannot have such a server.
pub(super) fn import(from: &str, entry: &Value, secrets_dir: &Path) -> Result<Imported, String> {
    let mut reader = Reader {
        name: server_name(from)?,
        entry,
        secrets_dir,
        secrets: Vec::new(),
    };
    let server = reader.spec()?.into();
    Ok(Imported {
        from: from.to_owned(),
        name: reader.name,
        server,
        secrets: reader.secrets,
    })
}

struct Reader<'a> {
    name: ServerName,
    entry: &'a Value,
    secrets_dir: &'a Path,
    secrets: Vec<(PathBuf, String)>,
}

impl Reader<'_> {
    fn spec(&mut self) -> Result<ServerSpec, String> {
        if let Some(endpoint) = self.first_text(&["url", "httpUrl", "serverUrl"])? {
            return Ok(ServerSpec::Remote {
                endpoint,
                auth: self.authorization()?.map(RemoteAuth::Bearer),
                headers: self.settings("headers")?,
                tls: None,
            });
        }
        let command = self
            .first_text(&["command"])?
            .ok_or("it has neither `command` nor `url`")?;
        Ok(ServerSpec::Command {
            command,
            args: self.arguments()?,
            env: self.settings("env")?,
            cwd: self.first_text(&["cwd"])?.map(PathBuf::from),
        })
    }

    fn first_text(&self, fields: &[&str]) -> Result<Option<String>, String> {
        let found = fields
            .iter()
            .find_map(|field| Some((field, self.entry.get(field)?.as_str()?)));
        let Some((field, text)) = found else {
            return Ok(None);
        };
        let text = plain_text(text).map_err(|reason| format!("`{field}`: {reason}"))?;
        Ok(Some(text))
    }

    fn arguments(&self) -> Result<Vec<String>, String> {
        let Some(arguments) = self.entry.get("args") else {
            return Ok(Vec::new());
        };
        let arguments = arguments.as_array().ok_or("`args` is no list")?;
        let texts = arguments.iter().map(|argument| {
            let text = argument.as_str().ok_or("`args` holds more than text")?;
            plain_text(text).map_err(|reason| format!("`args`: {reason}"))
        });
        texts.collect()
    }

    /// `Authorization: Bearer …`, which the gateway has a field of its own for.
    fn authorization(&mut self) -> Result<Option<SecretRef>, String> {
        let headers = self.entry.get("headers").and_then(Value::as_object);
        let mut headers = headers.into_iter().flatten();
        let token = headers
            .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .and_then(|(_, value)| value.as_str()?.strip_prefix("Bearer "));
        let Some(token) = token else {
            return Ok(None);
        };
        let found = setting(token.trim()).map_err(|r| format!("`headers.Authorization`: {r}"))?;
        Ok(Some(match found {
            Found::Variable(variable) => SecretRef::FromEnv(variable),
            Found::Text(token) => self.keep("bearer", token),
        }))
    }

    /// A map of variables or headers, without what [`Self::authorization`] takes.
    fn settings(&mut self, field: &str) -> Result<BTreeMap<String, Setting>, String> {
        let mut settings = BTreeMap::new();
        let fields = self.entry.get(field).and_then(Value::as_object);
        for (key, value) in fields.into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            if key.eq_ignore_ascii_case("authorization") && text.starts_with("Bearer ") {
                continue;
            }
            let found = setting(&text).map_err(|reason| format!("`{field}.{key}`: {reason}"))?;
            let read = match found {
                Found::Variable(variable) => Setting::Secret(SecretRef::FromEnv(variable)),
                Found::Text(text) if looks_secret(key) => Setting::Secret(self.keep(key, text)),
                Found::Text(text) => Setting::Literal(text),
            };
            settings.insert(key.clone(), read);
        }
        Ok(settings)
    }

    fn keep(&mut self, key: &str, value: String) -> SecretRef {
        let key: String = key
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let path = self.secrets_dir.join(format!("{}.{key}", self.name));
        self.secrets.push((path.clone(), value));
        SecretRef::FromFile(path)
    }
}

/// The nearest name that a server can have.
fn server_name(from: &str) -> Result<ServerName, String> {
    let mut name = String::new();
    for c in from.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name: String = name.chars().take(31).collect();
    name.trim_end_matches('-')
        .parse()
        .map_err(|_| "no name for it can be made: rename it to letters and digits".to_owned())
}
