//! `inject_credentials`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::{AuthProxy, ProxyRequest};
use gateway_core::{ExposeSecret as _, ServerName, TenantId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Object, Refused, Tool, Tools, object, schema};

const TOOL: &str = "inject_credentials";

pub(super) struct Serve(pub(super) Arc<dyn AuthProxy>);

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// On whose behalf the request is made.
    #[schemars(with = "String")]
    user_id: UserId,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
    /// The server that it goes to.
    #[schemars(with = "String")]
    mcp_server: ServerName,
    /// Where it goes; `stdio:NAME` for a child process.
    target_url: String,
    /// The HTTP method.
    method: String,
    /// The headers so far.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The JSON-RPC message.
    #[serde(default)]
    body: String,
}

#[derive(Serialize, JsonSchema)]
struct Injected {
    /// Headers to set, in the place of those of the same name; for a child process, variables.
    headers: BTreeMap<String, String>,
    /// What to send in the place of the body; left out, the body stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![Tool {
            name: TOOL,
            description: "Says what a request needs so that the server accepts it. Without a credential it is \
                          answered with isError and the kind not_found.",
            input_schema: schema::<Arguments>(),
            output_schema: Some(schema::<Injected>()),
            is_read_only: true,
        }]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        if name != TOOL {
            return Ok(None);
        }
        let arguments: Arguments = call.read()?;
        let headers: Vec<_> = arguments.headers.into_iter().collect();
        let request = ProxyRequest {
            user_id: &arguments.user_id,
            server: &arguments.mcp_server,
            target_url: &arguments.target_url,
            method: &arguments.method,
            headers: &headers,
            body: &arguments.body,
        };
        let context = call.context(arguments.tenant_id);
        let injection = self.0.inject_credentials(&context, request).await?;
        let headers = injection.headers.into_iter();
        let headers = headers.map(|(name, value)| (name, value.expose_secret().to_owned()));
        let injected = Injected {
            headers: headers.collect(),
            body: injection.body,
        };
        object(&injected).map(Some)
    }
}
