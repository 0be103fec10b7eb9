//! One conversation with a plugin's server: opened, and found to have the tools that it needs.

use std::collections::BTreeMap;

use gateway_core::Deadline;
use gateway_mcp::author;
use gateway_mcp::bridge;
use gateway_mcp::client::{ClientError, Peer};
use gateway_mcp::json::encode_str;
use gateway_mcp::list::{ListKind, Page};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::version::Era;
use http::HeaderMap;
use serde::Deserialize;

use super::Dial;
use super::health::Blame;

const CLIENT_INFO: &str = concat!(
    r#"{"name":"mcp-gateway","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// How many messages beside its answer a call is waited through: logs, progress.
const MAX_ASIDE: usize = 1000;

/// Pages after which a list is taken for endless.
const MAX_PAGES: usize = 100;

/// A server that is reached and has what it takes.
#[derive(Debug)]
pub(super) struct Connection {
    peer: Peer,
    tools: BTreeMap<String, Tool>,
}

/// What a tool says of its arguments.
#[derive(Debug, Default)]
struct Tool {
    properties: Vec<String>,
}

/// Why a server is of no use, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("it has no tool `{0}`")]
    NoTool(&'static str),
    #[error("its list of tools cannot be read")]
    Unlistable,
    #[error("it answered with error {code}: {message}")]
    Refused { code: i64, message: String },
    #[error("it ended without an answer")]
    Nothing,
    #[error("it sent {} messages beside the answer, which is a flood", MAX_ASIDE)]
    Flood,
    #[error("it was not reached in time")]
    NotOpenedInTime,
    #[error("the request cannot be written")]
    Unwritable,
}

impl Unanswered {
    /// Whether it is certain that nothing was done.
    pub(super) fn is_undone(&self) -> bool {
        match self {
            Self::Client(error) => error.is_before_send() || error.is_about_credentials(),
            _ => false,
        }
    }

    /// Whether the conversation is of no more use.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Client(error) => !error.is_deadline(),
            Self::Nothing | Self::Flood => true,
            _ => false,
        }
    }

    /// What it says of the server that this came of a call.
    pub(super) fn blame(&self) -> Blame {
        match self.is_late() {
            true => Blame::Late,
            false => Blame::Broken,
        }
    }

    /// The same of an attempt to open the conversation.
    pub(super) fn blame_of_opening(&self) -> Blame {
        match self.is_late() {
            true => Blame::Late,
            false => Blame::Away,
        }
    }

    pub(super) fn is_late(&self) -> bool {
        match self {
            Self::Client(error) => error.is_deadline(),
            Self::NotOpenedInTime => true,
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct InputSchema {
    #[serde(default)]
    properties: BTreeMap<String, serde::de::IgnoredAny>,
}

impl Connection {
    /// Opens a conversation; fails if one of these tools is not there.
    pub(super) async fn open(
        dial: &dyn Dial,
        required: &[&'static str],
        deadline: Deadline,
    ) -> Result<Self, Unanswered> {
        let peer = dial.dial(deadline).await?;
        let mut connection = Self {
            peer,
            tools: BTreeMap::new(),
        };
        connection.tools = connection.list(deadline).await?;
        let missing = required
            .iter()
            .find(|name| !connection.tools.contains_key(**name));
        match missing {
            Some(name) => Err(Unanswered::NoTool(name)),
            None => Ok(connection),
        }
    }

    pub(super) fn has_tool(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// Whether a tool's input schema names this property.
    pub(super) fn takes(&self, tool: &str, property: &str) -> bool {
        let tool = self.tools.get(tool);
        tool.is_some_and(|tool| tool.properties.iter().any(|known| known == property))
    }

    /// Calls a tool with arguments and `_meta`, raw JSON objects both; gives the raw result.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &str,
        meta: Option<&str>,
        deadline: Deadline,
    ) -> Result<Message, Unanswered> {
        let name = encode_str(tool);
        let params = match meta {
            Some(meta) => format!(r#"{{"name":{name},"arguments":{arguments},"_meta":{meta}}}"#),
            None => format!(r#"{{"name":{name},"arguments":{arguments}}}"#),
        };
        self.ask("tools/call", Some(&params), deadline).await
    }

    async fn list(&self, deadline: Deadline) -> Result<BTreeMap<String, Tool>, Unanswered> {
        let mut tools = BTreeMap::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.map(|cursor| format!(r#"{{"cursor":{}}}"#, encode_str(&cursor)));
            let method = ListKind::Tools.method();
            let response = self.ask(method, params.as_deref(), deadline).await?;
            let page = Page::scan(&response, ListKind::Tools);
            let page = page.map_err(|_| Unanswered::Unlistable)?;
            for item in page.items {
                let schema = item.input_schema().unwrap_or("{}");
                let schema = serde_json::from_str::<InputSchema>(schema);
                let properties = schema.map(|schema| schema.properties.into_keys().collect());
                let tool = Tool {
                    properties: properties.unwrap_or_default(),
                };
                tools.insert(item.name().to_owned(), tool);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(Unanswered::Unlistable)
    }

    async fn ask(
        &self,
        method: &str,
        params: Option<&str>,
        deadline: Deadline,
    ) -> Result<Message, Unanswered> {
        let request = author::request("1", method, params);
        let request = match self.peer.hello().era {
            Era::Modern => {
                let version = self.peer.hello().version;
                bridge::request_to_modern(&request, CLIENT_INFO, "{}", version)
                    .map_err(|_| Unanswered::Unwritable)?
            }
            Era::Legacy => request,
        };
        let mut exchange = self
            .peer
            .request(&request, HeaderMap::new(), deadline)
            .await?;
        for _ in 0..MAX_ASIDE {
            let Some(message) = exchange.next().await else {
                return Err(Unanswered::Nothing);
            };
            let message = message?;
            if message.kind() != Kind::Response {
                continue;
            }
            return match message.rpc_error() {
                Some(error) => Err(Unanswered::Refused {
                    code: error.code,
                    message: error.message.to_string(),
                }),
                None => Ok(message),
            };
        }
        Err(Unanswered::Flood)
    }
}
