//! The fixture over Streamable HTTP, at `/mcp`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reconnection::{Body, Resumptions};
use super::server::Server;
use crate::fixture::{Eras, MODERN_VERSION};

/// How soon a legacy client is to come back for the rest of a stream.
const RETRY: Duration = Duration::from_millis(500);
const ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

type Service = StreamableHttpService<Server, LocalSessionManager>;

/// A server that serves until it is dropped.
#[derive(Debug)]
pub struct ConformanceServer {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    watched: Arc<AtomicUsize>,
    lists: Arc<AtomicU64>,
}

impl ConformanceServer {
    /// Serves on a free port of the loopback interface.
    pub async fn start(eras: Eras) -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), eras).await
    }

    pub async fn start_at(address: SocketAddr, eras: Eras) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("binding the conformance fixture to {address}"))?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Server::new(eras, stop.clone(), tasks.clone());
        let (watched, lists) = (server.watched(), server.lists());
        let endpoint = Arc::new(Endpoint {
            service: service(eras, &stop, server),
            resumptions: Resumptions::new(),
            eras,
        });
        let connections = tasks.clone();
        tasks.spawn(accept(listener, endpoint, stop.clone(), connections));
        Ok(Self {
            address,
            stop,
            tasks,
            watched,
            lists,
        })
    }

    /// How many resources clients have subscribed to.
    pub fn watched(&self) -> usize {
        self.watched.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Closes the port and every connection, and forgets every session.
    pub async fn kill(self) -> SocketAddr {
        self.stop.cancel();
        self.stopped().await;
        self.address
    }

    /// How often the tools were listed.
    pub fn lists(&self) -> u64 {
        self.lists.load(Ordering::SeqCst)
    }

    /// Completes when the server has stopped, which it does only when it is dropped or its process ends.
    pub async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for ConformanceServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn service(eras: Eras, stop: &CancellationToken, server: Server) -> Service {
    let config = StreamableHttpServerConfig::default()
        .with_sse_retry(Some(RETRY))
        .with_allowed_origins(ORIGINS)
        .with_legacy_session_mode(eras != Eras::Modern)
        .with_stateless_protocol_metadata_required(eras == Eras::Modern)
        .with_cancellation_token(stop.clone());
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = Some(RETRY);
    StreamableHttpService::new(move || Ok(server.for_client()), Arc::new(sessions), config)
}

async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((connection, _)) = accepted else {
            continue;
        };
        let (endpoint, stop) = (Arc::clone(&endpoint), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve_connection(connection, endpoint) => {}
            }
        });
    }
}

async fn serve_connection(connection: TcpStream, endpoint: Arc<Endpoint>) {
    let service = service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { Ok::<_, Infallible>(endpoint.answer(request).await) }
    });
    // A client that goes away in the middle is what some tests are about.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(connection), service)
            .await,
    );
}

struct Endpoint {
    service: Service,
    resumptions: Resumptions,
    eras: Eras,
}

impl Endpoint {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() != "/mcp" {
            return respond(StatusCode::NOT_FOUND, "");
        }
        if self.eras == Eras::Legacy && is_modern(&request) {
            return refuse_modern();
        }
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let cut = self.resumptions.cut();
        request.extensions_mut().insert(cut.clone());
        let answer = self.service.handle(request).await;
        self.resumptions.note(&method, &headers);
        if is_event_stream(&answer) {
            answer.map(|body| cut.apply(body))
        } else {
            answer
        }
    }
}

fn is_modern(request: &Request<Incoming>) -> bool {
    let version = request.headers().get("mcp-protocol-version");
    version.is_some_and(|version| version == MODERN_VERSION)
}

fn is_event_stream(answer: &Response<Body>) -> bool {
    let content_type = answer.headers().get(CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/event-stream"))
}

/// As servers do that were written before the modern version: without a code that names an era.
fn refuse_modern() -> Response<Body> {
    let mut answer = respond(
        StatusCode::BAD_REQUEST,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Unsupported protocol version"}}"#,
    );
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn respond(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Full::from(text).boxed());
    *answer.status_mut() = status;
    answer
}
