//! `provision`, `deprovision` and `list`.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::config::ServerSpec;
use gateway_core::plugin::{McpProvisioner, ProvisionedServer};
use gateway_core::{ServerName, TenantId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Call, Object, Refused, Tool, Tools, object, schema};

const PROVISION: &str = "provision";
const DEPROVISION: &str = "deprovision";
const LIST: &str = "list";

pub(super) struct Serve(pub(super) Arc<dyn McpProvisioner>);

#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// What is to run.
    server: Definition,
    #[schemars(with = "String")]
    user_id: UserId,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
}

#[derive(Deserialize, JsonSchema)]
struct Definition {
    #[schemars(with = "String")]
    name: ServerName,
    /// As `servers` of the gateway's configuration has it.
    #[schemars(with = "Map<String, Value>")]
    spec: ServerSpec,
}

#[derive(Deserialize, JsonSchema)]
struct Unwanted {
    /// The `id` that `provision` gave.
    server_id: String,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
}

#[derive(Deserialize, JsonSchema)]
struct Whose {
    #[schemars(with = "String")]
    user_id: UserId,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
}

#[derive(Serialize, JsonSchema)]
struct Provisioned {
    id: String,
    name: String,
    endpoint: String,
    /// `starting`, `running`, `stopping` or `failed`.
    status: String,
    user_id: String,
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    servers: Vec<Provisioned>,
}

impl From<ProvisionedServer> for Provisioned {
    fn from(server: ProvisionedServer) -> Self {
        Self {
            id: server.id,
            name: server.name.to_string(),
            endpoint: server.endpoint,
            status: server.status,
            user_id: server.user_id.to_string(),
        }
    }
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![
            Tool {
                name: PROVISION,
                description: "Starts a server for a user, or says where it runs already.",
                input_schema: schema::<Wanted>(),
                output_schema: Some(schema::<Provisioned>()),
                is_read_only: false,
            },
            Tool {
                name: DEPROVISION,
                description: "Stops a server; one that does not run has stopped already.",
                input_schema: schema::<Unwanted>(),
                output_schema: None,
                is_read_only: false,
            },
            Tool {
                name: LIST,
                description: "Lists a user's servers.",
                input_schema: schema::<Whose>(),
                output_schema: Some(schema::<Listed>()),
                is_read_only: true,
            },
        ]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        match name {
            PROVISION => {
                let Wanted {
                    server: Definition { name, spec },
                    user_id,
                    tenant_id,
                } = call.read()?;
                let context = call.context(tenant_id);
                let server = self.0.provision(&context, &name, &spec, &user_id).await?;
                object(&Provisioned::from(server)).map(Some)
            }
            DEPROVISION => {
                let Unwanted {
                    server_id,
                    tenant_id,
                } = call.read()?;
                let context = call.context(tenant_id);
                self.0.deprovision(&context, &server_id).await?;
                Ok(Some(Object::new()))
            }
            LIST => {
                let Whose { user_id, tenant_id } = call.read()?;
                let servers = self.0.list(&call.context(tenant_id), &user_id).await?;
                let servers = servers.into_iter().map(Provisioned::from).collect();
                object(&Listed { servers }).map(Some)
            }
            _ => Ok(None),
        }
    }
}
