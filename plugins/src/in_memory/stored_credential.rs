//! Auth proxies `bearer` and `header`: the caller's stored credential, as the server takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::config::{Settings, Violation, check_header_name};
use gateway_core::plugin::{AuthProxy, CredentialStorage, Injection, ProxyRequest};
use gateway_core::{
    CallContext, CredentialKey, ErrorKind, ExposeSecret, PluginError, SecretString, ServerName,
};
use serde::Deserialize;

use crate::settings;

/// How the URL of a child process begins.
const CHILD: &str = "stdio:";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BearerSettings {
    #[serde(default)]
    variables: BTreeMap<ServerName, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderSettings {
    header: String,
    credential_type: String,
    #[serde(default)]
    variables: BTreeMap<ServerName, String>,
}

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// A header of its own.
    Header(String),
}

/// What the settings ask for.
#[derive(Debug)]
pub(crate) struct Injecting {
    form: Form,
    credential_type: String,
    /// The environment variables that child processes take their credential from.
    variables: BTreeMap<ServerName, String>,
}

impl Injecting {
    /// Reads the settings of `bearer`.
    pub(crate) fn bearer(settings: &Settings) -> Result<Self, Vec<Violation>> {
        let BearerSettings { variables } = settings::read(settings)?;
        Self {
            form: Form::Bearer,
            credential_type: "bearer".to_owned(),
            variables,
        }
        .checked()
    }

    /// Reads the settings of `header`.
    pub(crate) fn header(settings: &Settings) -> Result<Self, Vec<Violation>> {
        let settings: HeaderSettings = settings::read(settings)?;
        Self {
            form: Form::Header(settings.header),
            credential_type: settings.credential_type,
            variables: settings.variables,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        if let Form::Header(name) = &self.form
            && let Err(reason) = check_header_name(name)
        {
            violations.push(Violation::new("header", reason));
        }
        if self.credential_type.is_empty() {
            violations.push(Violation::new("credential_type", "is empty"));
        }
        for (server, variable) in &self.variables {
            if !is_variable(variable) {
                let reason = format!("`{variable}` is no name of an environment variable");
                violations.push(Violation::new(format!("variables.{server}"), reason));
            }
        }
        match violations.is_empty() {
            true => Ok(self),
            false => Err(violations),
        }
    }

    /// The name under which a server gets its value, and whether that is an environment variable.
    fn target(&self, request: &ProxyRequest<'_>) -> Result<(String, bool), PluginError> {
        if !request.target_url.starts_with(CHILD) {
            return Ok(match &self.form {
                Form::Bearer => ("authorization".to_owned(), false),
                Form::Header(name) => (name.to_ascii_lowercase(), false),
            });
        }
        match (self.variables.get(request.server), &self.form) {
            (Some(variable), _) => Ok((variable.clone(), true)),
            (None, Form::Header(name)) => {
                Ok((name.to_ascii_uppercase().replace(['-', '.'], "_"), true))
            }
            (None, Form::Bearer) => {
                let message = format!(
                    "server `{0}` is a child process, which takes its credential from an \
                     environment variable: name it at `plugins.auth_proxy.settings.variables.{0}`",
                    request.server
                );
                Err(PluginError::new(ErrorKind::Unsupported, message))
            }
        }
    }
}

/// Whether a variable can have this name.
fn is_variable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Puts the caller's stored credential into requests.
pub(crate) struct StoredCredential {
    injecting: Injecting,
    storage: Arc<dyn CredentialStorage>,
}

impl StoredCredential {
    pub(crate) fn new(injecting: Injecting, storage: Arc<dyn CredentialStorage>) -> Self {
        Self { injecting, storage }
    }
}

#[async_trait]
impl AuthProxy for StoredCredential {
    async fn inject_credentials(
        &self,
        context: &CallContext,
        request: ProxyRequest<'_>,
    ) -> Result<Injection, PluginError> {
        let (name, is_variable) = self.injecting.target(&request)?;
        let key = CredentialKey {
            user_id: request.user_id.clone(),
            server: request.server.to_string(),
            credential_type: self.injecting.credential_type.clone(),
        };
        let Some(value) = self.storage.retrieve(context, &key).await? else {
            let message = format!(
                "`{}` has no credential of type `{}` for server `{}`",
                key.user_id, key.credential_type, key.server
            );
            return Err(PluginError::new(ErrorKind::NotFound, message));
        };
        let value = match self.injecting.form {
            Form::Bearer if !is_variable => {
                SecretString::from(format!("Bearer {}", value.expose_secret()))
            }
            _ => value,
        };
        Ok(Injection {
            headers: vec![(name, value)],
            body: None,
        })
    }
}

#[cfg(test)]
mod tests;
