//! Provisioning by an MCP server: `provision`, `deprovision` and `list`.

use async_trait::async_trait;
use gateway_core::config::ServerSpec;
use gateway_core::plugin::{McpProvisioner, ProvisionedServer};
use gateway_core::{CallContext, ErrorKind, PluginError, ServerName, UserId};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Given};
use super::server::{PluginServer, Repeat};

const PROVISION: &str = "provision";
const DEPROVISION: &str = "deprovision";
const LIST: &str = "list";

/// Has a server start and stop servers.
#[derive(Debug)]
pub(crate) struct McpProvisionerServer(PluginServer);

#[derive(Serialize)]
struct Provision<'a> {
    server: Named<'a>,
    user_id: &'a str,
    tenant_id: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    spec: &'a ServerSpec,
}

#[derive(Serialize)]
struct Deprovision<'a> {
    server_id: &'a str,
    tenant_id: &'a str,
}

#[derive(Serialize)]
struct Whose<'a> {
    user_id: &'a str,
    tenant_id: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Provisioned {
    id: String,
    name: ServerName,
    endpoint: String,
    status: String,
    user_id: UserId,
}

impl From<Provisioned> for ProvisionedServer {
    fn from(provisioned: Provisioned) -> Self {
        let Provisioned {
            id,
            name,
            endpoint,
            status,
            user_id,
        } = provisioned;
        Self {
            id,
            name,
            endpoint,
            status,
            user_id,
        }
    }
}

impl McpProvisionerServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[PROVISION, DEPROVISION, LIST];

    pub(crate) fn new(server: PluginServer) -> Self {
        Self(server)
    }

    /// What a tool gave; `None`: it says that there is no such thing.
    async fn ask(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &(impl Serialize + Sync),
    ) -> Result<Option<Given>, PluginError> {
        match self.0.call(context, tool, arguments, Repeat::Safe).await? {
            Answer::Given(given) => Ok(Some(given)),
            Answer::Failed(refusal) if refusal.kind == Some(ErrorKind::NotFound) => Ok(None),
            Answer::Failed(refusal) => Err(refusal.into_error(self.0.plugin())),
        }
    }
}

#[async_trait]
impl McpProvisioner for McpProvisionerServer {
    async fn provision(
        &self,
        context: &CallContext,
        name: &ServerName,
        server: &ServerSpec,
        user: &UserId,
    ) -> Result<ProvisionedServer, PluginError> {
        let arguments = Provision {
            server: Named {
                name: name.as_str(),
                spec: server,
            },
            user_id: user.as_str(),
            tenant_id: context.tenant.as_str(),
        };
        let Some(given) = self.ask(context, PROVISION, &arguments).await? else {
            let text = format!("the plugin {} knows no such server", self.0.plugin());
            return Err(PluginError::new(ErrorKind::NotFound, text));
        };
        let read = given.read::<Provisioned>();
        let provisioned = read.map_err(|why| self.0.unreadable(why))?;
        if provisioned.user_id != *user || provisioned.name != *name {
            let why = "it is another server than was asked for, or another user's".to_owned();
            return Err(self.0.unreadable(why));
        }
        Ok(provisioned.into())
    }

    async fn deprovision(&self, context: &CallContext, id: &str) -> Result<(), PluginError> {
        let arguments = Deprovision {
            server_id: id,
            tenant_id: context.tenant.as_str(),
        };
        self.ask(context, DEPROVISION, &arguments).await.map(drop)
    }

    async fn list(
        &self,
        context: &CallContext,
        user: &UserId,
    ) -> Result<Vec<ProvisionedServer>, PluginError> {
        let whose = Whose {
            user_id: user.as_str(),
            tenant_id: context.tenant.as_str(),
        };
        let Some(given) = self.ask(context, LIST, &whose).await? else {
            return Ok(Vec::new());
        };
        let read = given.read_within::<Vec<Provisioned>>("servers");
        let listed = read.map_err(|why| self.0.unreadable(why))?.into_iter();
        let mut servers: Vec<_> = listed.map(ProvisionedServer::from).collect();
        if servers.iter().any(|server| server.user_id != *user) {
            let why = "it lists what belongs to another user".to_owned();
            return Err(self.0.unreadable(why));
        }
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(servers)
    }
}
