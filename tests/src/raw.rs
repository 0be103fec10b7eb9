//! A client that sends exactly what a test says, and shows exactly what came back.

use anyhow::Context as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::secrets;
use crate::wait::PATIENCE;

pub const ACCEPT: (&str, &str) = ("accept", "application/json, text/event-stream");

#[derive(Debug, Clone)]
pub struct RawClient {
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Default for RawClient {
    fn default() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }
}

impl RawClient {
    /// One that speaks HTTP/2 without having been asked to.
    pub fn http2() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
        }
    }

    /// Sends the headers as they are, and nothing else but `Host` (unless given) and the length.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let exchange = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            search(url, &parts.headers, &body);
            anyhow::Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .with_context(|| format!("no whole answer from {url} within {PATIENCE:?}"))?
            .with_context(|| format!("asking {url}"))
    }

    /// What is at an address.
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, url, &[], "").await
    }

    /// Sends a request and reads the answer as a stream of events while it comes.
    pub async fn stream(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Stream> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await??;
        let (parts, body) = answer.into_parts();
        search(url, &parts.headers, &[]);
        Ok(Stream {
            status: parts.status,
            body,
            read: String::new(),
        })
    }

    /// A POST of a JSON message with the two headers that every client sends, and those given.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        message: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut all = vec![("content-type", "application/json"), ACCEPT];
        all.extend_from_slice(headers);
        self.send(Method::POST, url, &all, message).await
    }
}

/// What is answered holds no secret, neither here nor there.
fn search(url: &str, headers: &HeaderMap, body: &[u8]) {
    for (name, value) in headers {
        let place = format!("the header {name} of the answer from {url}");
        secrets::search(&place, value.as_bytes());
    }
    secrets::search(&format!("the answer from {url}"), body);
}

/// An answer that is read while it comes.
#[derive(Debug)]
pub struct Stream {
    pub status: StatusCode,
    body: hyper::body::Incoming,
    read: String,
}

/// One event of a stream.
#[derive(Debug)]
pub struct Event {
    pub id: Option<String>,
    pub message: Value,
}

impl Stream {
    /// The next event that carries a message; `None` at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                if let Some(event) = parse(&event)? {
                    return Ok(Some(event));
                }
                continue;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame());
            let Some(frame) = frame.await.context("no further event")? else {
                // What is left is the answer of a server that did not stream it.
                let rest = std::mem::take(&mut self.read);
                let message = (!rest.trim().is_empty()).then(|| serde_json::from_str(&rest));
                let message = message
                    .transpose()
                    .with_context(|| format!("reading {rest:?}"))?;
                return Ok(message.map(|message| Event { id: None, message }));
            };
            if let Some(data) = frame?.data_ref() {
                secrets::search("a part of a stream", data);
                self.read.push_str(std::str::from_utf8(data)?);
            }
        }
    }

    /// The next message with this method; others are passed over.
    pub async fn next_of(&mut self, method: &str) -> anyhow::Result<Event> {
        loop {
            let event = self.next().await?.context("the stream ended")?;
            if event.message["method"] == method {
                return Ok(event);
            }
        }
    }
}

fn parse(event: &str) -> anyhow::Result<Option<Event>> {
    let field = |name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start().to_owned())
    };
    let Some(data) = field("data:").filter(|data| !data.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Event {
        id: field("id:"),
        message: serde_json::from_str(&data)?,
    }))
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Every message as the bytes that came: one of a JSON body, or one for each event of a stream.
    pub fn raw_messages(&self) -> Vec<String> {
        let is_stream = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let text = self.text();
        if !is_stream {
            return vec![text];
        }
        let events = text.split("\n\n").map(|event| {
            let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
            data.map(|line| line.strip_prefix(' ').unwrap_or(line))
                .collect::<Vec<_>>()
                .join("\n")
        });
        events.filter(|data| !data.is_empty()).collect()
    }

    /// The last message, which is the response.
    pub fn raw_message(&self) -> String {
        self.raw_messages().pop().unwrap_or_default()
    }

    pub fn message(&self) -> anyhow::Result<Value> {
        let raw = self.raw_message();
        serde_json::from_str(&raw).with_context(|| format!("reading {} {raw:?}", self.status))
    }

    /// The response's result; an error is an error here as well.
    pub fn result(&self) -> anyhow::Result<Value> {
        let mut message = self.message()?;
        let result = message.get_mut("result").map(Value::take);
        result.with_context(|| format!("there is no result in {} {message}", self.status))
    }

    /// The code of the response's error.
    pub fn error_code(&self) -> anyhow::Result<i64> {
        let message = self.message()?;
        let code = message.pointer("/error/code").and_then(Value::as_i64);
        code.with_context(|| format!("there is no error in {} {message}", self.status))
    }
}
