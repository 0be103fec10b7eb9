//! Authentication by an MCP server: `validate_credential`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_core::plugin::{AuthProvider, Authentication};
use gateway_core::{
    CallContext, Credential, ErrorKind, ExposeSecret as _, PluginError, Principal, TenantId, UserId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Refusal};
use super::server::{PluginServer, Repeat};

const TOOL: &str = "validate_credential";

/// Asks a server who a caller is.
#[derive(Debug)]
pub(crate) struct AuthProviderServer(PluginServer);

#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(rename = "type")]
    credential_type: &'a str,
    value: &'a str,
}

/// A principal without `user_id` is none: an answer that lacks it cannot be read.
#[derive(Deserialize)]
pub(super) struct Answered {
    user_id: UserId,
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    groups: Option<Vec<String>>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

impl AuthProviderServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[TOOL];

    pub(crate) fn new(server: PluginServer) -> Self {
        Self(server)
    }
}

impl Answered {
    pub(super) fn principal(self) -> Result<Principal, String> {
        let tenant = self.tenant_id.filter(|tenant| !tenant.is_empty());
        let tenant_id = tenant.map(TenantId::try_from).transpose();
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let metadata = self.metadata.unwrap_or_default().into_iter();
        Ok(Principal {
            user_id: self.user_id,
            tenant_id: tenant_id.map_err(|_| "its tenant_id is none".to_owned())?,
            roles: self.roles.unwrap_or_default(),
            groups: self.groups.unwrap_or_default(),
            metadata: metadata.map(|(name, value)| (name, text(value))).collect(),
            expires_at: self.expires_at,
        })
    }
}

#[async_trait]
impl AuthProvider for AuthProviderServer {
    async fn validate_credential(
        &self,
        context: &CallContext,
        credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        let arguments = Arguments {
            credential_type: &credential.credential_type,
            value: credential.value.expose_secret(),
        };
        let secrets = [credential.value.expose_secret()];
        let called = self
            .0
            .call_with(context, TOOL, &arguments, Repeat::Safe, &secrets);
        match called.await? {
            Answer::Given(given) => {
                let read = given.read::<Answered>().and_then(Answered::principal);
                let principal = read.map_err(|why| self.0.unreadable(why))?;
                Ok(Authentication::Accepted(principal))
            }
            // A tool that says no more than that it failed has refused the credential.
            Answer::Failed(Refusal {
                kind: None | Some(ErrorKind::Unauthenticated | ErrorKind::PermissionDenied),
                reason,
            }) => Ok(Authentication::Rejected { reason }),
            Answer::Failed(refusal) => Err(refusal.into_error(self.0.plugin())),
        }
    }
}
