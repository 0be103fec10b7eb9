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
