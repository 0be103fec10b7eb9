//! The MCP side of the commands: a modern client of the gateway's own endpoint.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gateway_core::Deadline;
use gateway_mcp::author;
use gateway_mcp::bridge;
use gateway_mcp::client::{
    ClientError, ClientHello, Connector, Exchange, HttpEndpoint, NetworkPolicy, Peer,
};
use gateway_mcp::code;
use gateway_mcp::header::ParamHeaders;
use gateway_mcp::json::encode_str;
use gateway_mcp::list::{Item, ListKind, Page};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::version::{Era, Version};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::exit::{Failure, note};

/// How long everything but a call may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A call whose length nobody limits: the gateway does.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const CLIENT_INFO: &str = concat!(
    r#"{"name":"mcp-gateway-tools","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// Pages after which a list is taken for endless.
const MAX_PAGES: usize = 1_000;

/// Where a gateway that asks for keys finds this user's.
const KEY: &str = "MCP_GATEWAY_API_KEY";

/// One endpoint of a gateway, opened.
pub(super) struct Session {
    peer: Peer,
    timeout: Duration,
}

impl Session {
    pub(super) async fn open(
        socket: &Path,
        path: &str,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        let connector = Connector::new(NetworkPolicy::desktop()).context("TLS cannot be set up")?;
        // Whatever the gateway lets through is no more than this.
        let max_bytes = gateway_data_plane::Limits::default().max_body_bytes * 2;
        let endpoint = HttpEndpoint::on_socket(socket, path, &connector, key()?, max_bytes);
        let endpoint = endpoint.context("the gateway cannot be reached")?;
        let hello = ClientHello {
            name: "mcp-gateway-tools".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: "{}".to_owned(),
            legacy_version: Version::LATEST_LEGACY,
        };
        let deadline = Deadline::after(PATIENCE);
        let endpoint = Arc::new(endpoint);
        let peer = Peer::connect_http(endpoint, hello, Some(Era::Modern), deadline).await;
        Ok(Self {
            peer: peer.map_err(refused)?,
            timeout: timeout.unwrap_or(LONGEST),
        })
    }

    /// All tools that the endpoint shows.
    pub(super) async fn tools(&self) -> Result<Vec<Item>, Failure> {
        let deadline = Deadline::after(PATIENCE);
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.map(|cursor| format!(r#"{{"cursor":{}}}"#, encode_str(&cursor)));
            let method = ListKind::Tools.method();
            let exchange = self.ask(method, params.as_deref(), HeaderMap::new(), deadline);
            let response = answer(exchange.await?).await?;
            let page = Page::scan(&response, ListKind::Tools).map_err(anyhow::Error::from)?;
            tools.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(Failure::Failed(anyhow!(
            "the gateway's list of tools has no end"
        )))
    }

    /// Calls a tool with arguments, a raw JSON object; gives the raw result.
    pub(super) async fn call(&self, tool: &Item, arguments: &str) -> Result<String, Failure> {
        let params = format!(
            r#"{{"name":{},"arguments":{arguments},"_meta":{{"progressToken":"tools-call"}}}}"#,
            encode_str(tool.name()),
        );
        // Arguments that the tool wants repeated in headers; the server has the last word on both.
        let headers = tool.input_schema().map(ParamHeaders::read);
        let headers = headers.and_then(|read| read.ok()?.write(Some(arguments)).ok());
        let deadline = Deadline::after(self.timeout);
        let headers = headers.unwrap_or_default();
        let exchange = self.ask("tools/call", Some(&params), headers, deadline);
        let response = answer(exchange.await?).await?;
        let result = response.result().map(str::to_owned);
        result.ok_or_else(|| Failure::Failed(anyhow!("the gateway's answer has no result")))
    }

    async fn ask(
        &self,
        method: &str,
        params: Option<&str>,
        headers: HeaderMap,
        deadline: Deadline,
    ) -> Result<Exchange, Failure> {
        let request = author::request("1", method, params);
        let version = self.peer.hello().version;
        let request = bridge::request_to_modern(&request, CLIENT_INFO, "{}", version)
            .context("the request cannot be written")?;
        self.peer
            .request(&request, headers, deadline)
            .await
            .map_err(refused)
    }
}

/// The header with the user's key, where there is one.
fn key() -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(key) = std::env::var_os(KEY).filter(|key| !key.is_empty()) {
        let key = key.to_str().map(HeaderValue::from_str);
        let Some(Ok(mut key)) = key else {
            return Err(Failure::invalid(format!("{KEY} does not hold a key")));
        };
        key.set_sensitive(true);
        headers.insert("x-api-key", key);
    }
    Ok(headers)
}

/// The response; what comes before it is told to who looks on.
async fn answer(mut exchange: Exchange) -> Result<Message, Failure> {
    let looks_on = std::io::stderr().is_terminal();
    while let Some(message) = exchange.next().await {
        let message = message.map_err(refused)?;
        if message.kind() == Kind::Response {
            return match message.rpc_error() {
                Some(error) => Err(failed(error.code, &error.message)),
                None => Ok(message),
            };
        }
        if looks_on && message.method() == Some("notifications/progress") {
            note(&progress(message.params().unwrap_or_default()));
        }
    }
    Err(Failure::Failed(anyhow!(
        "the gateway ended the call without an answer"
    )))
}

/// `12 of 30: reading`.
fn progress(params: &str) -> String {
    let params: Value = serde_json::from_str(params).unwrap_or_default();
    let number = |name: &str| params.get(name).filter(|value| value.is_number());
    let mut line = number("progress").map_or_else(String::new, Value::to_string);
    if let Some(total) = number("total") {
        line = format!("{line} of {total}");
    }
    match params.get("message").and_then(Value::as_str) {
        Some(message) => format!("{line}: {}", super::outcome::on_one_line(message)),
        None => line,
    }
}

fn failed(code: i64, message: &str) -> Failure {
    let hint = match code {
        code::UNAUTHENTICATED => format!("; these commands send the key in {KEY}"),
        _ => String::new(),
    };
    Failure::Failed(anyhow!("{message} (code {code}){hint}"))
}

/// An error of the connection, in the gateway's own words where it has said any.
fn refused(error: ClientError) -> Failure {
    if let ClientError::Status { status, text, .. } = &error {
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        let code = said.pointer("/error/code").and_then(Value::as_i64);
        let message = said.pointer("/error/message").and_then(Value::as_str);
        if let (Some(code), Some(message)) = (code, message) {
            return failed(code, message);
        }
        if *status == StatusCode::UNAUTHORIZED {
            return failed(code::UNAUTHENTICATED, "not authenticated");
        }
    }
    if error.is_deadline() {
        return Failure::Failed(anyhow!(
            "no answer came in time; --timeout gives a call longer"
        ));
    }
    Failure::Failed(anyhow::Error::new(error))
}
