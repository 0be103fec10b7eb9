//! Two clients of one server at the same time, with the same ids and progress tokens: each must get all of its own
//! and nothing of the other's. Who they are is for the test to say.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::raw::{ACCEPT, RawClient, Stream};
use crate::session::{Era, modern_meta};

const SAMPLE: &str = "sampling/createMessage";
const LOG: &str = "notifications/message";
const PROGRESS: &str = "notifications/progress";
/// How often the fixture's tools report or log.
const STEPS: usize = 3;

/// A client that can be asked for samples.
#[derive(Debug)]
pub struct Client {
    era: Era,
    /// What it says in its questions and answers, to tell it from the other.
    name: &'static str,
    raw: RawClient,
    url: String,
    /// Its credential and its session.
    headers: Vec<(&'static str, String)>,
}

/// What a client does at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub questions: usize,
    pub progress: usize,
    /// Not the same for both clients, since log messages do not say whose they are.
    pub logs: usize,
    /// Whether log messages reach the client.
    pub hears_logs: bool,
}

impl Client {
    /// `api_key` is who it is, where the gateway asks.
    pub async fn open(
        gateway: &Gateway,
        era: Era,
        name: &'static str,
        api_key: Option<&str>,
    ) -> Result<Self> {
        Self::open_at(gateway.url("/mcp"), era, name, api_key).await
    }

    /// The same at an endpoint.
    pub async fn open_at(
        url: String,
        era: Era,
        name: &'static str,
        api_key: Option<&str>,
    ) -> Result<Self> {
        let mut client = Self {
            era,
            name,
            raw: RawClient::default(),
            url,
            headers: Vec::new(),
        };
        client
            .headers
            .extend(api_key.map(|key| ("x-api-key", key.to_owned())));
        if era == Era::Legacy {
            client.initialize().await?;
        }
        Ok(client)
    }

    async fn initialize(&mut self) -> Result<()> {
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": { "sampling": {} },
                "clientInfo": { "name": self.name, "version": "1" },
            },
        });
        let opened = self
            .raw
            .post(&self.url, &self.borrowed(), initialize.to_string())
            .await?;
        let session = opened
            .header("mcp-session-id")
            .context("no session")?
            .to_owned();
        self.headers.push(("mcp-session-id", session));
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await
    }

    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    async fn send(&self, message: &Value) -> Result<()> {
        let sent = self
            .raw
            .post(&self.url, &self.borrowed(), message.to_string())
            .await?;
        ensure!(sent.status == 202, "{}: {}", sent.status, sent.text());
        Ok(())
    }

    /// The stream of what belongs to no request of a legacy client.
    pub async fn standing(&self) -> Result<Stream> {
        let mut headers = self.borrowed();
        headers.push(ACCEPT);
        self.raw.stream(Method::GET, &self.url, &headers, "").await
    }

    /// Opens a subscription of a modern client.
    pub async fn listen(&self, id: &str, filter: Value) -> Result<Stream> {
        let params = json!({ "notifications": filter, "_meta": modern_meta() });
        self.stream(&json!(id), "subscriptions/listen", params)
            .await
    }

    /// Sends a request and reads its answer while it comes.
    pub async fn stream(&self, id: &Value, method: &str, mut params: Value) -> Result<Stream> {
        if self.era == Era::Modern && params.get("_meta").is_none() {
            params["_meta"] = modern_meta();
        }
        let name = ["name", "uri"].iter().find_map(|key| params[key].as_str());
        let name = name.unwrap_or_default().to_owned();
        let mut headers = self.borrowed();
        headers.extend([ACCEPT, ("content-type", "application/json")]);
        if self.era == Era::Modern {
            headers.extend([
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", method),
            ]);
            headers.extend((!name.is_empty()).then_some(("mcp-name", name.as_str())));
        }
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.raw
            .stream(Method::POST, &self.url, &headers, message.to_string())
            .await
    }

    /// Sends a request and gives its response.
    pub async fn request(&self, id: Value, method: &str, params: Value) -> Result<Value> {
        let mut messages = self.read(self.stream(&id, method, params).await?).await?;
        messages.pop().context("no answer")
    }

    /// Calls a tool and gives all that comes, the response last. Questions are answered.
    pub async fn call(&self, id: usize, tool: &str, further: Value) -> Result<Vec<Value>> {
        let mut params = json!({ "name": tool, "_meta": {} });
        merge(&mut params, further);
        if self.era == Era::Modern {
            let mut meta = modern_meta();
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({ "sampling": {} });
            meta["io.modelcontextprotocol/logLevel"] = "debug".into();
            merge(&mut params["_meta"], meta);
        }
        self.read(self.stream(&json!(id), "tools/call", params).await?)
            .await
    }

    async fn read(&self, mut stream: Stream) -> Result<Vec<Value>> {
        let mut messages = Vec::new();
        while let Some(event) = stream.next().await? {
            if event.message["method"] == SAMPLE {
                self.answer(&event.message).await?;
            }
            messages.push(event.message);
        }
        Ok(messages)
    }

    async fn answer(&self, question: &Value) -> Result<()> {
        let result = self.sample(&question["params"]);
        self.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }))
            .await
    }

    fn sample(&self, params: &Value) -> Value {
        let text = format!("{} answers {}", self.name, prompt_of(params));
        json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": text } })
    }

    /// Does all of it at once, and checks what it gets.
    pub async fn bear(&self, load: Load) -> Result<()> {
        let ids = 1..;
        let tools = std::iter::empty()
            .chain(std::iter::repeat_n("test_sampling", load.questions))
            .chain(std::iter::repeat_n(
                "test_tool_with_progress",
                load.progress,
            ))
            .chain(std::iter::repeat_n("test_tool_with_logging", load.logs));
        let calls = ids.zip(tools).map(|(id, tool)| self.check(id, tool));
        let mut heard = try_join_all(calls).await?.concat();
        heard.extend(self.late_logs(load, &heard).await?);
        let mut counts = BTreeMap::<String, usize>::new();
        for message in heard {
            let method = message["method"].as_str().unwrap_or_default();
            let about = match method {
                SAMPLE => format!("{SAMPLE} {}", prompt_of(&message["params"])),
                other => other.to_owned(),
            };
            *counts.entry(about).or_default() += 1;
        }
        let mut expected = BTreeMap::new();
        if self.era == Era::Legacy {
            expected
                .extend((1..=load.questions).map(|id| (format!("{SAMPLE} {} {id}", self.name), 1)));
        }
        let logs = if load.hears_logs {
            load.logs * STEPS
        } else {
            0
        };
        expected.extend([
            (LOG.to_owned(), logs),
            (PROGRESS.to_owned(), load.progress * STEPS),
        ]);
        expected.retain(|_, count| *count > 0);
        ensure!(
            counts == expected,
            "{} heard {counts:?} and not {expected:?}",
            self.name
        );
        Ok(())
    }

    /// Over HTTP a server logs on a stream of its own, which may come after the answer to the call. A legacy client
    /// then finds it on its standing stream.
    async fn late_logs(&self, load: Load, heard: &[Value]) -> Result<Vec<Value>> {
        let logs = heard.iter().filter(|message| message["method"] == LOG);
        let missing = (load.logs * STEPS).saturating_sub(logs.count());
        let mut late = Vec::new();
        if missing == 0 || !load.hears_logs || self.era == Era::Modern {
            return Ok(late);
        }
        let mut standing = self.standing().await?;
        while late.len() < missing {
            let event = standing.next().await?.context("the stream ended")?;
            late.push(event.message);
        }
        Ok(late)
    }

    /// Makes one call; what comes beside its response.
    async fn check(&self, id: usize, tool: &str) -> Result<Vec<Value>> {
        let prompt = format!("{} {id}", self.name);
        // The other client uses the same tokens.
        let params = json!({ "arguments": { "prompt": prompt }, "_meta": { "progressToken": id } });
        let mut messages = self.call(id, tool, params.clone()).await?;
        let mut response = messages.pop().context("no answer")?;
        if let Some(questions) = response["result"]["inputRequests"].as_object() {
            ensure!(questions.len() == 1, "{response}");
            let answers = questions
                .iter()
                .map(|(key, question)| (key.clone(), self.sample(&question["params"])));
            let answers: serde_json::Map<_, _> = answers.collect();
            let mut params = params;
            params["inputResponses"] = answers.into();
            if let Some(state) = response["result"].get("requestState") {
                params["requestState"] = state.clone();
            }
            let mut again = self.call(id, tool, params).await?;
            response = again.pop().context("no answer to the answer")?;
            messages.extend(again);
        }
        ensure!(response["id"] == id, "{id} was answered with {response}");
        let text = response["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default();
        if tool == "test_sampling" {
            let expected = format!("LLM response: {} answers {prompt}", self.name);
            ensure!(text == expected, "{response}");
        }
        for message in &messages {
            if message["method"] == PROGRESS {
                ensure!(
                    message["params"]["progressToken"] == id,
                    "{id} got {message}"
                );
                ensure!(tool == "test_tool_with_progress", "{tool} got {message}");
            }
        }
        Ok(messages)
    }
}

fn prompt_of(params: &Value) -> String {
    let text = params["messages"][0]["content"]["text"].as_str();
    text.unwrap_or_default().to_owned()
}

fn merge(into: &mut Value, further: Value) {
    if let (Some(into), Value::Object(further)) = (into.as_object_mut(), further) {
        into.extend(further);
    }
}
