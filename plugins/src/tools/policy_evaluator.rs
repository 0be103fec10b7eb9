//! `check_access` and `check_access_batch`.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::plugin::{Action, Decision, ItemKind, PolicyEvaluator};
use gateway_core::{ErrorKind, PluginError, Principal, ServerName, TenantId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Object, Refused, Tool, Tools, object, schema};

const ONE: &str = "check_access";
const BATCH: &str = "check_access_batch";

/// Who asks for a server as a whole asks as for a list of its tools.
const OF_A_SERVER: &str = "tools/list";

pub(super) struct Serve(pub(super) Arc<dyn PolicyEvaluator>);

#[derive(Deserialize, JsonSchema)]
struct Who {
    #[schemars(with = "String")]
    user_id: UserId,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    tenant_id: Option<TenantId>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

/// What is to be done.
#[derive(Deserialize, JsonSchema)]
struct What {
    /// The configured server.
    #[schemars(with = "String")]
    mcp_server: ServerName,
    /// The name that the server itself has for it, or its URI.
    #[serde(default)]
    tool: Option<String>,
    /// `tool` where it is left out; else `prompt`, `resource`, `resource_template` or `task`.
    #[serde(default)]
    kind: Option<String>,
    /// The MCP method, such as `tools/call`.
    #[serde(default)]
    method: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    #[serde(flatten)]
    who: Who,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize, JsonSchema)]
struct Questions {
    #[serde(flatten)]
    who: Who,
    actions: Vec<What>,
}

#[derive(Serialize, JsonSchema)]
struct Decided {
    allowed: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// One for each action, in the same order.
#[derive(Serialize, JsonSchema)]
struct AllDecided {
    decisions: Vec<Decided>,
}

impl What {
    fn action(&self) -> Result<Action<'_>, Refused> {
        let kinds = [
            ItemKind::Tool,
            ItemKind::Prompt,
            ItemKind::Resource,
            ItemKind::ResourceTemplate,
            ItemKind::Task,
        ];
        let kind = self.kind.as_deref().unwrap_or("tool");
        let known = kinds.into_iter().find(|known| known.as_str() == kind);
        let unknown = || Refused::Arguments("`kind` is none that there is".to_owned());
        Ok(Action {
            server: &self.mcp_server,
            method: self.method.as_deref().unwrap_or(OF_A_SERVER),
            kind: known.ok_or_else(unknown)?,
            name: self.tool.as_deref().unwrap_or_default(),
        })
    }
}

impl TryFrom<Decision> for Decided {
    type Error = PluginError;

    fn try_from(decision: Decision) -> Result<Self, PluginError> {
        match decision {
            Decision::Allow => Ok(Self {
                allowed: true,
                reason: None,
            }),
            Decision::Deny { reason } => Ok(Self {
                allowed: false,
                reason: Some(reason),
            }),
            // Whoever asks would remember a denial.
            Decision::Undecided { reason } => Err(PluginError::new(ErrorKind::Unavailable, reason)),
        }
    }
}

impl Serve {
    async fn decide(&self, call: &Call, who: Who, what: &[What]) -> Result<Vec<Decided>, Refused> {
        let actions = what.iter().map(What::action);
        let actions = actions.collect::<Result<Vec<_>, _>>()?;
        let principal = Principal {
            roles: who.roles,
            groups: who.groups,
            ..Principal::named(who.user_id)
        };
        let context = call.context(who.tenant_id);
        let decisions = self.0.check_access(&context, &principal, &actions).await?;
        let decided = decisions.into_iter().map(Decided::try_from);
        Ok(decided.collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl Tools for Serve {
    fn list(&self) -> Vec<Tool> {
        vec![
            Tool {
                name: ONE,
                description: "Says whether a user may do something.",
                input_schema: schema::<Question>(),
                output_schema: Some(schema::<Decided>()),
                is_read_only: true,
            },
            Tool {
                name: BATCH,
                description: "Says of several things whether a user may do each.",
                input_schema: schema::<Questions>(),
                output_schema: Some(schema::<AllDecided>()),
                is_read_only: true,
            },
        ]
    }

    async fn call(&self, name: &str, call: Call) -> Result<Option<Object>, Refused> {
        match name {
            ONE => {
                let Question { who, what } = call.read()?;
                let decided = self.decide(&call, who, &[what]).await?.pop();
                decided.as_ref().map(object).transpose()
            }
            BATCH => {
                let Questions { who, actions } = call.read()?;
                let decisions = self.decide(&call, who, &actions).await?;
                object(&AllDecided { decisions }).map(Some)
            }
            _ => Ok(None),
        }
    }
}
