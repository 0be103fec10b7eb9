//! An audit sink that is an MCP server over HTTP, as somebody might have written it: it keeps what arrives, and
//! misbehaves as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::wait::PATIENCE;

/// What it does with events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    Take,
    /// Says that it is broken.
    Fail,
    /// Says of every event of this tool that it is none that it can take.
    RefuseTool(String),
    /// Never answers.
    Hang,
    /// Takes them, and answers so much later.
    Late(Duration),
    /// Takes them, and closes the connection instead of answering.
    TakeAndDrop,
}

/// What has arrived, over the lives of one collector.
#[derive(Debug, Default)]
pub struct Collected {
    events: watch::Sender<Vec<Value>>,
    manner: watch::Sender<Manner>,
}

/// A collector that runs until it is killed or dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    collected: Arc<Collected>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Collected {
    /// Everything that arrived, repeats included.
    pub fn events(&self) -> Vec<Value> {
        self.events.borrow().clone()
    }

    pub fn count(&self) -> usize {
        self.events.borrow().len()
    }

    /// Every event that arrived, when it came for the first time.
    pub fn once(&self) -> Vec<Value> {
        let mut seen = std::collections::HashSet::new();
        let events = self.events.borrow();
        let first = events.iter().filter(|event| seen.insert(event_id(event)));
        first.cloned().collect()
    }

    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Waits for what has arrived to be so.
    pub async fn wait_for(
        &self,
        what: &str,
        mut fits: impl FnMut(&[Value]) -> bool,
    ) -> anyhow::Result<()> {
        let mut events = self.events.subscribe();
        let waiting = events.wait_for(|events| fits(events));
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        drop(waited.with_context(|| format!("the collector waits for {what} in vain"))??);
        Ok(())
    }
}

/// By what a repeat is recognised.
pub fn event_id(event: &Value) -> String {
    event["metadata"]["event_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

impl Collector {
    /// Starts on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::default()).await
    }

    /// Starts again where one was killed, with what that had collected.
    pub async fn start_at(address: SocketAddr, collected: Arc<Collected>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .context("binding the collector")?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(
            listener,
            Arc::clone(&collected),
            stop.clone(),
            tasks.clone(),
        );
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            collected,
            stop,
            tasks,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn collected(&self) -> &Arc<Collected> {
        &self.collected
    }

    /// Closes the port and every connection.
    pub async fn kill(self) -> (SocketAddr, Arc<Collected>) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        (self.address, Arc::clone(&self.collected))
    }
}

impl std::ops::Deref for Collector {
    type Target = Collected;

    fn deref(&self) -> &Collected {
        &self.collected
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    collected: Arc<Collected>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            continue;
        };
        let serving = serve(connection, Arc::clone(&collected));
        tasks.spawn(stop.clone().run_until_cancelled_owned(serving));
    }
}

async fn serve(connection: TcpStream, collected: Arc<Collected>) {
    let service = service_fn(|request| answer(&collected, request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
    // A client that goes away, or is sent away, is what some tests are about.
    drop(serving.await);
}

/// An error closes the connection.
async fn answer(
    collected: &Collected,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Abrupt> {
    if request.method() != Method::POST {
        return Ok(respond(StatusCode::METHOD_NOT_ALLOWED, None));
    }
    let body = request.into_body().collect().await.map_err(|_| Abrupt)?;
    let Ok(message) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return Ok(respond(StatusCode::BAD_REQUEST, None));
    };
    let Some(id) = message.get("id") else {
        return Ok(respond(StatusCode::ACCEPTED, None));
    };
    let params = &message["params"];
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "collector", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [tool("log_event"), tool("log_events")] }),
        Some("tools/call") => collected.call(&params["arguments"]).await?,
        _ => {
            let error = json!({ "code": -32601, "message": "there is no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": id, "error": error });
            return Ok(respond(StatusCode::OK, Some(&answer)));
        }
    };
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    Ok(respond(StatusCode::OK, Some(&answer)))
}

/// The end of a connection that is owed an answer.
#[derive(Debug)]
struct Abrupt;

impl std::fmt::Display for Abrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the collector closes the connection")
    }
}

impl std::error::Error for Abrupt {}

impl Collected {
    async fn call(&self, arguments: &Value) -> Result<Value, Abrupt> {
        let events = match &arguments["events"] {
            Value::Array(events) => events.clone(),
            _ => vec![arguments.clone()],
        };
        let manner = self.manner.borrow().clone();
        let failed = |kind: &str, message: &str| {
            let error = json!({ "error": { "kind": kind, "message": message } });
            Ok(json!({ "isError": true, "content": [], "structuredContent": error }))
        };
        match &manner {
            Manner::Fail => return failed("unavailable", "the disk is full"),
            Manner::RefuseTool(tool) if events.iter().any(|event| event["tool"] == **tool) => {
                return failed("invalid_argument", "there is no such tool");
            }
            Manner::Hang => {
                let mut manner = self.manner.subscribe();
                drop(manner.wait_for(|manner| *manner != Manner::Hang).await);
                return Err(Abrupt);
            }
            _ => {}
        }
        self.events
            .send_modify(|collected| collected.extend(events));
        match manner {
            Manner::TakeAndDrop => return Err(Abrupt),
            Manner::Late(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        Ok(json!({ "content": [], "structuredContent": {} }))
    }
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "inputSchema": { "type": "object" } })
}

fn respond(status: StatusCode, body: Option<&Value>) -> Response<Full<Bytes>> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
