//! A plugin over HTTP: connections, who is let in, and MCP at /mcp.

use std::convert::Infallible;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_data_plane::Limits;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::admission::{Admission, Lacks};
use crate::exit::Failure;
use crate::listen;
use crate::plugin::handler::Handler;
#[cfg(unix)]
use crate::private_socket;

/// For a handshake, and for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole call, its body included: whoever calls gives up before.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);

/// How long calls that are under way have at the end.
const DRAIN: Duration = Duration::from_secs(10);

/// A gateway keeps a few dozen.
const CONNECTIONS: usize = 1024;

/// How long to wait before accepting again when the system has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// What connections are taken from.
pub(super) enum Listening {
    Tcp {
        listener: TcpListener,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        hosts: Vec<String>,
    },
    #[cfg(unix)]
    Socket {
        listener: UnixListener,
        path: PathBuf,
    },
}

impl Listening {
    /// Also under these host names.
    pub(super) fn on(
        listener: TcpListener,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        hosts: Vec<String>,
    ) -> Self {
        Self::Tcp {
            listener,
            tls,
            hosts,
        }
    }

    /// In the place of a socket on which nobody listens any more.
    #[cfg(unix)]
    pub(super) fn on_socket(path: PathBuf) -> Result<Self, Failure> {
        let listener = private_socket::bind_free(&path)?;
        Ok(Self::Socket { listener, path })
    }

    /// As the log says it.
    pub(super) fn shown(&self) -> Result<String, Failure> {
        Ok(match self {
            Self::Tcp { listener, tls, .. } => {
                let scheme = listen::scheme(tls.is_some());
                format!("{scheme}://{}/mcp", listen::address(listener)?)
            }
            #[cfg(unix)]
            Self::Socket { path, .. } => format!("unix://{}", path.display()),
        })
    }

    /// The host names that requests may name.
    pub(super) fn hosts(&self) -> Vec<String> {
        let own = ["localhost", "127.0.0.1", "[::1]", "::1"].map(str::to_owned);
        let mut hosts = own.to_vec();
        if let Self::Tcp { hosts: further, .. } = self {
            hosts.extend(further.iter().cloned());
        }
        hosts
    }
}

#[cfg(unix)]
impl Drop for Listening {
    fn drop(&mut self) {
        if let Self::Socket { path, .. } = self {
            // One that stays behind answers nobody, and the next server takes its place.
            drop(std::fs::remove_file(path));
        }
    }
}

/// What every request passes.
pub(super) struct Door {
    service: StreamableHttpService<Handler, LocalSessionManager>,
    admission: Admission,
}

impl Door {
    pub(super) fn new(
        handler: Handler,
        admission: Admission,
        hosts: Vec<String>,
        stop: &CancellationToken,
    ) -> Self {
        // Calls need no session, so there is none to lose; no page of a browser has a plugin to call.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_allowed_hosts(hosts)
            .enforce_origin_validation()
            .with_max_request_body_bytes(Limits::default().max_body_bytes)
            .with_cancellation_token(stop.child_token());
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(handler.clone()), sessions, config);
        Self { service, admission }
    }

    async fn answer(&self, request: Request<Incoming>, has_certificate: bool) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => return said(StatusCode::OK, "ok\n"),
            (_, "/mcp") => {}
            _ => {
                return said(
                    StatusCode::NOT_FOUND,
                    "MCP is at /mcp, and there is /healthz\n",
                );
            }
        }
        if let Err(lacks) = self.admission.check(request.headers(), has_certificate) {
            let mut response = said(StatusCode::UNAUTHORIZED, format!("{lacks}\n"));
            if lacks == Lacks::Token {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            return response;
        }
        let answered = tokio::time::timeout(CALL_TIMEOUT, self.service.handle(request));
        match answered.await {
            Ok(response) => response,
            Err(_) => said(StatusCode::REQUEST_TIMEOUT, "the call took too long\n"),
        }
    }
}

pub(super) fn said(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.into())).boxed());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// Serves until told to stop; what is under way then has a while to end.
pub(super) async fn serve(listening: Listening, door: Door, stop: CancellationToken) {
    let door = Arc::new(door);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listening) => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Who comes beyond that is told at once, by the end of the connection.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (door, stop) = (Arc::clone(&door), stop.clone());
        drop(connections.spawn(async move {
            accepted.serve(door, stop).await;
            drop(place);
        }));
    }
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait())
        .await
        .is_err()
    {
        debug!("calls are left out at the end");
    }
}

/// A connection, by the way that it came.
enum Accepted {
    Tcp(tokio::net::TcpStream, Option<Arc<ServerConfig>>),
    #[cfg(unix)]
    Socket(tokio::net::UnixStream),
}

async fn accept(listening: &Listening) -> std::io::Result<Accepted> {
    match listening {
        Listening::Tcp { listener, tls, .. } => {
            let (stream, _) = listener.accept().await?;
            // Answers are small and complete: waiting to fill a packet only delays them.
            stream.set_nodelay(true)?;
            let tls = tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
            Ok(Accepted::Tcp(stream, tls))
        }
        #[cfg(unix)]
        Listening::Socket { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            Ok(Accepted::Socket(stream))
        }
    }
}

impl Accepted {
    async fn serve(self, door: Arc<Door>, stop: CancellationToken) {
        match self {
            Self::Tcp(stream, None) => speak(stream, door, false, stop).await,
            Self::Tcp(stream, Some(tls)) => {
                let shaking = TlsAcceptor::from(tls).accept(stream);
                match tokio::time::timeout(HEAD_TIMEOUT, shaking).await {
                    Ok(Ok(stream)) => {
                        // Whose it is has been checked in the handshake.
                        let shown = stream.get_ref().1.peer_certificates();
                        let has_certificate = shown.is_some_and(|shown| !shown.is_empty());
                        speak(stream, door, has_certificate, stop).await;
                    }
                    Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
                    Err(_) => debug!("a TLS handshake took too long"),
                }
            }
            #[cfg(unix)]
            Self::Socket(stream) => speak(stream, door, false, stop).await,
        }
    }
}

async fn speak<T>(stream: T, door: Arc<Door>, has_certificate: bool, stop: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request, has_certificate).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
