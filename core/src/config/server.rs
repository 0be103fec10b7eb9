//! What an MCP server is and how it is reached: one model for servers and for plugins over MCP.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::server_fields::ServerFields;
use super::{SecretRef, Setting, TimeSpan};

/// How an MCP server is reached or started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "ServerFields")]
pub enum ServerSpec {
    /// An entry of a catalog: `catalog://HOST/REPOSITORY:TAG/NAME`, or `@sha256:…` for the tag.
    Catalog {
        /// The whole reference.
        reference: String,
    },
    /// A server that runs already: Streamable HTTP at an `http(s)` URL or `unix:///PATH`.
    Remote {
        /// Where it answers. A URL without a path means `/mcp`.
        endpoint: String,
        /// Headers that every request to it carries.
        headers: BTreeMap<String, Setting>,
        /// How the gateway itself authenticates to it.
        auth: Option<RemoteAuth>,
        /// Whom it trusts to be the server, and what it shows of itself, by TLS.
        tls: Option<ServerTls>,
    },
    /// A container that the gateway starts.
    Image {
        /// The image reference, best with a digest.
        image: String,
        /// The port on which it speaks Streamable HTTP; `None`: it speaks stdio.
        port: Option<u16>,
        /// The HTTP path; `None`: `/mcp`.
        path: Option<String>,
        /// Arguments to the image's entry point.
        args: Vec<String>,
        /// The container's environment.
        env: BTreeMap<String, Setting>,
    },
    /// An entry of the community registry, by its `server.json`.
    Registry {
        /// The name in the registry.
        name: String,
        /// The version.
        version: String,
    },
    /// A container of the same pod.
    Sidecar {
        /// Where it listens.
        address: SidecarAddress,
        /// The HTTP path; `None`: `/mcp`.
        path: Option<String>,
        /// How the gateway itself authenticates to it.
        auth: Option<RemoteAuth>,
    },
    /// A child process that speaks stdio.
    Command {
        /// The program, found on `PATH` unless it is a path.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Environment variables beside the few that every child inherits (`PATH`, `HOME`, locale,
        /// proxies, settings of package runners; nothing that is named like a secret).
        env: BTreeMap<String, Setting>,
        /// The working directory; `None`: the gateway's own.
        cwd: Option<PathBuf>,
    },
}

impl ServerSpec {
    /// The `type:` of this form.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Catalog { .. } => "catalog",
            Self::Remote { .. } => "remote",
            Self::Image { .. } => "image",
            Self::Registry { .. } => "registry",
            Self::Sidecar { .. } => "sidecar",
            Self::Command { .. } => "command",
        }
    }
}

/// Where a sidecar listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SidecarAddress {
    /// A port on the loopback interface of the pod.
    Port(u16),
    /// A unix socket.
    Socket(PathBuf),
}

/// TLS towards a server whose certificate no public authority has signed, or that asks for one (mutual TLS). All of
/// it is PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The authorities of which one must have signed the server's certificate; `None`: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretRef>,
    /// The gateway's own certificate, and those that it is signed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<SecretRef>,
    /// The key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretRef>,
}

impl ServerTls {
    /// What there is, by the names of the fields.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretRef)> {
        let fields = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        fields
            .into_iter()
            .filter_map(|(name, secret)| Some((name, secret.as_ref()?)))
    }
}

/// How the gateway itself authenticates to a remote server or plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteAuth {
    /// `Authorization: Bearer` with this secret.
    Bearer(SecretRef),
}

/// Whether requests to a server carry a credential of the user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialsMode {
    /// They carry none.
    #[default]
    None,
    /// They carry one where the user has one.
    Optional,
    /// Without one they are refused.
    Required,
}

impl CredentialsMode {
    /// For serde: whether this is what is meant when the field is left out.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Who shares a connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Everybody with the same credential.
    Shared,
    /// One for each user.
    PerUser,
    /// One for each client session.
    PerSession,
}

/// An MCP server that clients reach through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "ServerFields")]
pub struct ServerConfig {
    /// How it is reached or started.
    pub spec: ServerSpec,
    /// How long a request to it may take; `None`: the data plane's default.
    pub timeout: Option<TimeSpan>,
    /// How long a session or child that not everybody shares is kept unused; `None`: the data plane's default.
    pub idle_timeout: Option<TimeSpan>,
    /// Whether requests carry a credential of the user.
    pub credentials: CredentialsMode,
    /// Who shares a connection; `None`: everybody who cannot be told apart.
    pub isolation: Option<Isolation>,
}

impl From<ServerSpec> for ServerConfig {
    fn from(spec: ServerSpec) -> Self {
        Self {
            spec,
            timeout: None,
            idle_timeout: None,
            credentials: CredentialsMode::None,
            isolation: None,
        }
    }
}

impl<'de> Deserialize<'de> for ServerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ServerFields::deserialize_text_or_map(deserializer)?
            .into_spec()
            .map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ServerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ServerFields::deserialize_text_or_map(deserializer)?
            .into_config()
            .map_err(serde::de::Error::custom)
    }
}
