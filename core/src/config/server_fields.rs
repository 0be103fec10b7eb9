//! How a server is spelt in YAML: a reference or URL as text, or a map whose `type` decides which
//! fields it has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    CredentialsMode, Isolation, RemoteAuth, ServerConfig, ServerSpec, ServerTls, Setting,
    SidecarAddress, TimeSpan,
};

/// Every field that a server can have. One flat struct instead of a tagged enum, so that an
/// unknown or misplaced field is reported where it stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerFields {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, Setting>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<RemoteAuth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<ServerTls>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<BTreeMap<String, Setting>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<TimeSpan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<TimeSpan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<CredentialsMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    isolation: Option<Isolation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Catalog,
    Remote,
    Image,
    Registry,
    Sidecar,
    Command,
}

impl ServerFields {
    pub(super) fn deserialize_text_or_map<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        struct TextOrMap;

        impl<'de> Visitor<'de> for TextOrMap {
            type Value = ServerFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a catalog:// reference, an http(s) URL, or a map with `type`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ServerFields, E> {
                ServerFields::from_text(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ServerFields, A::Error> {
                ServerFields::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(TextOrMap)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.to_owned();
        if text.starts_with("catalog://") {
            Ok(Self {
                kind: Some(Kind::Catalog),
                reference: Some(text),
                ..Self::default()
            })
        } else if text.starts_with("http://") || text.starts_with("https://") {
            Ok(Self {
                kind: Some(Kind::Remote),
                endpoint: Some(text),
                ..Self::default()
            })
        } else {
            Err(format!(
                "`{text}` is neither a catalog:// reference nor an http(s) URL"
            ))
        }
    }

    /// The server that these fields spell, where only the spec is wanted (a plugin).
    pub(super) fn into_spec(mut self) -> Result<ServerSpec, String> {
        let spec = self.take_spec()?;
        self.nothing_left(spec.type_name())?;
        Ok(spec)
    }

    /// The server that these fields spell.
    pub(super) fn into_config(mut self) -> Result<ServerConfig, String> {
        let spec = self.take_spec()?;
        let config = ServerConfig {
            timeout: self.timeout.take(),
            idle_timeout: self.idle_timeout.take(),
            credentials: self.credentials.take().unwrap_or_default(),
            isolation: self.isolation.take(),
            spec,
        };
        self.nothing_left(config.spec.type_name())?;
        Ok(config)
    }

    fn take_spec(&mut self) -> Result<ServerSpec, String> {
        let Some(kind) = self.kind.take() else {
            return Err(
                "`type` is missing: one of remote, command, image, catalog, registry, sidecar"
                    .into(),
            );
        };
        Ok(match kind {
            Kind::Catalog => ServerSpec::Catalog {
                reference: required(self.reference.take(), "catalog", "ref")?,
            },
            Kind::Remote => ServerSpec::Remote {
                endpoint: required(self.endpoint.take(), "remote", "endpoint")?,
                headers: self.headers.take().unwrap_or_default(),
                auth: self.auth.take(),
                tls: self.tls.take(),
            },
            Kind::Image => ServerSpec::Image {
                image: required(self.image.take(), "image", "image")?,
                port: self.port.take(),
                path: self.path.take(),
                args: self.args.take().unwrap_or_default(),
                env: self.env.take().unwrap_or_default(),
            },
            Kind::Registry => ServerSpec::Registry {
                name: required(self.name.take(), "registry", "name")?,
                version: required(self.version.take(), "registry", "version")?,
            },
            Kind::Sidecar => {
                let address = match (self.port.take(), self.socket.take()) {
                    (Some(port), None) => SidecarAddress::Port(port),
                    (None, Some(socket)) => SidecarAddress::Socket(socket),
                    _ => return Err("type `sidecar` needs either `port` or `socket`".into()),
                };
                ServerSpec::Sidecar {
                    address,
                    path: self.path.take(),
                    auth: self.auth.take(),
                }
            }
            Kind::Command => ServerSpec::Command {
                command: required(self.command.take(), "command", "command")?,
                args: self.args.take().unwrap_or_default(),
                env: self.env.take().unwrap_or_default(),
                cwd: self.cwd.take(),
            },
        })
    }

    /// Refuses the fields that nobody took.
    fn nothing_left(self, type_name: &str) -> Result<(), String> {
        let left = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let names: Vec<_> = left
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys())
            .collect();
        match names.as_slice() {
            [] => Ok(()),
            [name, ..] => Err(format!(
                "field `{name}` does not belong here with type `{type_name}`"
            )),
        }
    }
}

fn required<T>(value: Option<T>, type_name: &str, field: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("type `{type_name}` needs `{field}`"))
}

impl From<ServerSpec> for ServerFields {
    fn from(spec: ServerSpec) -> Self {
        let list = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
        let map = |items: BTreeMap<String, Setting>| Some(items).filter(|items| !items.is_empty());
        match spec {
            ServerSpec::Catalog { reference } => Self {
                kind: Some(Kind::Catalog),
                reference: Some(reference),
                ..Self::default()
            },
            ServerSpec::Remote {
                endpoint,
                headers,
                auth,
                tls,
            } => Self {
                kind: Some(Kind::Remote),
                endpoint: Some(endpoint),
                headers: map(headers),
                auth,
                tls,
                ..Self::default()
            },
            ServerSpec::Image {
                image,
                port,
                path,
                args,
                env,
            } => Self {
                kind: Some(Kind::Image),
                image: Some(image),
                port,
                path,
                args: list(args),
                env: map(env),
                ..Self::default()
            },
            ServerSpec::Registry { name, version } => Self {
                kind: Some(Kind::Registry),
                name: Some(name),
                version: Some(version),
                ..Self::default()
            },
            ServerSpec::Sidecar {
                address,
                path,
                auth,
            } => {
                let (port, socket) = match address {
                    SidecarAddress::Port(port) => (Some(port), None),
                    SidecarAddress::Socket(socket) => (None, Some(socket)),
                };
                Self {
                    kind: Some(Kind::Sidecar),
                    port,
                    socket,
                    path,
                    auth,
                    ..Self::default()
                }
            }
            ServerSpec::Command {
                command,
                args,
                env,
                cwd,
            } => Self {
                kind: Some(Kind::Command),
                command: Some(command),
                args: list(args),
                env: map(env),
                cwd,
                ..Self::default()
            },
        }
    }
}

impl From<ServerConfig> for ServerFields {
    fn from(config: ServerConfig) -> Self {
        Self {
            timeout: config.timeout,
            idle_timeout: config.idle_timeout,
            credentials: Some(config.credentials).filter(|mode| !mode.is_none()),
            isolation: config.isolation,
            ..Self::from(config.spec)
        }
    }
}
