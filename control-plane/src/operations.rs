//! The operations listener: whether the control plane lives, whether it is ready, and what it measures.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ControlPlane;

/// For the head of a request, or the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A monitor has one or two.
const CONNECTIONS: usize = 64;

/// How long the store may take to say that it is there.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait before accepting again when the system has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener is on a loopback address; a page under another name that leads there is a stranger's.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Serves until told to stop.
pub(crate) async fn serve(control: ControlPlane, listener: TcpListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Who comes beyond that is told at once, by the end of the connection.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let (control, stop) = (control.clone(), stop.clone());
                drop(connections.spawn(async move {
                    // An idle connection has nothing to lose.
                    stop.run_until_cancelled(serve_connection(control, stream))
                        .await;
                    drop(place);
                }));
            }
            Err(error) => {
                tracing::debug!(%error, "an operations connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(control: ControlPlane, stream: TcpStream) {
    let service = service_fn(move |request| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(answer(&control, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an operations connection ended early");
    }
}

async fn answer(control: &ControlPlane, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !is_local(request.uri(), request.headers()) {
        let reason = "this listener answers under localhost only, and to no other site's pages\n";
        return text(StatusCode::FORBIDDEN, reason);
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => ready(control).await,
        (&Method::GET, "/metrics") => metrics(control),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n",
        ),
    }
}

/// Whether the request is for a name of this machine and, where a web page sends it, from there.
fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (named, is_repeated) = (hosts.next(), hosts.next().is_some());
    let named = named.and_then(|host| host.to_str().ok());
    let host = uri.authority().map(Authority::as_str).or(named);
    let is_from_here = headers.get(ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let of_http = origin.strip_prefix("http://");
        let authority = of_http.or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(is_own)
    });
    !is_repeated && host.is_some_and(is_own) && is_from_here
}

fn is_own(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    !authority.as_str().contains('@') && HOSTS.iter().any(|own| own.eq_ignore_ascii_case(host))
}

async fn ready(control: &ControlPlane) -> Response<Full<Bytes>> {
    let reading = control.store.heads_since(control.hub.sequence());
    match tokio::time::timeout(STORE_TIMEOUT, reading).await {
        Ok(Ok(_)) => text(StatusCode::OK, "ready\n"),
        Ok(Err(error)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the configuration store does not answer\n",
        ),
    }
}

fn metrics(control: &ControlPlane) -> Response<Full<Bytes>> {
    match control.hub.metrics.render(&control.hub) {
        Ok(rendered) => {
            let mut response = text(StatusCode::OK, rendered);
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let kind = HeaderValue::from_static(kind);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(_) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written\n",
        ),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(hosts: &[&str], origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        is_local(&Uri::from_static("/metrics"), &headers)
    }

    #[test]
    fn only_this_machine_is_answered() {
        for host in ["localhost", "LOCALHOST:8814", "127.0.0.1:8814", "[::1]:1"] {
            assert!(local(&[host], None), "{host}");
            assert!(local(&[host], Some("http://localhost:3000")), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "a@localhost",
            "127.0.0.2",
        ] {
            assert!(!local(&[host], None), "{host}");
            let origin = format!("https://{host}");
            assert!(!local(&["localhost"], Some(&origin)), "{host}");
        }
        assert!(!local(&[], None));
        assert!(!local(&["localhost", "localhost"], None));
        assert!(!local(&["localhost"], Some("null")));
        let absolute = Uri::from_static("http://evil.example/metrics");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        assert!(!is_local(&absolute, &headers));
    }
}
