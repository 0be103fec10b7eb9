//! The operations listener: whether the replica lives, whether it is ready, how its servers are.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Gateway;
use crate::body::ReplyBody;
use crate::server::{ACCEPT_PAUSE, text};

/// Serves until told to stop.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    in_sync: watch::Receiver<bool>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection =
                    serve_connection(Arc::clone(&gateway), in_sync.clone(), stream, stop.clone());
                drop(gateway.tasks.spawn(connection));
            }
            Err(error) => {
                debug!(%error, "an operations connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    gateway: Arc<Gateway>,
    in_sync: watch::Receiver<bool>,
    stream: TcpStream,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| {
        let response = answer(&gateway, *in_sync.borrow(), &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let connection = builder
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An idle connection has nothing to lose.
        () = stop.cancelled() => {}
        result = connection => {
            if let Err(error) = result {
                debug!(%error, "an operations connection ended early");
            }
        }
    }
}

fn answer(
    gateway: &Gateway,
    in_sync: bool,
    request: &hyper::Request<Incoming>,
) -> Response<ReplyBody> {
    if let Err(refusal) = gateway.access.check(request.uri(), request.headers()) {
        return text(StatusCode::FORBIDDEN, format!("{refusal}\n"));
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") if in_sync => text(StatusCode::OK, "ready\n"),
        (&Method::GET, "/readyz") => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no configuration is in force yet\n",
        ),
        (&Method::GET, "/servers") => servers(gateway),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /servers\n",
        ),
    }
}

fn servers(gateway: &Gateway) -> Response<ReplyBody> {
    let mut rows = Vec::new();
    for snapshot in gateway.tenants.all() {
        for (name, server) in &snapshot.servers {
            let (state, reason) = server.state();
            rows.push(json!({
                "tenant": snapshot.tenant,
                "revision": snapshot.origin.revision,
                "server": name,
                "state": state,
                "reason": reason.as_deref(),
                "sessions": server.sessions(),
                "protocol_version": server.hello().map(|hello| hello.version.as_str()),
            }));
        }
    }
    let mut response = Response::new(ReplyBody::whole(json!({ "servers": rows }).to_string()));
    let kind = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
}
