//! Credentials kept by an MCP server: `store_credential`, `retrieve_credential`, `delete_credential` and
//! `list_credentials`.

use async_trait::async_trait;
use gateway_core::plugin::CredentialStorage;
use gateway_core::{
    CallContext, CredentialEntry, CredentialKey, ErrorKind, ExposeSecret as _, PluginError,
    SecretString, UserId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Given};
use super::server::{PluginServer, Repeat};

const STORE: &str = "store_credential";
const RETRIEVE: &str = "retrieve_credential";
const DELETE: &str = "delete_credential";
const LIST: &str = "list_credentials";

/// Has a server keep credentials.
#[derive(Debug)]
pub(crate) struct CredentialStorageServer(PluginServer);

#[derive(Serialize)]
struct Arguments<'a> {
    user_id: &'a str,
    tenant_id: &'a str,
    mcp_server: &'a str,
    credential_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

#[derive(Serialize)]
struct Whose<'a> {
    user_id: &'a str,
    tenant_id: &'a str,
}

/// There is none where `value` is null; an answer without it cannot be read.
#[derive(Deserialize)]
pub(super) struct Retrieved {
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    server: String,
    #[serde(alias = "credential_type")]
    cred_type: String,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

impl CredentialStorageServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[STORE, RETRIEVE, DELETE, LIST];

    pub(crate) fn new(server: PluginServer) -> Self {
        Self(server)
    }

    /// What a tool gave; `None`: it says that there is no such thing.
    async fn ask(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &(impl Serialize + Sync),
        secrets: &[&str],
    ) -> Result<Option<Given>, PluginError> {
        let called = self
            .0
            .call_with(context, tool, arguments, Repeat::Safe, secrets);
        match called.await? {
            Answer::Given(given) => Ok(Some(given)),
            Answer::Failed(refusal) if refusal.kind == Some(ErrorKind::NotFound) => Ok(None),
            Answer::Failed(refusal) => Err(refusal.into_error(self.0.plugin())),
        }
    }
}

fn arguments<'a>(
    context: &'a CallContext,
    key: &'a CredentialKey,
    value: Option<&'a str>,
) -> Arguments<'a> {
    Arguments {
        user_id: key.user_id.as_str(),
        tenant_id: context.tenant.as_str(),
        mcp_server: &key.server,
        credential_type: &key.credential_type,
        value,
    }
}

#[async_trait]
impl CredentialStorage for CredentialStorageServer {
    async fn store(
        &self,
        context: &CallContext,
        key: &CredentialKey,
        value: SecretString,
    ) -> Result<(), PluginError> {
        let arguments = arguments(context, key, Some(value.expose_secret()));
        let secrets = [value.expose_secret()];
        let stored = self.ask(context, STORE, &arguments, &secrets).await?;
        let nowhere = || {
            let text = format!("the plugin {} stores nothing", self.0.plugin());
            PluginError::new(ErrorKind::NotFound, text)
        };
        stored.map(drop).ok_or_else(nowhere)
    }

    async fn retrieve(
        &self,
        context: &CallContext,
        key: &CredentialKey,
    ) -> Result<Option<SecretString>, PluginError> {
        let arguments = arguments(context, key, None);
        let Some(given) = self.ask(context, RETRIEVE, &arguments, &[]).await? else {
            return Ok(None);
        };
        let read = given.read::<Retrieved>();
        let retrieved = read.map_err(|why| self.0.unreadable(why))?;
        Ok(retrieved.value.map(SecretString::from))
    }

    async fn delete(&self, context: &CallContext, key: &CredentialKey) -> Result<(), PluginError> {
        let arguments = arguments(context, key, None);
        self.ask(context, DELETE, &arguments, &[]).await.map(drop)
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<CredentialEntry>, PluginError> {
        let whose = Whose {
            user_id: user.as_str(),
            tenant_id: context.tenant.as_str(),
        };
        let Some(given) = self.ask(context, LIST, &whose, &[]).await? else {
            return Ok(Vec::new());
        };
        let read = given.read_within::<Vec<Listed>>("credentials");
        let listed = read.map_err(|why| self.0.unreadable(why))?.into_iter();
        let mut entries: Vec<_> = listed.map(CredentialEntry::from).collect();
        entries
            .sort_by(|a, b| (&a.server, &a.credential_type).cmp(&(&b.server, &b.credential_type)));
        Ok(entries)
    }
}

impl From<Listed> for CredentialEntry {
    fn from(listed: Listed) -> Self {
        Self {
            server: listed.server,
            credential_type: listed.cred_type,
            created_at: listed.created_at,
            expires_at: listed.expires_at,
        }
    }
}
