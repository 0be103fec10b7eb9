//! The clients of a benchmark: connections that each ask, check what comes back, and ask again.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::reply::{MARK, Work};
use crate::session::{Era, initialize_message, modern_meta};

/// How long a single run may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// What the server echoes with; calls take turns.
    pub(super) tools: Vec<String>,
    /// Sent as `X-API-Key`.
    pub(super) key: Option<&'static str>,
    /// Whose processor time it costs.
    pub(super) process: Option<u32>,
}

/// A connection, which is a session of its own in the legacy era.
#[derive(Debug)]
pub(super) struct Client {
    era: Era,
    requests: SendRequest<Full<Bytes>>,
    /// Ends with this client.
    _connection: AbortOnDropHandle<()>,
    path: String,
    headers: HeaderMap,
    tools: Vec<String>,
    meta: String,
}

impl Client {
    pub(super) async fn open(target: &Target, era: Era) -> anyhow::Result<Self> {
        let opened = Self::try_open(target, era).await;
        opened.with_context(|| format!("connecting to {} at {}", target.name, target.address))
    }

    async fn try_open(target: &Target, era: Era) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        // How a connection ends is seen by the request that it ends under.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let mut headers = HeaderMap::new();
        headers.insert(HOST, target.address.to_string().parse()?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accepted = "application/json, text/event-stream";
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        if let Some(key) = target.key {
            headers.insert("x-api-key", HeaderValue::from_static(key));
        }
        let mut client = Self {
            era,
            requests,
            _connection: AbortOnDropHandle::new(connection),
            path: target.path.clone(),
            headers,
            tools: target.tools.clone(),
            meta: modern_meta().to_string(),
        };
        match era {
            Era::Legacy => client.initialize().await?,
            Era::Modern => client.add_header("mcp-protocol-version", "2026-07-28"),
        }
        Ok(client)
    }

    /// Opens another session, which later requests are of.
    pub(super) async fn initialize(&mut self) -> anyhow::Result<()> {
        let version = "2025-11-25";
        let (opened, body) = self.post(None, initialize_message(version)).await?;
        let text = String::from_utf8_lossy(&body);
        let is_open = opened.status() == StatusCode::OK && text.contains(version);
        ensure!(is_open, "initialize: {} {text}", opened.status());
        self.add_header("mcp-protocol-version", version);
        if let Some(id) = opened.headers().get("mcp-session-id") {
            self.headers.insert("mcp-session-id", id.clone());
        }
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let (accepted, _) = self.post(None, initialized.to_owned()).await?;
        let status = accepted.status();
        ensure!(status == StatusCode::ACCEPTED, "initialized: {status}");
        Ok(())
    }

    fn add_header(&mut self, name: &'static str, value: &'static str) {
        let name = HeaderName::from_static(name);
        self.headers.insert(name, HeaderValue::from_static(value));
    }

    async fn post(
        &mut self,
        named: Option<(&'static str, &str)>,
        body: String,
    ) -> anyhow::Result<(Response<()>, Bytes)> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.parse()?;
        *request.headers_mut() = self.headers.clone();
        if let Some((method, name)) = named {
            let method = HeaderValue::from_static(method);
            request.headers_mut().insert("mcp-method", method);
            if !name.is_empty() {
                request.headers_mut().insert("mcp-name", name.parse()?);
            }
        }
        self.requests.ready().await?;
        let (parts, body) = self.requests.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((Response::from_parts(parts, ()), body))
    }

    /// Asks once, and fails unless the answer is right.
    pub(super) async fn ask(&mut self, work: &Work, id: u64) -> anyhow::Result<()> {
        // Not to be guessed from the id.
        let mark = format!("{:0MARK$x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let turn = usize::try_from(id)? % self.tools.len().max(1);
        let tool = self
            .tools
            .get(turn)
            .map_or("echo", String::as_str)
            .to_owned();
        let (method, mut params) = match work {
            Work::Call { tail } => (
                "tools/call",
                format!(
                    r#""name":"{tool}","arguments":{{"mark":"{mark}","bytes":{}}}"#,
                    tail.len() + MARK
                ),
            ),
            Work::List { .. } => ("tools/list", String::new()),
        };
        let named = (self.era == Era::Modern).then_some(match work {
            Work::Call { .. } => (method, tool.as_str()),
            Work::List { .. } => (method, ""),
        });
        if self.era == Era::Modern {
            let separator = if params.is_empty() { "" } else { "," };
            params = format!(r#"{params}{separator}"_meta":{}"#, self.meta);
        }
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
        let (answer, body) = self.post(named, message).await?;
        let checked = work.check(self.era, id, &mark, &body);
        checked.with_context(|| format!("status {}", answer.status()))
    }
}

/// Opens so many connections and asks on each once, so that nothing is done for the first time later.
pub(super) async fn open(
    target: &Target,
    era: Era,
    work: &Work,
    connections: usize,
) -> anyhow::Result<Vec<Client>> {
    let open = |number: u64| async move {
        let mut client = Client::open(target, era).await?;
        let asked = client.ask(work, number).await;
        asked.with_context(|| format!("asking {}", target.name))?;
        anyhow::Ok(client)
    };
    let opened = async {
        let mut clients = Vec::new();
        // Not more at once than any listener has room for.
        while clients.len() < connections {
            let missing = (connections - clients.len()).min(64);
            clients.extend(try_join_all((0..missing as u64).map(open)).await?);
        }
        Ok(clients)
    };
    tokio::time::timeout(PATIENCE, opened)
        .await
        .with_context(|| format!("{} is not open within {PATIENCE:?}", target.name))?
}

/// Has the connections ask so many times in all, each as soon as its answer was checked; how long each took.
pub(super) async fn drive(
    clients: &mut [Client],
    work: &Work,
    calls: u64,
) -> anyhow::Result<Vec<Duration>> {
    let next = Cell::new(0);
    let drives = clients.iter_mut().map(|client| async {
        let mut took = Vec::new();
        while next.get() < calls {
            let id = next.get() + 1;
            next.set(id);
            let began = Instant::now();
            client.ask(work, id).await?;
            took.push(began.elapsed());
        }
        anyhow::Ok(took)
    });
    let driven = tokio::time::timeout(PATIENCE, try_join_all(drives)).await;
    let took = driven.with_context(|| format!("{calls} calls took more than {PATIENCE:?}"))??;
    Ok(took.into_iter().flatten().collect())
}
