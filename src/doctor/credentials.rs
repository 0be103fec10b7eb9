//! The credentials of users: where they are kept, how they go along, and whether they are there.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::config::{CredentialsMode, PluginConfig, PluginsConfig, ServerConfig};
use gateway_core::plugin::{AuthProxy, CredentialStorage, ProxyRequest};
use gateway_core::{
    CallContext, Deadline, ErrorKind, PluginError, RequestId, SecretString, ServerName, UserId,
};
use tokio::time::timeout;

use super::{Finding, Readable};

/// How long a storage may take; a keychain may ask its user first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who everybody is on a desktop that asks nobody.
const IMPLICIT_USER: &str = "desktop-user";

/// What goes along to a server.
pub(super) enum Given {
    /// Nothing, since the server wants nothing or nobody knows who will ask.
    Nothing,
    Credential(Vec<(String, SecretString)>),
    /// Nothing could be found out, or nothing is there that must be.
    Lacking(Finding),
}

/// Looks whether credentials can be kept and sent.
pub(super) async fn look(readable: Readable<'_>) -> Vec<Finding> {
    let mut findings = unsent(readable);
    let plugins = &readable.document.config.plugins;
    let Some(plugin) = &plugins.credential_storage else {
        return findings;
    };
    let name = plugin.implementation.as_deref().unwrap_or("none");
    let in_keychain = plugin.settings.as_map().get("key_in_keychain");
    let in_keychain = in_keychain.and_then(|value| value.as_bool()) == Some(true);
    match name {
        "none" | "memory" => {}
        // The key, which is asked for at the first use only.
        "encrypted-file" if in_keychain => {
            findings
                .push(storage(readable, "keychain", &PluginConfig::in_memory("keychain")).await);
        }
        _ => findings.push(storage(readable, name, plugin).await),
    }
    findings
}

/// Servers that want credentials of which none would be sent.
fn unsent(readable: Readable<'_>) -> Vec<Finding> {
    let config = &readable.document.config;
    let proxy = config.plugins.auth_proxy.as_ref();
    if proxy.is_some_and(|proxy| proxy.implementation.as_deref() != Some("none")) {
        return Vec::new();
    }
    let wanting = config.servers.iter();
    let wanting = wanting.filter(|(_, server)| server.credentials != CredentialsMode::None);
    wanting
        .map(|(name, server)| {
            let field = format!("servers.{name}.credentials");
            let mode = match server.credentials {
                CredentialsMode::Required => "required",
                _ => "optional",
            };
            let what = format!(
                "server `{name}` has `credentials: {mode}`, but no plugin sends any: put `credential_storage: {{ provider: in-memory, implementation: encrypted-file }}` and `auth_proxy: {{ provider: in-memory, implementation: bearer }}` below `plugins:`"
            );
            match server.credentials {
                CredentialsMode::Required => Finding::trouble(what, readable.edit("plugins")),
                _ => Finding::note(what),
            }
            .at(readable.place(&field))
        })
        .collect()
}

/// Whether a storage answers.
async fn storage(readable: Readable<'_>, name: &str, plugin: &PluginConfig) -> Finding {
    let config = &readable.document.config;
    let field = "plugins.credential_storage";
    let plugins = PluginsConfig {
        credential_storage: Some(plugin.clone()),
        ..PluginsConfig::default()
    };
    let registry = &readable.patient.permits.registry;
    let at = readable.place(field);
    let built =
        registry.build_credential_storage(&config.tenant, &plugins, &readable.patient.permits);
    let Ok(storage) = built else {
        // Said of the configuration already.
        return Finding::note(format!("the credential storage `{name}` was not tried")).at(at);
    };
    match ask(readable, storage.as_ref()).await {
        Ok(()) => Finding::ok(format!("the credential storage `{name}` answers")).at(at),
        Err(reason) => {
            let (instead, mend) = match name {
                "keychain" => ("; or configure `encrypted-file`", start_keychain()),
                _ => ("", readable.edit(field)),
            };
            let what =
                format!("the credential storage `{name}` is out of order: {reason}{instead}");
            Finding::trouble(what, mend).at(at)
        }
    }
}

async fn ask(readable: Readable<'_>, storage: &dyn CredentialStorage) -> Result<(), String> {
    let context = context(readable);
    let user: UserId = IMPLICIT_USER.parse().map_err(|_| "nobody to ask for")?;
    match timeout(PATIENCE, storage.list(&context, &user)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}

/// What makes a keychain answer.
fn start_keychain() -> String {
    let command = match std::env::consts::OS {
        "macos" => "security unlock-keychain",
        "windows" => "control /name Microsoft.CredentialManager",
        _ => "gnome-keyring-daemon --start --components=secrets",
    };
    command.to_owned()
}

/// What is behind a plugin's failure, which itself says little to its operator.
fn reason(error: &PluginError) -> String {
    error.source().map_or_else(|| error.to_string(), causes)
}

fn context(readable: Readable<'_>) -> CallContext {
    let tenant = readable.document.config.tenant.clone();
    CallContext::new(tenant, Deadline::after(PATIENCE), RequestId::new("doctor"))
}

/// Gives what goes along to servers.
pub(super) struct Purse<'a> {
    readable: Readable<'a>,
    proxy: Option<Arc<dyn AuthProxy>>,
    storage_in_order: bool,
    pub(super) user: UserId,
}

impl<'a> Purse<'a> {
    /// `None` where there is no such user.
    pub(super) fn of(readable: Readable<'a>, storage_in_order: bool) -> Option<Self> {
        let config = &readable.document.config;
        let provider = config.plugins.auth_provider.as_ref();
        let is_implicit = provider
            .is_none_or(|provider| provider.implementation.as_deref() == Some("desktop-implicit"));
        let plugins = PluginsConfig {
            credential_storage: config.plugins.credential_storage.clone(),
            auth_proxy: config.plugins.auth_proxy.clone(),
            audit_sink: vec![PluginConfig::in_memory("stderr")],
            ..PluginsConfig::default()
        };
        let registry = &readable.patient.permits.registry;
        let built = registry
            .build(&config.tenant, &plugins, &readable.patient.permits)
            .ok();
        Some(Self {
            readable,
            storage_in_order,
            // Of other users nobody knows who they will be.
            proxy: built
                .filter(|_| is_implicit && config.plugins.auth_proxy.is_some())
                .map(|built| built.auth_proxy),
            user: IMPLICIT_USER.parse().ok()?,
        })
    }

    pub(super) async fn give(&self, name: &ServerName, server: &ServerConfig) -> Given {
        let Some(proxy) = &self.proxy else {
            return Given::Nothing;
        };
        if server.credentials == CredentialsMode::None {
            return Given::Nothing;
        }
        let request = ProxyRequest {
            user_id: &self.user,
            server: name,
            target_url: "",
            method: "POST",
            headers: &[],
            body: "",
        };
        let context = context(self.readable);
        let asked = timeout(PATIENCE, proxy.inject_credentials(&context, request)).await;
        let error = match asked {
            Ok(Ok(injection)) => return Given::Credential(injection.headers),
            Ok(Err(error)) => error,
            Err(_) => return self.untried(name, "the credential plugin did not answer in time"),
        };
        match error.kind() {
            ErrorKind::NotFound if server.credentials == CredentialsMode::Optional => {
                Given::Nothing
            }
            ErrorKind::NotFound => {
                let what = format!(
                    "server `{name}` was not tried: nobody has stored the credential that it wants"
                );
                Given::Lacking(Finding::trouble(what, self.set(name)).at(self.place(name)))
            }
            _ => self.untried(name, &reason(&error)),
        }
    }

    fn untried(&self, name: &ServerName, reason: &str) -> Given {
        let what = format!("server `{name}` was not tried: {reason}");
        let finding = match self.storage_in_order {
            true => Finding::trouble(what, self.set(name)),
            false => Finding::note(what),
        };
        Given::Lacking(finding.at(self.place(name)))
    }

    fn place(&self, name: &ServerName) -> String {
        self.readable.place(&format!("servers.{name}.credentials"))
    }

    /// The command that stores what a server wants.
    pub(super) fn set(&self, name: &ServerName) -> String {
        set(self.readable, name)
    }
}

/// The command that stores a credential for a server.
fn set(readable: Readable<'_>, name: &ServerName) -> String {
    let flags = readable.patient.flags();
    format!("mcp-gateway credential set {name}{flags}")
}

/// An error with what it comes from, each said once.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text.push_str(": ");
            text.push_str(&further);
        }
        cause = error.source();
    }
    text
}
