//! Policy: what a caller may do.

use async_trait::async_trait;

use crate::{CallContext, PluginError, Principal, ServerName};

/// What kind of thing an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource, by URI.
    Resource,
    /// A resource template, by URI template.
    ResourceTemplate,
    /// A task that a call began, by its id. Whoever may call the tool is given the id.
    Task,
}

impl ItemKind {
    /// The kind as the contract spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::ResourceTemplate => "resource_template",
            Self::Task => "task",
        }
    }
}

/// Something that a caller wants to do or to see. Names are the server's own, never those that
/// an aggregating endpoint or a profile shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Action<'a> {
    /// The configured server.
    pub server: &'a ServerName,
    /// The MCP method, such as `tools/call`; a list asks with the list's method.
    pub method: &'a str,
    /// The kind of item.
    pub kind: ItemKind,
    /// The item's original name or URI.
    pub name: &'a str,
}

/// What the policy says of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may be done.
    Allow,
    /// It may not; the item is not shown either.
    Deny {
        /// Why, for the audit log and the client.
        reason: String,
    },
    /// Of one among several nothing is known: it may not be done now, and that is not remembered.
    Undecided {
        /// What kept it from being decided, for the gateway's log.
        reason: String,
    },
}

impl Decision {
    /// Whether the action may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// Decides. MCP tools: `check_access`, optionally `check_access_batch`.
#[async_trait]
pub trait PolicyEvaluator: Send + Sync {
    /// One decision for each action, in the same order.
    ///
    /// Has no side effect that a caller could see, so it may be repeated or dropped at any await.
    ///
    /// # Errors
    /// An error means that nothing is decided: a call is refused, a list shows none of the items. Where only some of
    /// several could not be decided, these are [`Decision::Undecided`].
    async fn check_access(
        &self,
        context: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError>;

    /// Whether everybody may do everything, now and later, so that a list that is the same for
    /// everybody stays so.
    fn allows_everything(&self) -> bool {
        false
    }
}
