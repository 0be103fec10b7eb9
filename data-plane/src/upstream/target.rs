//! Where a server is and how it is reached: a server's configuration with its secrets resolved.

mod http;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::{
    CredentialsMode, Isolation, ServerConfig, ServerSpec, Setting, Violation,
};
use gateway_core::{Deadline, ExposeSecret as _, SecretString, ServerName, TenantId};
use gateway_mcp::client::{ChildCommand, ClientError, ClientHello, HttpEndpoint, LastWords, Peer};
use gateway_mcp::version::{Era, Version};
use tokio_util::task::TaskTracker;

use super::authorization::{AuthorizationContext, InvalidCredential, UserCredential};
use super::environment;
use crate::config::Outbound;

pub use trial::NotUsable;

/// What the gateway says of itself to servers, as JSON.
pub(super) const CLIENT_INFO: &str = concat!(
    r#"{"name":"mcp-gateway","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// How long a server may take to introduce itself. A command may have to be downloaded first.
const HTTP_PATIENCE: Duration = Duration::from_secs(15);
const COMMAND_PATIENCE: Duration = Duration::from_secs(180);

/// Which programs the configuration may start. It is a setting of the process: no configuration
/// that is pushed can extend it.
#[derive(Debug, Clone)]
pub enum Commands {
    /// Every program: the configuration is the user's own.
    Any,
    /// These, by the exact text of `command`.
    Only(Vec<String>),
}

/// A server that can be connected to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) name: ServerName,
    pub(super) config: ServerConfig,
    /// The endpoint, or `stdio:NAME`.
    pub(super) url: String,
    transport: Transport,
    /// What secrets resolved to, to notice a change. Never printed.
    secrets: SecretValues,
}

pub(super) enum Transport {
    Http(Arc<HttpEndpoint>),
    Command(ChildCommand),
}

/// How a server is reached, be it one of the configuration's or a plugin's.
pub(crate) struct Way {
    /// The endpoint, or `stdio:LABEL`.
    url: String,
    pub(super) transport: Transport,
    /// What secrets resolved to.
    values: Resolved,
}

impl Way {
    /// Checks and resolves what a field of the configuration says of a server. Touches no network and starts
    /// nothing.
    pub(crate) fn of(
        outbound: &Outbound,
        tenant: &TenantId,
        (path, label): (&str, &str),
        spec: &ServerSpec,
    ) -> Result<Self, Vec<Violation>> {
        let (url, transport, values) = match spec {
            ServerSpec::Remote {
                endpoint,
                headers,
                auth,
                tls,
            } => {
                let spec = http::Remote {
                    endpoint,
                    headers,
                    auth: auth.as_ref(),
                    tls: tls.as_ref(),
                };
                let (endpoint, values) = http::remote(outbound, tenant, path, &spec)?;
                (
                    endpoint.name().to_string(),
                    Transport::Http(Arc::new(endpoint)),
                    values,
                )
            }
            ServerSpec::Sidecar {
                address,
                path: below,
                auth,
            } => {
                let at = (address, below.as_deref());
                let (endpoint, values) = http::sidecar(outbound, tenant, path, at, auth.as_ref())?;
                let url = endpoint.name().to_string();
                (url, Transport::Http(Arc::new(endpoint)), values)
            }
            ServerSpec::Command {
                command,
                args,
                env,
                cwd,
            } => {
                check_command(&outbound.commands, path, command, env)?;
                let settings = env
                    .iter()
                    .map(|(key, value)| (key.clone(), value))
                    .collect();
                let values = resolve(outbound, tenant, &format!("{path}.env"), settings)?;
                let mut child = ChildCommand::new(label, command);
                child.args.clone_from(args);
                child.clear_env = true;
                child.env = environment::inherited();
                child.env.extend(values.iter().cloned());
                child.cwd.clone_from(cwd);
                child.max_line_bytes = outbound.max_message_bytes;
                (format!("stdio:{label}"), Transport::Command(child), values)
            }
            other => {
                return Err(vec![Violation::new(
                    format!("{path}.type"),
                    not_built(other),
                )]);
            }
        };
        Ok(Self {
            url,
            transport,
            values,
        })
    }
}

/// Values by their names, secrets among them.
type Resolved = Vec<(String, String)>;

#[derive(PartialEq, Eq)]
struct SecretValues(Resolved);

impl Target {
    /// Checks and resolves one server. Touches no network and starts nothing.
    pub(crate) fn of(
        outbound: &Outbound,
        tenant: &TenantId,
        name: &ServerName,
        config: &ServerConfig,
    ) -> Result<Target, Vec<Violation>> {
        let path = format!("servers.{name}");
        let way = Way::of(outbound, tenant, (&path, name.as_str()), &config.spec)?;
        let Way {
            url,
            transport,
            values,
        } = way;
        Ok(Target {
            name: name.clone(),
            config: config.clone(),
            url,
            transport,
            secrets: SecretValues(values),
        })
    }

    /// The same target, whose children end within these tasks.
    pub(super) fn within(mut self, tasks: &TaskTracker) -> Self {
        if let Transport::Command(command) = &mut self.transport {
            command.tasks = tasks.clone();
        }
        self
    }

    /// The same target, whose children's last words are kept and not logged.
    fn heard_by(mut self, last_words: &LastWords) -> Self {
        if let Transport::Command(command) = &mut self.transport {
            command.last_words = Some(last_words.clone());
        }
        self
    }

    pub(crate) fn name(&self) -> &ServerName {
        &self.name
    }

    /// Whether it is reached over HTTP.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.transport, Transport::Http(_))
    }

    /// Whether a connection made for `self` serves `other` as well.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.config == other.config && self.secrets == other.secrets
    }

    /// Whether what the server says may differ from user to user, so that none of it is for all.
    pub(super) fn tells_users_apart(&self) -> bool {
        self.config.credentials != CredentialsMode::None
            || self.config.isolation == Some(Isolation::PerUser)
    }

    /// What a credential plugin gave for a user, as the server takes it.
    pub(super) fn credential(
        &self,
        given: Vec<(String, SecretString)>,
    ) -> Result<UserCredential, InvalidCredential> {
        match &self.transport {
            Transport::Http(_) => UserCredential::as_headers(given),
            Transport::Command(_) => UserCredential::as_variables(given),
        }
    }

    /// Connects or starts it with these rights, and learns its era unless that is known.
    pub(super) async fn connect(
        &self,
        context: &AuthorizationContext,
        era: Option<Era>,
        version: Version,
        capabilities: &str,
        deadline: Deadline,
    ) -> Result<Peer, ClientError> {
        let legacy = if version.era() == Era::Legacy {
            version
        } else {
            Version::LATEST_LEGACY
        };
        let hello = ClientHello {
            name: "mcp-gateway".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: capabilities.to_owned(),
            legacy_version: legacy,
        };
        match &self.transport {
            Transport::Http(endpoint) => {
                let endpoint = match context.credential() {
                    Some(credential) => Arc::new(endpoint.with_further(credential.headers())),
                    None => Arc::clone(endpoint),
                };
                Peer::connect_http(endpoint, hello, era, deadline).await
            }
            Transport::Command(command) => {
                let mut command = command.clone();
                if let Some(credential) = context.credential() {
                    command.env.extend(credential.variables());
                }
                Peer::spawn(command, hello, era, deadline).await
            }
        }
    }

    /// How long a first connection may take.
    pub(super) fn patience(&self) -> Duration {
        match self.transport {
            Transport::Http(_) => HTTP_PATIENCE,
            Transport::Command(_) => COMMAND_PATIENCE,
        }
    }
}

/// Whether a program may be started, and with these variables: the ones that decide which code it runs
/// would make another program of it.
fn check_command(
    commands: &Commands,
    path: &str,
    command: &str,
    env: &BTreeMap<String, Setting>,
) -> Result<(), Vec<Violation>> {
    let Commands::Only(allowed) = commands else {
        return Ok(());
    };
    if !allowed.iter().any(|program| program == command) {
        return Err(vec![Violation::new(
            format!("{path}.command"),
            format!(
                "this data plane does not start `{command}`: its operator may allow it with --allow-command"
            ),
        )]);
    }
    let deciding = env
        .keys()
        .filter(|name| environment::decides_what_runs(name));
    let violations = deciding.map(|name| {
        Violation::new(
            format!("{path}.env.{name}"),
            format!(
                "decides which code runs: --allow-command lets this data plane start `{command}` as it is"
            ),
        )
    });
    let violations: Vec<_> = violations.collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations)
    }
}

fn resolve(
    outbound: &Outbound,
    tenant: &TenantId,
    path: &str,
    settings: Vec<(String, &Setting)>,
) -> Result<Resolved, Vec<Violation>> {
    let mut values = Vec::new();
    let mut violations = Vec::new();
    for (key, setting) in settings {
        match outbound
            .secrets
            .resolve(tenant, &format!("{path}.{key}"), setting)
        {
            Ok(value) => values.push((key, value.expose_secret().to_owned())),
            Err(violation) => violations.push(violation),
        }
    }
    if violations.is_empty() {
        Ok(values)
    } else {
        Err(violations)
    }
}

fn not_built(spec: &ServerSpec) -> &'static str {
    match spec {
        ServerSpec::Image { .. } => {
            "a server in a container needs a container engine, which this version does not drive: start it yourself and use type `remote`, or use type `command`"
        }
        ServerSpec::Catalog { .. } => {
            "this version does not read catalogs: use type `remote` or `command`"
        }
        ServerSpec::Registry { .. } => {
            "this version does not read the community registry: use type `remote` or `command`"
        }
        ServerSpec::Remote { .. } | ServerSpec::Sidecar { .. } | ServerSpec::Command { .. } => "",
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "Http",
            Self::Command(_) => "Command",
        })
    }
}

impl std::fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValues")
    }
}

#[cfg(test)]
mod tests;
