//! `validate_credential`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::{AuthProvider, Authentication};
use gateway_core::{Credential, ErrorKind, SecretString};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Object, Refused, Tool, Tools, object, schema};

const TOOL: &str = "validate_credential";

pub(super) struct Serve(pub(super) Arc<dyn AuthProvider>);

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// What kind of credential it is, such as `api_key`; `none` where the client presents nothing.
    #[serde(rename = "type")]
    credential_type: String,
    /// The credential itself.
    value: String,
}

/// Whose the credential is.
#[derive(Serialize, JsonSchema)]
struct Principal {
    user_id: String,
    /// The tenant that the user belongs to, where the provider knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    roles: Vec<String>,
    groups: Vec<String>,
    metadata: BTreeMap<String, String>,
    /// Until when this holds, as RFC 3339 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![Tool {
            name: TOOL,
            description: "Says whose a credential is. One that is not good is answered with isError.",
            input_schema: schema::<Arguments>(),
            output_schema: Some(schema::<Principal>()),
            is_read_only: true,
        }]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        if name != TOOL {
            return Ok(None);
        }
        let Arguments {
            credential_type,
            value,
        } = call.read()?;
        let credential = Credential {
            credential_type,
            value: SecretString::from(value),
        };
        let context = call.context(None);
        match self.0.validate_credential(&context, &credential).await? {
            Authentication::Accepted(principal) => object(&Principal {
                user_id: principal.user_id.to_string(),
                tenant_id: principal.tenant_id.map(|tenant| tenant.to_string()),
                roles: principal.roles,
                groups: principal.groups,
                metadata: principal.metadata,
                expires_at: principal.expires_at.map(|at| at.to_string()),
            })
            .map(Some),
            Authentication::Rejected { reason } => Err(Refused::Said {
                kind: ErrorKind::Unauthenticated,
                message: reason,
            }),
        }
    }
}
