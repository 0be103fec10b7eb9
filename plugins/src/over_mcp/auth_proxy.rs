//! Credential injection by an MCP server: `inject_credentials`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_core::plugin::{AuthProxy, Injection, ProxyRequest};
use gateway_core::{CallContext, PluginError, SecretString};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::server::{PluginServer, Repeat};

const TOOL: &str = "inject_credentials";

/// Has a server say what an outgoing request needs.
#[derive(Debug)]
pub(crate) struct AuthProxyServer(PluginServer);

#[derive(Serialize)]
struct Arguments<'a> {
    user_id: &'a str,
    tenant_id: &'a str,
    mcp_server: &'a str,
    target_url: &'a str,
    method: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    body: &'a str,
}

/// Without `headers` it cannot be read: nothing to add is an empty object.
#[derive(Deserialize)]
pub(super) struct Injected {
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

impl AuthProxyServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[TOOL];

    pub(crate) fn new(server: PluginServer) -> Self {
        Self(server)
    }
}

#[async_trait]
impl AuthProxy for AuthProxyServer {
    async fn inject_credentials(
        &self,
        context: &CallContext,
        request: ProxyRequest<'_>,
    ) -> Result<Injection, PluginError> {
        let headers = request.headers.iter();
        let arguments = Arguments {
            user_id: request.user_id.as_str(),
            tenant_id: context.tenant.as_str(),
            mcp_server: request.server.as_str(),
            target_url: request.target_url,
            method: request.method,
            headers: headers.map(|(name, value)| (&**name, &**value)).collect(),
            body: request.body,
        };
        let called = self.0.call(context, TOOL, &arguments, Repeat::Safe);
        let given = match called.await? {
            Answer::Given(given) => given,
            Answer::Failed(refusal) => return Err(refusal.into_error(self.0.plugin())),
        };
        let read = given.read::<Injected>();
        let injected = read.map_err(|why| self.0.unreadable(why))?;
        let headers = injected.headers.into_iter();
        // A plugin that gives the body back as it was has not changed it.
        let body = injected.body.filter(|body| body != request.body);
        Ok(Injection {
            headers: headers
                .map(|(name, value)| (name, SecretString::from(value)))
                .collect(),
            body: body.filter(|body| !body.is_empty()),
        })
    }
}
