//! A legacy client that a server asks while it calls, and that answers by a connection of its own.

use anyhow::{Context as _, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::site::ada;
use crate::raw::{ACCEPT, RawClient};

const TOOL: &str = "test_sampling";

#[derive(Debug)]
pub(super) struct Asker {
    url: String,
    session: String,
    calls: u64,
}

impl Asker {
    pub(super) async fn open(url: String) -> Result<Self> {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "sampling": {} },
            "clientInfo": { "name": "asker", "version": "1" },
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let client = RawClient::default();
        let opened = client.post(&url, &[ada()], message.to_string()).await?;
        let session = opened.header("mcp-session-id").context("no session")?;
        let session = session.to_owned();
        let asker = Self {
            url,
            session,
            calls: 0,
        };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        asker.say(&initialized).await?;
        Ok(asker)
    }

    fn headers(&self) -> [(&str, &str); 2] {
        [ada(), ("mcp-session-id", &self.session)]
    }

    /// Calls the tool that asks, and gives its name.
    pub(super) async fn ask(&mut self) -> Result<&'static str> {
        self.calls += 1;
        let id = self.calls;
        let expected = format!("said in call {id}");
        let params = json!({ "name": TOOL, "arguments": { "prompt": "p" } });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        let mut headers = self.headers().to_vec();
        headers.extend([ACCEPT, ("content-type", "application/json")]);
        let client = RawClient::default();
        let mut stream = client
            .stream(Method::POST, &self.url, &headers, call.to_string())
            .await
            .context("the call")?;
        let question = loop {
            let event = stream.next().await.context("the question")?;
            let message = event
                .context("the stream ended before the question")?
                .message;
            if message["method"] == "sampling/createMessage" {
                break message;
            }
            ensure!(
                message["id"] != id,
                "answered without a question: {message}"
            );
        };
        let content = json!({ "type": "text", "text": expected });
        let result = json!({ "role": "assistant", "model": "m", "content": content });
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
        self.say(&answer).await.context("the answer")?;
        let result = stream.next().await.context("the result")?;
        let message = result
            .context("the stream ended before the result")?
            .message;
        ensure!(
            message["id"] == id && message["result"].to_string().contains(&expected),
            "the result is {message}"
        );
        Ok(TOOL)
    }

    async fn say(&self, message: &Value) -> Result<()> {
        let client = RawClient::default();
        let said = client
            .post(&self.url, &self.headers(), message.to_string())
            .await?;
        ensure!(
            said.status == StatusCode::ACCEPTED,
            "{}: {}",
            said.status,
            said.text()
        );
        Ok(())
    }
}
