//! `store_credential`, `retrieve_credential`, `delete_credential` and `list_credentials`.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::CredentialStorage;
use gateway_core::{CredentialKey, ExposeSecret as _, SecretString, TenantId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Object, Refused, Tool, Tools, object, schema};

const STORE: &str = "store_credential";
const RETRIEVE: &str = "retrieve_credential";
const DELETE: &str = "delete_credential";
const LIST: &str = "list_credentials";

pub(super) struct Serve(pub(super) Arc<dyn CredentialStorage>);

/// Which credential.
#[derive(Deserialize, JsonSchema)]
struct Key {
    #[schemars(with = "String")]
    user_id: UserId,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
    /// The server that it is for.
    mcp_server: String,
    /// What kind of credential it is, such as `bearer`.
    credential_type: String,
}

#[derive(Deserialize, JsonSchema)]
struct Stored {
    #[serde(flatten)]
    key: Key,
    /// The secret.
    value: String,
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
struct Retrieved {
    /// The secret; null: there is none.
    value: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    credentials: Vec<Entry>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    server: String,
    cred_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Key {
    fn split(self) -> (Option<TenantId>, CredentialKey) {
        let key = CredentialKey {
            user_id: self.user_id,
            server: self.mcp_server,
            credential_type: self.credential_type,
        };
        (self.tenant_id, key)
    }
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![
            Tool {
                name: STORE,
                description: "Keeps a credential, in the place of an earlier one of the same key.",
                input_schema: schema::<Stored>(),
                output_schema: None,
                is_read_only: false,
            },
            Tool {
                name: RETRIEVE,
                description: "Gives a credential back, or null where there is none.",
                input_schema: schema::<Key>(),
                output_schema: Some(schema::<Retrieved>()),
                is_read_only: true,
            },
            Tool {
                name: DELETE,
                description: "Removes a credential; one that is not there is removed already.",
                input_schema: schema::<Key>(),
                output_schema: None,
                is_read_only: false,
            },
            Tool {
                name: LIST,
                description: "Lists what is kept for a user, without the secrets.",
                input_schema: schema::<Whose>(),
                output_schema: Some(schema::<Listed>()),
                is_read_only: true,
            },
        ]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        let storage = &self.0;
        match name {
            STORE => {
                let Stored { key, value } = call.read()?;
                let (tenant, key) = key.split();
                let value = SecretString::from(value);
                storage.store(&call.context(tenant), &key, value).await?;
                Ok(Some(Object::new()))
            }
            RETRIEVE => {
                let (tenant, key) = call.read::<Key>()?.split();
                let value = storage.retrieve(&call.context(tenant), &key).await?;
                let value = value.map(|value| value.expose_secret().to_owned());
                object(&Retrieved { value }).map(Some)
            }
            DELETE => {
                let (tenant, key) = call.read::<Key>()?.split();
                storage.delete(&call.context(tenant), &key).await?;
                Ok(Some(Object::new()))
            }
            LIST => {
                let Whose { user_id, tenant_id } = call.read()?;
                let entries = storage.list(&call.context(tenant_id), &user_id).await?;
                let credentials = entries.into_iter().map(|entry| Entry {
                    server: entry.server,
                    cred_type: entry.credential_type,
                    created_at: entry.created_at.map(|at| at.to_string()),
                    expires_at: entry.expires_at.map(|at| at.to_string()),
                });
                let credentials = credentials.collect();
                object(&Listed { credentials }).map(Some)
            }
            _ => Ok(None),
        }
    }
}
