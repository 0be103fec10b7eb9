//! A legacy client of a fleet that says of each message where it goes.

use anyhow::{Context as _, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Fleet;
use crate::raw::{ACCEPT, Answer, RawClient, Stream};

/// A legacy client that says of each message where it goes.
#[derive(Debug)]
pub struct Visitor {
    pub raw: RawClient,
    /// Who it is, and its session.
    pub headers: Vec<(&'static str, String)>,
}

impl Visitor {
    /// Opens a session at one replica.
    pub async fn open(fleet: &Fleet, home: usize, capabilities: Value) -> Result<Self> {
        Self::open_as(fleet, home, capabilities, None).await
    }

    /// The same with an API key.
    pub async fn open_as(
        fleet: &Fleet,
        home: usize,
        capabilities: Value,
        key: Option<&str>,
    ) -> Result<Self> {
        let key = key.map(|key| ("x-api-key", key.to_owned()));
        let mut visitor = Self {
            raw: RawClient::default(),
            headers: key.into_iter().collect(),
        };
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": { "name": "visitor", "version": "1" },
        });
        let opened = visitor
            .request(fleet, home, 0, "initialize", params)
            .await?;
        let id = opened.header("mcp-session-id").context("no session")?;
        visitor.headers.push(("mcp-session-id", id.to_owned()));
        Ok(visitor)
    }

    pub fn headers(&self) -> Vec<(&str, &str)> {
        let own = self.headers.iter();
        own.map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// A request that is answered whole.
    pub async fn request(
        &self,
        fleet: &Fleet,
        at: usize,
        id: usize,
        method: &str,
        params: Value,
    ) -> Result<Answer> {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let url = fleet.url(at)?;
        self.raw
            .post(&url, &self.headers(), message.to_string())
            .await
    }

    /// A call of which the answer is read while it comes.
    pub async fn call(&self, fleet: &Fleet, at: usize, id: usize, params: Value) -> Result<Stream> {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        let mut headers = self.headers();
        headers.extend([ACCEPT, ("content-type", "application/json")]);
        let url = fleet.url(at)?;
        self.raw
            .stream(Method::POST, &url, &headers, call.to_string())
            .await
    }

    /// The text that a tool answers with.
    pub async fn text(&self, fleet: &Fleet, at: usize, tool: &str) -> Result<String> {
        let params = json!({ "name": tool, "arguments": {} });
        let result = self
            .request(fleet, at, 1, "tools/call", params)
            .await?
            .result()?;
        let text = result["content"][0]["text"].as_str().map(str::to_owned);
        text.with_context(|| format!("{tool} answered without text: {result}"))
    }

    /// A notification or an answer.
    pub async fn say(&self, fleet: &Fleet, at: usize, message: &Value) -> Result<()> {
        let url = fleet.url(at)?;
        let said = self
            .raw
            .post(&url, &self.headers(), message.to_string())
            .await?;
        ensure!(
            said.status == StatusCode::ACCEPTED,
            "{}: {}",
            said.status,
            said.text()
        );
        Ok(())
    }

    /// Its standing stream, or one that it comes back to behind an event.
    pub async fn listen(&self, fleet: &Fleet, at: usize, last: Option<&str>) -> Result<Stream> {
        let mut headers = self.headers();
        headers.push(ACCEPT);
        headers.extend(last.map(|last| ("last-event-id", last)));
        self.raw
            .stream(Method::GET, &fleet.url(at)?, &headers, "")
            .await
    }

    /// Ends its session.
    pub async fn delete(&self, fleet: &Fleet, at: usize) -> Result<StatusCode> {
        let url = fleet.url(at)?;
        let deleted = self
            .raw
            .send(Method::DELETE, &url, &self.headers(), "")
            .await?;
        Ok(deleted.status)
    }

    /// What a request gets that needs nothing but the session.
    pub async fn status(&self, fleet: &Fleet, at: usize) -> Result<StatusCode> {
        let answer = self.request(fleet, at, 7, "tools/list", json!({})).await?;
        Ok(answer.status)
    }
}
