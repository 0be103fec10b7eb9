//! Servers and how they are reached.

use std::collections::BTreeMap;
use std::path::Path;

use gateway_core::config::{
    CredentialsMode, Isolation, RemoteAuth, SecretRef, ServerConfig, ServerSpec, ServerTls,
    Setting, SidecarAddress,
};

use super::InvalidField;
use super::values::{from_duration, known, port, required, to_duration};
use crate::config::v1::{
    self as pb, remote_auth, secret_ref, server_spec, setting, sidecar_server,
};

impl From<&ServerConfig> for pb::ServerConfig {
    fn from(server: &ServerConfig) -> Self {
        let ServerConfig {
            spec,
            timeout,
            idle_timeout,
            credentials,
            isolation,
        } = server;
        let credentials = match credentials {
            CredentialsMode::None => pb::CredentialsMode::None,
            CredentialsMode::Optional => pb::CredentialsMode::Optional,
            CredentialsMode::Required => pb::CredentialsMode::Required,
        };
        let isolation = match isolation {
            None => pb::Isolation::Unspecified,
            Some(Isolation::Shared) => pb::Isolation::Shared,
            Some(Isolation::PerUser) => pb::Isolation::PerUser,
            Some(Isolation::PerSession) => pb::Isolation::PerSession,
        };
        Self {
            spec: Some(spec.into()),
            timeout: timeout.map(to_duration),
            idle_timeout: idle_timeout.map(to_duration),
            credentials: credentials.into(),
            isolation: isolation.into(),
        }
    }
}

impl TryFrom<pb::ServerConfig> for ServerConfig {
    type Error = InvalidField;

    fn try_from(message: pb::ServerConfig) -> Result<Self, InvalidField> {
        let credentials = match known(message.credentials, "credentials")? {
            pb::CredentialsMode::Unspecified | pb::CredentialsMode::None => CredentialsMode::None,
            pb::CredentialsMode::Optional => CredentialsMode::Optional,
            pb::CredentialsMode::Required => CredentialsMode::Required,
        };
        let isolation = match known(message.isolation, "isolation")? {
            pb::Isolation::Unspecified => None,
            pb::Isolation::Shared => Some(Isolation::Shared),
            pb::Isolation::PerUser => Some(Isolation::PerUser),
            pb::Isolation::PerSession => Some(Isolation::PerSession),
        };
        // The form's fields stand beside these in YAML, so the path has no step for it.
        let spec = ServerSpec::try_from(message.spec.unwrap_or_default())?;
        Ok(Self {
            spec,
            timeout: from_duration(message.timeout, "timeout")?,
            idle_timeout: from_duration(message.idle_timeout, "idle_timeout")?,
            credentials,
            isolation,
        })
    }
}

impl From<&ServerSpec> for pb::ServerSpec {
    fn from(spec: &ServerSpec) -> Self {
        use server_spec::Kind;
        let kind = match spec.clone() {
            ServerSpec::Catalog { reference } => {
                Kind::Catalog(pb::CatalogServer { r#ref: reference })
            }
            ServerSpec::Remote {
                endpoint,
                headers,
                auth,
                tls,
            } => Kind::Remote(pb::RemoteServer {
                endpoint,
                headers: to_settings(headers),
                auth: auth.map(to_auth),
                tls: tls.map(|ServerTls { ca, cert, key }| pb::ServerTls {
                    ca: ca.map(Into::into),
                    cert: cert.map(Into::into),
                    key: key.map(Into::into),
                }),
            }),
            ServerSpec::Image {
                image,
                port,
                path,
                args,
                env,
            } => Kind::Image(pb::ImageServer {
                image,
                port: port.map(u32::from),
                path,
                args,
                env: to_settings(env),
            }),
            ServerSpec::Registry { name, version } => {
                Kind::Registry(pb::RegistryServer { name, version })
            }
            ServerSpec::Sidecar {
                address,
                path,
                auth,
            } => Kind::Sidecar(pb::SidecarServer {
                auth: auth.map(to_auth),
                address: Some(match address {
                    SidecarAddress::Port(port) => sidecar_server::Address::Port(port.into()),
                    SidecarAddress::Socket(socket) => {
                        sidecar_server::Address::Socket(to_text(&socket))
                    }
                }),
                path,
            }),
            ServerSpec::Command {
                command,
                args,
                env,
                cwd,
            } => Kind::Command(pb::CommandServer {
                command,
                args,
                env: to_settings(env),
                cwd: cwd.as_deref().map(to_text),
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::ServerSpec> for ServerSpec {
    type Error = InvalidField;

    fn try_from(message: pb::ServerSpec) -> Result<Self, InvalidField> {
        use server_spec::Kind;
        Ok(match required(message.kind, "type")? {
            Kind::Catalog(pb::CatalogServer { r#ref }) => Self::Catalog { reference: r#ref },
            Kind::Remote(server) => Self::Remote {
                endpoint: server.endpoint,
                headers: from_settings(server.headers, "headers")?,
                auth: from_auth(server.auth)?,
                tls: server.tls.map(from_tls).transpose()?,
            },
            Kind::Image(server) => Self::Image {
                image: server.image,
                port: server.port.map(|number| port(number, "port")).transpose()?,
                path: server.path,
                args: server.args,
                env: from_settings(server.env, "env")?,
            },
            Kind::Registry(pb::RegistryServer { name, version }) => {
                Self::Registry { name, version }
            }
            Kind::Sidecar(pb::SidecarServer {
                address,
                path,
                auth,
            }) => Self::Sidecar {
                auth: from_auth(auth)?,
                address: match required(address, "port")? {
                    sidecar_server::Address::Port(number) => {
                        SidecarAddress::Port(port(number, "port")?)
                    }
                    sidecar_server::Address::Socket(socket) => {
                        SidecarAddress::Socket(socket.into())
                    }
                },
                path,
            },
            Kind::Command(server) => Self::Command {
                command: server.command,
                args: server.args,
                env: from_settings(server.env, "env")?,
                cwd: server.cwd.map(Into::into),
            },
        })
    }
}

fn to_auth(RemoteAuth::Bearer(secret): RemoteAuth) -> pb::RemoteAuth {
    pb::RemoteAuth {
        method: Some(remote_auth::Method::Bearer(secret.into())),
    }
}

fn from_tls(tls: pb::ServerTls) -> Result<ServerTls, InvalidField> {
    let read = |secret: Option<pb::SecretRef>, field: &str| {
        let read = secret.map(SecretRef::try_from).transpose();
        read.map_err(|error| error.within(&format!("tls.{field}")))
    };
    Ok(ServerTls {
        ca: read(tls.ca, "ca")?,
        cert: read(tls.cert, "cert")?,
        key: read(tls.key, "key")?,
    })
}

fn from_auth(auth: Option<pb::RemoteAuth>) -> Result<Option<RemoteAuth>, InvalidField> {
    let Some(auth) = auth else { return Ok(None) };
    let remote_auth::Method::Bearer(secret) = required(auth.method, "auth")?;
    match SecretRef::try_from(secret) {
        Ok(secret) => Ok(Some(RemoteAuth::Bearer(secret))),
        Err(error) => Err(error.within("auth.bearer")),
    }
}

fn to_settings(settings: BTreeMap<String, Setting>) -> BTreeMap<String, pb::Setting> {
    let entries = settings.into_iter();
    entries.map(|(name, value)| (name, value.into())).collect()
}

fn from_settings(
    settings: BTreeMap<String, pb::Setting>,
    path: &str,
) -> Result<BTreeMap<String, Setting>, InvalidField> {
    let mut values = BTreeMap::new();
    for (name, message) in settings {
        let value =
            Setting::try_from(message).map_err(|error| error.within(&format!("{path}.{name}")))?;
        values.insert(name, value);
    }
    Ok(values)
}

impl From<Setting> for pb::Setting {
    fn from(setting: Setting) -> Self {
        let value = match setting {
            Setting::Literal(text) => setting::Value::Literal(text),
            Setting::Secret(secret) => setting::Value::Secret(secret.into()),
        };
        Self { value: Some(value) }
    }
}

impl TryFrom<pb::Setting> for Setting {
    type Error = InvalidField;

    fn try_from(message: pb::Setting) -> Result<Self, InvalidField> {
        Ok(match required(message.value, "")? {
            setting::Value::Literal(text) => Self::Literal(text),
            setting::Value::Secret(secret) => Self::Secret(secret.try_into()?),
        })
    }
}

impl From<SecretRef> for pb::SecretRef {
    fn from(secret: SecretRef) -> Self {
        let source = match secret {
            SecretRef::FromEnv(name) => secret_ref::Source::FromEnv(name),
            SecretRef::FromFile(path) => secret_ref::Source::FromFile(to_text(&path)),
            SecretRef::FromCredential(kind) => secret_ref::Source::FromCredential(kind),
        };
        Self {
            source: Some(source),
        }
    }
}

impl TryFrom<pb::SecretRef> for SecretRef {
    type Error = InvalidField;

    fn try_from(message: pb::SecretRef) -> Result<Self, InvalidField> {
        Ok(match required(message.source, "")? {
            secret_ref::Source::FromEnv(name) => Self::FromEnv(name),
            secret_ref::Source::FromFile(path) => Self::FromFile(path.into()),
            secret_ref::Source::FromCredential(kind) => Self::FromCredential(kind),
        })
    }
}

/// A path as text. Configured paths were text before they were paths, so nothing is lost.
fn to_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
