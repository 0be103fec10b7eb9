//! The operations listener: whether the replica lives, whether it is ready, how its servers are,
//! and what is in force.

mod config;
mod redact;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gateway_core::ServerName;
use gateway_core::plugin::ItemKind;
use gateway_plugins::Reading;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Gateway;
use crate::body::ReplyBody;
use crate::connection::Ending;
use crate::endpoint::View;
use crate::server::{self, ACCEPT_PAUSE, text};
use crate::snapshot::Snapshot;
use crate::upstream::Upstream;

/// How long a server whose tools nobody has asked for yet is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

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
    let answer = move |request: hyper::Request<hyper::body::Incoming>| {
        let (gateway, in_sync) = (Arc::clone(&gateway), *in_sync.borrow());
        let (head, _) = request.into_parts();
        async move { answer(&gateway, in_sync, &head).await }
    };
    let ending = Ending::default();
    let connection = server::speak_http(stream, &limits, answer, ending);
    // An idle connection has nothing to lose.
    stop.run_until_cancelled(connection).await;
}

/// Answers a request to an operations endpoint.
pub(crate) async fn answer(
    gateway: &Gateway,
    in_sync: bool,
    request: &Parts,
) -> Response<ReplyBody> {
    if let Err(refusal) = gateway.access.check(&request.uri, &request.headers) {
        return text(StatusCode::FORBIDDEN, format!("{refusal}\n"));
    }
    match (&request.method, request.uri.path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") if gateway.draining.has_begun() => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining: this replica is about to end, use another one\n",
        ),
        (&Method::GET, "/readyz") if in_sync => text(StatusCode::OK, "ready\n"),
        (&Method::GET, "/readyz") => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no configuration is in force yet\n",
        ),
        (&Method::GET, "/servers") => servers(gateway).await,
        (&Method::GET, "/plugins") => json(&plugins(gateway)),
        (&Method::GET, "/config") => json(&config::in_force(gateway)),
        (&Method::GET, "/metrics") => metrics(gateway),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz, /servers, /plugins, /config and /metrics\n",
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
    for condition in gateway.plugins.all() {
        let tenant = ("tenant", condition.tenant.to_string());
        let state = ("state", condition.state.to_owned());
        readings.push(Reading {
            name: "mcp_gateway_plugin_state",
            help: "1 for the state that a plugin over MCP is in",
            labels: vec![tenant, ("plugin", condition.plugin), state],
            value: 1,
        });
    }
    if let Some(spools) = &gateway.spools {
        readings.extend(spools.readings());
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

fn json(value: &Value) -> Response<ReplyBody> {
    whole(value.to_string(), "application/json")
}

/// How the plugins are that are MCP servers.
fn plugins(gateway: &Gateway) -> Value {
    let conditions = gateway.plugins.all().into_iter().map(|condition| {
        json!({
            "tenant": condition.tenant,
            "plugin": condition.plugin,
            "state": condition.state,
            "reason": condition.reason,
            "since": condition.since,
        })
    });
    json!({ "plugins": conditions.collect::<Vec<_>>() })
}

async fn servers(gateway: &Gateway) -> Response<ReplyBody> {
    let snapshots = gateway.tenants.all();
    let rows = snapshots.iter().flat_map(|snapshot| {
        let servers = snapshot.servers.iter();
        servers.map(|(name, server)| row(snapshot, name, server))
    });
    let rows = join_all(rows).await;
    json(&json!({ "servers": rows }))
}

async fn row(snapshot: &Snapshot, name: &ServerName, server: &Upstream) -> Value {
    let tools = tools(snapshot, name, server).await;
    let (state, reason) = server.state();
    let spec = snapshot.config.servers.get(name).map(|server| &server.spec);
    let last_error = server
        .last_outage()
        .map(|outage| json!({ "reason": &*outage.reason, "at": outage.at }));
    json!({
        "tenant": snapshot.tenant,
        "revision": snapshot.origin.revision,
        "server": name,
        "type": spec.map(|spec| spec.type_name()),
        "state": state,
        "reason": reason.as_deref(),
        "last_error": last_error,
        "sessions": server.sessions(),
        "protocol_version": server.hello().map(|hello| hello.version.as_str()),
        "tools": tools,
        "lists": server.kept_lists(),
    })
}

/// The tools that everybody is offered, as `/mcp` calls them; nothing of a list that is a user's own.
async fn tools(snapshot: &Snapshot, name: &ServerName, server: &Upstream) -> Option<Value> {
    let own = server.shared_tools(PATIENCE).await?;
    let view = snapshot.exposure(&View::All)?;
    let names = own
        .iter()
        .filter_map(|tool| view.name_of(ItemKind::Tool, name, tool))
        .collect::<Vec<_>>();
    Some(json!({ "count": names.len(), "names": names }))
}
