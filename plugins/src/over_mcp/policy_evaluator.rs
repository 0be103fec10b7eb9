//! Policy by an MCP server: `check_access_batch` where there is one, else `check_access`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use gateway_core::plugin::{Action, Decision, PolicyEvaluator};
use gateway_core::{CallContext, Deadline, PluginError, Principal};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Given};
use super::server::{PluginServer, Repeat};

const ONE: &str = "check_access";
const BATCH: &str = "check_access_batch";

/// How many questions of one list are asked at the same time.
const AT_ONCE: usize = 16;

/// Asks a server what a caller may do.
#[derive(Debug)]
pub(crate) struct PolicyEvaluatorServer(PluginServer);

#[derive(Serialize)]
struct Who<'a> {
    user_id: &'a str,
    tenant_id: &'a str,
    roles: &'a [String],
    groups: &'a [String],
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct What<'a> {
    mcp_server: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
}

#[derive(Serialize)]
struct Question<'a> {
    #[serde(flatten)]
    who: &'a Who<'a>,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
struct Questions<'a> {
    #[serde(flatten)]
    who: &'a Who<'a>,
    actions: Vec<What<'a>>,
}

/// Without `allowed` nothing is decided.
#[derive(Deserialize)]
pub(super) struct Answered {
    allowed: bool,
    #[serde(default)]
    reason: Option<String>,
}

impl From<Answered> for Decision {
    fn from(answered: Answered) -> Self {
        match answered.allowed {
            true => Self::Allow,
            false => Self::Deny {
                reason: answered.reason.unwrap_or_default(),
            },
        }
    }
}

fn undecided(reason: String) -> Decision {
    Decision::Undecided { reason }
}

impl<'a> What<'a> {
    fn of(action: &Action<'a>) -> Self {
        Self {
            mcp_server: action.server.as_str(),
            tool: Some(action.name),
            kind: Some(action.kind.as_str()),
            method: Some(action.method),
        }
    }

    /// All that a plugin is asked which judges whole servers.
    fn of_server(action: &Action<'a>) -> Self {
        Self {
            mcp_server: action.server.as_str(),
            tool: None,
            kind: None,
            method: None,
        }
    }
}

impl PolicyEvaluatorServer {
    /// The tools that it cannot do without.
    pub(crate) const REQUIRED: &[&str] = &[ONE];

    pub(crate) fn new(server: PluginServer) -> Self {
        Self(server)
    }

    async fn ask_all(
        &self,
        context: &CallContext,
        who: &Who<'_>,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let questions = Questions {
            who,
            actions: actions.iter().map(What::of).collect(),
        };
        let given = self.given(context, BATCH, &questions).await?;
        let read = given.read_within::<Vec<Answered>>("decisions");
        let decisions = read.map_err(|why| self.0.unreadable(why))?;
        if decisions.len() != actions.len() {
            let (asked, given) = (actions.len(), decisions.len());
            let why = format!("it gave {given} decisions to {asked} actions");
            return Err(self.0.unreadable(why));
        }
        Ok(decisions.into_iter().map(Decision::from).collect())
    }

    async fn ask(
        &self,
        context: &CallContext,
        who: &Who<'_>,
        what: What<'_>,
    ) -> Result<Decision, PluginError> {
        let given = self.given(context, ONE, &Question { who, what }).await?;
        let answered = given.read::<Answered>();
        answered
            .map(Decision::from)
            .map_err(|why| self.0.unreadable(why))
    }

    fn ask_of<'a>(
        &'a self,
        context: &'a CallContext,
        who: &'a Who<'a>,
        what: What<'a>,
    ) -> BoxFuture<'a, (What<'a>, Result<Decision, PluginError>)> {
        Box::pin(async move { (what, self.ask(context, who, what).await) })
    }

    /// What is decided by then is of use, so it has to be there before whoever asks gives up.
    fn in_time_for_the_rest(&self, context: &CallContext) -> CallContext {
        let remaining = self.0.deadline(context).remaining();
        CallContext {
            deadline: Deadline::after(remaining.mul_f32(0.9)),
            ..context.clone()
        }
    }

    async fn given(
        &self,
        context: &CallContext,
        tool: &str,
        question: &(impl Serialize + Sync),
    ) -> Result<Given, PluginError> {
        match self.0.call(context, tool, question, Repeat::Safe).await? {
            Answer::Given(given) => Ok(given),
            Answer::Failed(refusal) => Err(refusal.into_error(self.0.plugin())),
        }
    }
}

#[async_trait]
impl PolicyEvaluator for PolicyEvaluatorServer {
    async fn check_access(
        &self,
        context: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let who = Who {
            user_id: principal.user_id.as_str(),
            tenant_id: context.tenant.as_str(),
            roles: &principal.roles,
            groups: &principal.groups,
        };
        let connection = self.0.connection(self.0.deadline(context)).await?;
        if actions.len() > 1 && connection.has_tool(BATCH) {
            return self.ask_all(context, &who, actions).await;
        }
        let of = match connection.takes(ONE, "tool") {
            true => What::of,
            false => What::of_server,
        };
        drop(connection);
        // Each question once, however many actions it stands for.
        let asked: BTreeMap<_, _> = actions.iter().map(|action| (of(action), ())).collect();
        let context = &self.in_time_for_the_rest(context);
        let mut asking = Vec::with_capacity(asked.len());
        for (what, ()) in asked {
            asking.push(self.ask_of(context, &who, what));
        }
        let decided = stream::iter(asking).buffer_unordered(AT_ONCE);
        let mut decided: BTreeMap<_, _> = decided.collect().await;
        if decided.values().all(Result::is_err)
            && let Some((_, Err(error))) = decided.pop_first()
        {
            return Err(error);
        }
        let decisions = actions.iter().map(|action| match decided.get(&of(action)) {
            Some(Ok(decision)) => decision.clone(),
            Some(Err(error)) => undecided(error.to_string()),
            // Each of them was asked.
            None => undecided(String::new()),
        });
        Ok(decisions.collect())
    }
}
