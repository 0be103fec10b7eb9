//! Raw MCP with a plugin's server: what it lists, and what it answers to the call of a tool.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::Deadline;
use gateway_mcp::client::{ClientError, Peer, ServerHello};
use gateway_mcp::json::encode_str;
use gateway_mcp::list::{ListKind, Page};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::version::Era;
use gateway_mcp::{author, bridge};
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::over_mcp::Dial;
use crate::suite::report::{Unmet, failed};

/// How long a server may take to start and to introduce itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Pages after which a list is taken for endless.
const MAX_PAGES: usize = 100;

const CLIENT_INFO: &str = concat!(
    r#"{"name":"mcp-gateway","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// The conversation with a server, opened anew where it was lost.
pub(super) struct Conversation {
    dial: Arc<dyn Dial>,
    timeout: Duration,
    peer: Mutex<Option<Arc<Peer>>>,
}

/// A tool as the server lists it.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) input_schema: Option<Value>,
    pub(super) output_schema: Option<Value>,
}

/// What a call was answered with.
#[derive(Debug, Clone)]
pub(super) enum Called {
    /// A result, with `isError` or without.
    Result(Value),
    /// A JSON-RPC error.
    Refused { code: i64, message: String },
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// None came in time.
    Late(Duration),
    /// The conversation ended instead.
    Lost(String),
}

impl Called {
    /// Whether the server says that it did not do it.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Result(result) => result.get("isError") == Some(&Value::Bool(true)),
            Self::Refused { .. } => true,
        }
    }

    /// All that was said.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Result(result) => result.to_string(),
            Self::Refused { code, message } => format!("error {code}: {message}"),
        }
    }
}

impl Unanswered {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Late(timeout) => format!("did not answer within {timeout:?}"),
            Self::Lost(why) => format!("ended the conversation instead of answering: {why}"),
        }
    }
}

impl From<Unanswered> for Unmet {
    fn from(unanswered: Unanswered) -> Self {
        Self::Failed(unanswered.describe())
    }
}

impl Conversation {
    pub(super) fn new(dial: Arc<dyn Dial>, timeout: Duration) -> Self {
        Self {
            dial,
            timeout,
            peer: Mutex::default(),
        }
    }

    /// Hears how the server introduces itself.
    pub(super) async fn hello(&self) -> Result<ServerHello, Unanswered> {
        Ok(self.peer().await?.hello().clone())
    }

    /// Calls a tool.
    pub(super) async fn call(&self, tool: &str, arguments: &Value) -> Result<Called, Unanswered> {
        let params = format!(r#"{{"name":{},"arguments":{arguments}}}"#, encode_str(tool));
        let answered = self.ask("tools/call", Some(&params)).await?;
        Ok(match answered.rpc_error() {
            Some(error) => Called::Refused {
                code: error.code,
                message: error.message.to_string(),
            },
            None => {
                let result = serde_json::from_str(answered.result().unwrap_or_default());
                Called::Result(result.unwrap_or_default())
            }
        })
    }

    /// Lists its tools, all pages.
    pub(super) async fn tools(&self) -> Result<Vec<Listed>, Unmet> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.map(|cursor| format!(r#"{{"cursor":{}}}"#, encode_str(&cursor)));
            let method = ListKind::Tools.method();
            let answered = self.ask(method, params.as_deref()).await?;
            if let Some(error) = answered.rpc_error() {
                return failed(format!("refuses {method}: {}", error.message));
            }
            let Ok(page) = Page::scan(&answered, ListKind::Tools) else {
                return failed(format!(
                    "answers {method} with something else than a list of tools"
                ));
            };
            for item in &page.items {
                let tool: Value = serde_json::from_slice(item.bytes()).unwrap_or_default();
                tools.push(Listed {
                    name: item.name().to_owned(),
                    input_schema: tool.get("inputSchema").cloned(),
                    output_schema: tool.get("outputSchema").cloned(),
                });
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        failed("lists its tools without an end")
    }

    /// Ends it.
    pub(super) async fn close(&self) {
        if let Some(peer) = self.peer.lock().await.take() {
            peer.close().await;
        }
    }

    async fn ask(&self, method: &str, params: Option<&str>) -> Result<Message, Unanswered> {
        let peer = self.peer().await?;
        let answered = self.ask_peer(&peer, method, params).await;
        if let Err(Unanswered::Lost(_)) = &answered {
            let mut current = self.peer.lock().await;
            if current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, &peer))
            {
                *current = None;
            }
        }
        answered
    }

    async fn peer(&self) -> Result<Arc<Peer>, Unanswered> {
        let mut peer = self.peer.lock().await;
        if let Some(peer) = &*peer {
            return Ok(Arc::clone(peer));
        }
        let opened = self.dial.dial(Deadline::after(PATIENCE)).await;
        let opened = Arc::new(opened.map_err(|error| unanswered(&error, PATIENCE))?);
        *peer = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn ask_peer(
        &self,
        peer: &Peer,
        method: &str,
        params: Option<&str>,
    ) -> Result<Message, Unanswered> {
        let mut request = author::request("1", method, params);
        if peer.hello().era == Era::Modern {
            let version = peer.hello().version;
            let modern = bridge::request_to_modern(&request, CLIENT_INFO, "{}", version);
            request = modern.map_err(|_| Unanswered::Lost("it cannot be asked".to_owned()))?;
        }
        let late = |error: ClientError| unanswered(&error, self.timeout);
        let deadline = Deadline::after(self.timeout);
        let exchange = peer.request(&request, HeaderMap::new(), deadline).await;
        let mut exchange = exchange.map_err(late)?;
        while let Some(message) = exchange.next().await {
            let message = message.map_err(late)?;
            if message.kind() == Kind::Response {
                return Ok(message);
            }
        }
        Err(Unanswered::Lost("the stream has no answer".to_owned()))
    }
}

fn unanswered(error: &ClientError, timeout: Duration) -> Unanswered {
    match error.is_deadline() {
        true => Unanswered::Late(timeout),
        false => Unanswered::Lost(error.to_string()),
    }
}
