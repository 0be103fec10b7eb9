//! The listener: accepts connections, checks Host and Origin, and hands requests to MCP.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use gateway_core::RequestId;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::Gateway;
use crate::body::ReplyBody;
use crate::connection::{Begun, Ending, LAST_MOMENT, Requests, Version, Watched, last_moment};
use crate::endpoint::{Endpoint, HostDisagrees};
use crate::error::{Failure, Reason};
use crate::fleet;
use crate::limits::Limits;
use crate::mcp_http;
use crate::pipeline;

/// By what a listener speaks TLS: the certificates in force, which may be replaced at any time.
pub type ServerTls = watch::Receiver<Arc<ServerConfig>>;

/// How long to wait before accepting again when the system has run out of something.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For whom a listener is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    Clients,
    /// The other replicas of the fleet.
    Replicas,
}

impl Door {
    /// What is waited for at the end.
    fn connections(self, gateway: &Gateway) -> &TaskTracker {
        match self {
            Self::Clients => &gateway.requests,
            Self::Replicas => &gateway.handing,
        }
    }

    /// What a client has sent within its limits fits through to another replica, signed.
    fn limits(self, limits: &Limits) -> Limits {
        let mut limits = *limits;
        if matches!(self, Self::Replicas) {
            limits.max_headers = limits.max_headers.saturating_add(4);
            limits.max_header_bytes = limits.max_header_bytes.saturating_add(1024);
        }
        limits
    }
}

/// Serves until told to stop; connections then finish what they have begun.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    door: Door,
    listener: TcpListener,
    tls: Option<ServerTls>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => take(&gateway, door, stream, tls.as_ref(), &stop),
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Who is in the system's queue believes to be connected, and would find the connection broken.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((stream, _)) = listener.accept() {
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            take(&gateway, door, stream, tls.as_ref(), &stop);
        }
    }
}

/// Serves a connection, if there is a place for one more.
fn take(
    gateway: &Arc<Gateway>,
    door: Door,
    stream: TcpStream,
    tls: Option<&ServerTls>,
    stop: &CancellationToken,
) {
    // Who waits in vain had better be told at once.
    let Ok(place) = Arc::clone(&gateway.connections).try_acquire_owned() else {
        return debug!("a connection too many was closed");
    };
    let (keeper, stop) = (Arc::clone(gateway), stop.clone());
    let tls = tls.map(|tls| Arc::clone(&tls.borrow()));
    // Made within the task, which otherwise has the space for it twice.
    drop(door.connections(gateway).spawn(async move {
        match tls {
            None => serve_connection(keeper, door, stream, stop).await,
            // What it takes is not there for connections without it.
            Some(tls) => Box::pin(serve_tls(keeper, door, stream, tls, stop)).await,
        }
        drop(place);
    }));
}

/// A handshake has the time that a request's head has, and its connection's place.
async fn serve_tls(
    gateway: Arc<Gateway>,
    door: Door,
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
) {
    send_at_once(&stream);
    let shaking = TlsAcceptor::from(tls).accept(stream);
    let shaking = tokio::time::timeout(gateway.limits.header_timeout, shaking);
    let Some(shaken) = last_moment(shaking, &stop).await else {
        return;
    };
    match shaken {
        Ok(Ok(stream)) => serve_stream(gateway, door, stream, stop).await,
        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
        Err(_) => debug!("a TLS handshake took too long"),
    }
}

async fn serve_connection(
    gateway: Arc<Gateway>,
    door: Door,
    stream: TcpStream,
    stop: CancellationToken,
) {
    send_at_once(&stream);
    serve_stream(gateway, door, stream, stop).await;
}

/// Answers are small and complete: waiting to fill a packet only delays them.
fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY was not set");
    }
}

async fn serve_stream<T>(gateway: Arc<Gateway>, door: Door, stream: T, stop: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = door.limits(&gateway.limits);
    let ending = Ending {
        draining: gateway.draining.clone(),
        stop,
    };
    let answer = move |request| {
        let gateway = Arc::clone(&gateway);
        async move {
            match door {
                Door::Clients => answer(&gateway, request).await,
                Door::Replicas => {
                    let under_way = gateway.handed_on.token();
                    let response = Box::pin(fleet::answer(&gateway, request)).await;
                    response.map(|body| body.handed_on(under_way))
                }
            }
        }
    };
    speak_http(stream, &limits, answer, ending).await;
}

/// Speaks HTTP on a connection until it ends, or until told to stop and done with what is begun.
pub(crate) async fn speak_http<T, A, F>(stream: T, limits: &Limits, answer: A, ending: Ending)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(hyper::Request<Incoming>) -> F + Send,
    F: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    let requests = Requests::default();
    let stream = Watched::new(stream, requests.clone(), limits);
    let Some(begun) = last_moment(Begun::look(stream), &ending.stop).await else {
        return;
    };
    let (version, stream) = match begun {
        Ok(begun) => begun,
        Err(error) => return debug!(%error, "a connection ended before it began"),
    };
    let (counted, Ending { draining, stop }) = (requests.clone(), ending);
    let service = service_fn(move |request| {
        let under_way = requests.begin();
        let draining = draining.clone();
        let end = move |response: Response<ReplyBody>| {
            let mut response = response.map(|body| body.ending(under_way));
            if version == Version::Http1 && draining.has_begun() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        };
        // On the heap, where it takes no space between requests.
        Box::pin(answer(request).map(|response| Ok::<_, Infallible>(end(response))))
    });
    let stream = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            let connection = http_1(limits).serve_connection(stream, service);
            finish(Box::pin(connection), &counted, &stop).await;
        }
        Version::Http2 => {
            let connection = http_2(limits).serve_connection(stream, service);
            finish(Box::pin(connection), &counted, &stop).await;
        }
    }
}

fn http_1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The connection is watched by itself.
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes)
        .max_headers(limits.max_headers);
    builder
}

fn http_2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let most_header_bytes = u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(most_header_bytes);
    builder
}

/// Serves a connection until it ends, or until told to stop and done with what is begun.
async fn finish<C>(mut connection: Pin<Box<C>>, requests: &Requests, stop: &CancellationToken)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => end(connection, requests).await,
    };
    if let Err(error) = result {
        debug!(error = &error as &dyn Error, "a connection ended early");
    }
}

/// Ends a connection when what is begun on it is done, the first request included, which may be under
/// way: the library would not look for it.
async fn end<C>(mut connection: Pin<Box<C>>, requests: &Requests) -> hyper::Result<()>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    if requests.begun() == 0 {
        let used = tokio::time::timeout(LAST_MOMENT, connection.as_mut());
        if let Ok(result) = used.await {
            return result;
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    request: hyper::Request<Incoming>,
) -> Response<ReplyBody> {
    let (uri, headers) = (request.uri(), request.headers());
    let tenant = match gateway.access.check_tenant(uri, headers, &gateway.hosts) {
        Ok(tenant) => tenant,
        Err(refusal) => {
            debug!(%refusal, "a request was refused");
            return text(StatusCode::FORBIDDEN, format!("{refusal}\n"));
        }
    };
    match Endpoint::at(uri.path(), tenant) {
        Ok(Some(endpoint)) => mcp_http::take(gateway, endpoint, request).await,
        Ok(None) => text(
            StatusCode::NOT_FOUND,
            "nothing answers here; MCP is at /mcp and, for one server, at /s/SERVER/mcp\n",
        ),
        Err(disagrees) => Box::pin(refuse_host(gateway, &disagrees, request.method())).await,
    }
}

/// Refuses a path that is another tenant's than the host name. Whether that tenant is there makes no
/// difference; it is in the audit log of the one whose host name it is.
async fn refuse_host(
    gateway: &Gateway,
    disagrees: &HostDisagrees,
    method: &Method,
) -> Response<ReplyBody> {
    let id = RequestId::new(uuid::Uuid::now_v7().to_string());
    let failure = Failure::new(Reason::NotFound, disagrees.to_string());
    pipeline::record_refusal(gateway, &disagrees.of_host, &id, method.as_str(), &failure).await;
    text(StatusCode::NOT_FOUND, format!("{disagrees}\n"))
}

/// A plain-text response, for what is not MCP.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(text.into()));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_a_request_is_small() {
        let (_client, stream) = tokio::io::duplex(1);
        // What it takes to answer a request is there only while one is answered.
        let answer = |_| async {
            let large = [0_u8; 16 * 1024];
            tokio::task::yield_now().await;
            text(StatusCode::OK, String::from_utf8_lossy(&large))
        };
        let limits = Limits::default();
        let connection = speak_http(stream, &limits, answer, Ending::default());
        let size = size_of_val(&connection);
        assert!(size < 2 * 1024, "{size} bytes");
    }
}
