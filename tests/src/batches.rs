//! A client of 2025-03-26, the one version in which several messages may come at once.

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::raw::{ACCEPT, Answer, RawClient, Stream};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A client that speaks 2025-03-26 and names the version in no header, which came later.
#[derive(Debug)]
pub struct Client {
    raw: RawClient,
    url: String,
    pub session: String,
}

impl Client {
    pub async fn open(url: &str, capabilities: Value) -> anyhow::Result<Self> {
        let raw = RawClient::default();
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": "2025-03-26",
                "capabilities": capabilities,
                "clientInfo": { "name": "test", "version": "1" },
            },
        });
        let opened = raw.post(url, &[], initialize.to_string()).await?;
        let granted = opened.result()?;
        let granted = granted.get("protocolVersion").and_then(Value::as_str);
        ensure!(granted == Some("2025-03-26"), "granted {granted:?}");
        let session = opened.header("mcp-session-id").context("no session")?;
        Ok(Self {
            session: session.to_owned(),
            url: url.to_owned(),
            raw,
        })
    }

    /// Sends one message or an array of them, and waits for everything that comes back.
    pub async fn post(&self, body: &Value) -> anyhow::Result<Answer> {
        let headers = [("mcp-session-id", self.session.as_str())];
        self.raw.post(&self.url, &headers, body.to_string()).await
    }

    pub async fn stream(&self, body: &Value) -> anyhow::Result<Stream> {
        let headers = [ACCEPT, JSON, ("mcp-session-id", &self.session)];
        let body = body.to_string();
        self.raw
            .stream(Method::POST, &self.url, &headers, body)
            .await
    }

    /// Comes back to a stream after the event with this id.
    pub async fn resume(&self, last: &str) -> anyhow::Result<Stream> {
        let headers = [
            ACCEPT,
            ("mcp-session-id", &self.session),
            ("last-event-id", last),
        ];
        self.raw.stream(Method::GET, &self.url, &headers, "").await
    }
}

/// A call of a tool.
pub fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    let id = id.into();
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

/// A notification.
pub fn note(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// The answer to the request with this id among the messages of a stream.
pub fn answer_to(answer: &Answer, id: &Value) -> anyhow::Result<Value> {
    let messages = answer.raw_messages();
    let mut messages = messages.iter().map(|text| serde_json::from_str(text));
    let found = messages.find_map(|message: Result<Value, _>| {
        message.ok().filter(|message| message.get("id") == Some(id))
    });
    found.with_context(|| format!("no answer to {id} in {}", answer.text()))
}
