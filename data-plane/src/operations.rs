//! The operations listener: whether the replica lives, whether it is ready, how its servers are.

use std::sync::Arc;

use gateway_plugins::Reading;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Gateway;
use crate::body::ReplyBody;
use crate::server::{self, ACCEPT_PAUSE, text};

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
    let limits = gateway.limits;
    let answer = move |request| {
        let response = answer(&gateway, *in_sync.borrow(), &request);
        std::future::ready(response)
    };
    let connection = server::speak_http(stream, &limits, answer, CancellationToken::new());
    // An idle connection has nothing to lose.
    stop.run_until_cancelled(connection).await;
}

/// Answers a request to an operations endpoint.
pub(crate) fn answer(
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
        (&Method::GET, "/metrics") => metrics(gateway),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz, /servers and /metrics\n",
        ),
    }
}

/// What was measured, and how the servers are right now.
fn metrics(gateway: &Gateway) -> Response<ReplyBody> {
    let mut readings = vec![Reading {
        name: "mcp_gateway_live_sessions",
        help: "Legacy sessions in use",
        labels: Vec::new(),
        value: i64::try_from(gateway.live.count()).unwrap_or(i64::MAX),
    }];
    for snapshot in gateway.tenants.all() {
        let tenant = ("tenant", snapshot.tenant.to_string());
        readings.push(Reading {
            name: "mcp_gateway_revision",
            help: "The revision of the configuration that is in force",
            labels: vec![tenant.clone()],
            value: i64::try_from(snapshot.origin.revision.0).unwrap_or(i64::MAX),
        });
        for (name, server) in &snapshot.servers {
            let server_label = ("server", name.to_string());
            let state = ("state", server.state().0.to_owned());
            readings.push(Reading {
                name: "mcp_gateway_server_state",
                help: "1 for the state that a server is in",
                labels: vec![tenant.clone(), server_label.clone(), state],
                value: 1,
            });
            readings.push(Reading {
                name: "mcp_gateway_server_sessions",
                help: "Sessions with a server, or children, beside the one that is kept for everybody",
                labels: vec![tenant.clone(), server_label],
                value: i64::try_from(server.sessions()).unwrap_or(i64::MAX),
            });
        }
    }
    match gateway.metrics.render(&readings) {
        Ok(text) => whole(
            text,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        Err(_) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written\n",
        ),
    }
}

fn whole(body: String, kind: &'static str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    let kind = http::HeaderValue::from_static(kind);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
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
                "lists": server.kept_lists(),
            }));
        }
    }
    whole(json!({ "servers": rows }).to_string(), "application/json")
}
