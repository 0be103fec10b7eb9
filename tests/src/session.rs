//! A well-behaved client of either era on top of the raw one, for tests that are about something else.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::raw::{ACCEPT, Answer, RawClient, Stream};
use crate::wait;

const LEGACY_VERSION: &str = "2025-11-25";
const MODERN_VERSION: &str = "2026-07-28";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    Legacy,
    Modern,
}

impl Era {
    pub const BOTH: [Self; 2] = [Self::Legacy, Self::Modern];
}

#[derive(Debug)]
pub struct Session {
    era: Era,
    client: RawClient,
    url: String,
    /// Sent with every message.
    headers: Vec<(String, String)>,
    /// The legacy session id, where the server gave one.
    id: Option<String>,
    next_request: AtomicU64,
}

impl Session {
    /// Legacy: `initialize` and `notifications/initialized`. Modern: nothing, since nothing is needed.
    pub async fn open(era: Era, url: &str) -> anyhow::Result<Self> {
        Self::open_with(era, url, &[]).await
    }

    /// The same, with headers of its own on every message, such as a credential.
    pub async fn open_with(era: Era, url: &str, headers: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut session = Self {
            era,
            client: RawClient::default(),
            url: url.to_owned(),
            headers: owned(headers),
            id: None,
            next_request: AtomicU64::new(1),
        };
        if era == Era::Legacy {
            session.initialize().await?;
        }
        Ok(session)
    }

    /// A legacy client that can be asked for what its capabilities say, and answers by [`Self::send`].
    pub async fn open_able(
        url: &str,
        headers: &[(&str, &str)],
        capabilities: &Value,
    ) -> anyhow::Result<Self> {
        let mut session = Self::open_with(Era::Modern, url, headers).await?;
        session.era = Era::Legacy;
        session.initialize_with(capabilities).await?;
        Ok(session)
    }

    async fn initialize(&mut self) -> anyhow::Result<()> {
        self.initialize_with(&json!({})).await
    }

    async fn initialize_with(&mut self, capabilities: &Value) -> anyhow::Result<()> {
        let message = initialize_message_with(LEGACY_VERSION, capabilities);
        let answer = self
            .client
            .post(&self.url, &self.own_headers(), message)
            .await?;
        let result = answer.result()?;
        ensure!(
            result["protocolVersion"] == LEGACY_VERSION,
            "the server negotiated {result}"
        );
        self.id = answer.header("mcp-session-id").map(str::to_owned);
        let accepted = self.notify("notifications/initialized").await?;
        ensure!(
            accepted.status == StatusCode::ACCEPTED,
            "initialized: {}",
            accepted.text()
        );
        Ok(())
    }

    /// Uses new connections from now on.
    pub fn reconnect(&mut self) {
        self.client = RawClient::default();
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Sends a legacy notification without parameters.
    pub async fn notify(&self, method: &str) -> anyhow::Result<Answer> {
        let message = json!({ "jsonrpc": "2.0", "method": method });
        self.client
            .post(&self.url, &self.legacy_headers(), message.to_string())
            .await
    }

    /// Sends a message of a legacy session as it is.
    pub async fn send(&self, message: &Value) -> anyhow::Result<Answer> {
        self.client
            .post(&self.url, &self.legacy_headers(), message.to_string())
            .await
    }

    /// `params` is an object; in the modern era its `_meta` gets what every request carries.
    pub async fn request(&self, method: &str, params: Value) -> anyhow::Result<Answer> {
        let (headers, message) = self.compose(method, params);
        let headers = borrow(&headers);
        self.client.post(&self.url, &headers, message).await
    }

    /// The same, for an answer that is read while it comes.
    pub async fn stream(&self, method: &str, params: Value) -> anyhow::Result<Stream> {
        let (headers, message) = self.compose(method, params);
        let mut headers = borrow(&headers);
        headers.extend([("content-type", "application/json"), ACCEPT]);
        let client = &self.client;
        client
            .stream(Method::POST, &self.url, &headers, message)
            .await
    }

    /// The headers of a request, and its message.
    fn compose(&self, method: &str, params: Value) -> (Vec<(String, String)>, String) {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let name = params
            .get(if method == "resources/read" {
                "uri"
            } else {
                "name"
            })
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        if self.era == Era::Legacy {
            return (owned(&self.legacy_headers()), message.to_string());
        }
        let mut meta = modern_meta();
        if let (Some(meta), Some(own)) = (
            meta.as_object_mut(),
            message["params"]["_meta"].take().as_object_mut(),
        ) {
            meta.append(own);
        }
        message["params"]["_meta"] = meta;
        let mut headers = self.own_headers();
        headers.extend([
            ("mcp-protocol-version", MODERN_VERSION),
            ("mcp-method", method),
        ]);
        let named = matches!(method, "tools/call" | "prompts/get" | "resources/read");
        if named && !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        (owned(&headers), message.to_string())
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Answer> {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    /// The text of a call's first content, for calls that must succeed.
    pub async fn call_text(&self, tool: &str, arguments: Value) -> anyhow::Result<String> {
        let result = self.call(tool, arguments).await?.result()?;
        ensure!(result["isError"] != true, "{tool} failed: {result}");
        let text = result["content"][0]["text"].as_str().map(str::to_owned);
        text.with_context(|| format!("{tool} answered without text: {result}"))
    }

    /// The structured content of a call that must succeed.
    pub async fn call_structured(&self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let mut result = self.call(tool, arguments).await?.result()?;
        ensure!(result["isError"] != true, "{tool} failed: {result}");
        Ok(result["structuredContent"].take())
    }

    /// The names of every page in the order in which they came.
    pub async fn tool_names(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut params = json!({});
        loop {
            let result = self.request("tools/list", params).await?.result()?;
            let tools = result["tools"].as_array().context("a page without tools")?;
            names.extend(
                tools
                    .iter()
                    .filter_map(|tool| tool["name"].as_str())
                    .map(str::to_owned),
            );
            match result.get("nextCursor") {
                None => return Ok(names),
                Some(cursor) => params = json!({ "cursor": cursor }),
            }
        }
    }

    /// Waits until the endpoint lists a tool.
    pub async fn wait_for_tool(&self, tool: &str) -> anyhow::Result<()> {
        wait::until(&format!("{} to list {tool}", self.url), || async {
            self.tool_names()
                .await
                .is_ok_and(|names| names.iter().any(|name| name == tool))
        })
        .await
    }

    /// Ends a legacy session.
    pub async fn delete(&self) -> anyhow::Result<Answer> {
        self.client
            .send(Method::DELETE, &self.url, &self.legacy_headers(), "")
            .await
    }

    fn own_headers(&self) -> Vec<(&str, &str)> {
        borrow(&self.headers)
    }

    fn legacy_headers(&self) -> Vec<(&str, &str)> {
        let mut headers = self.own_headers();
        headers.push(("mcp-protocol-version", LEGACY_VERSION));
        headers.extend(self.id.as_deref().map(|id| ("mcp-session-id", id)));
        headers
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = headers.iter();
    own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn borrow(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let own = headers.iter();
    own.map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// What every modern request carries.
pub fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientInfo": { "name": "gateway-tests", "version": "1.0.0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// How a legacy client opens that asks for this version and can do nothing of its own.
pub fn initialize_message(version: &str) -> String {
    initialize_message_with(version, &json!({}))
}

fn initialize_message_with(version: &str, capabilities: &Value) -> String {
    json!({
        "jsonrpc": "2.0",
        "id": "open",
        "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": { "name": "gateway-tests", "version": "1.0.0" },
        },
    })
    .to_string()
}

/// A modern request with the id 1; `params` is an object, and gets its `_meta` unless it has one.
pub fn modern_message(method: &str, mut params: Value) -> String {
    if let Some(params) = params.as_object_mut() {
        params.entry("_meta").or_insert_with(modern_meta);
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}
