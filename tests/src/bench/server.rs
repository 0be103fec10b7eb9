//! The MCP server that everything in a benchmark asks: as little work as an answer needs, in a process of its own.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::reply::tail;
use super::site::{Site, TOKEN};
use crate::session::Era;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    mark: Cow<'a, str>,
    #[serde(default)]
    bytes: usize,
}

/// The largest answer that it gives.
const LARGEST: usize = 1024 * 1024;

/// Serves until the process is ended; says on standard error where.
pub(super) async fn serve(address: SocketAddr, streams: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    writeln!(std::io::stderr(), "listening on {}", listener.local_addr()?)?;
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let service = service_fn(move |request| async move {
            Ok::<_, Infallible>(answer(request, streams).await)
        });
        let served = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        tokio::spawn(async move {
            // A client may go away at any time.
            drop(served.await);
        });
    }
}

async fn answer(request: Request<Incoming>, streams: bool) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Some(site) = Site::at(parts.uri.path()) else {
        return respond(StatusCode::NOT_FOUND, "", Bytes::new());
    };
    if parts.method != Method::POST {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "", Bytes::new());
    }
    let Ok(body) = body.collect().await else {
        return respond(StatusCode::BAD_REQUEST, "", Bytes::new());
    };
    let body = body.to_bytes();
    let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else {
        return respond(StatusCode::BAD_REQUEST, "", Bytes::new());
    };
    let Some(id) = message.id else {
        return respond(StatusCode::ACCEPTED, "", Bytes::new());
    };
    let (status, outcome) = outcome(site, &parts.headers, &message);
    let response = format!(r#"{{"jsonrpc":"2.0","id":{},{outcome}}}"#, id.get());
    if streams && message.method == "tools/call" {
        let event = format!("event: message\ndata: {response}\n\n");
        return respond(status, "text/event-stream", event.into());
    }
    respond(status, "application/json", response.into())
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if !kind.is_empty() {
        let kind = http::HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// The last field of the response.
fn outcome(site: Site, headers: &HeaderMap, message: &Message<'_>) -> (StatusCode, String) {
    let version = headers.get("mcp-protocol-version");
    let is_modern = version.is_some_and(|version| version == "2026-07-28");
    if is_modern != (site.era == Era::Modern) {
        return fault(-32022, r#","data":{"supported":["2026-07-28"]}"#, site.era);
    }
    let expected = format!("Bearer {TOKEN}");
    let token = headers.get(AUTHORIZATION);
    if site.wants_token && message.method == "tools/call" {
        let is_right = token.is_some_and(|token| token.as_bytes() == expected.as_bytes());
        if !is_right {
            return (
                StatusCode::UNAUTHORIZED,
                r#""error":{"code":-32000,"message":"no credential came along"}"#.to_owned(),
            );
        }
    }
    let (complete, cached) = match site.era {
        Era::Legacy => ("", ""),
        Era::Modern => (
            r#""resultType":"complete","#,
            r#""ttlMs":3600000,"cacheScope":"public","#,
        ),
    };
    let result = match (site.era, &*message.method) {
        (Era::Legacy, "initialize") => r#""protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"benchmark","version":"1"}"#.to_owned(),
        (Era::Modern, "server/discover") => r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"benchmark","version":"1"}}"#.to_owned(),
        (_, "tools/list") => format!(r#""tools":[{}]"#, site.tools()),
        (_, "tools/call") => {
            let arguments = &message.params.arguments;
            let text = format!("{}{}", arguments.mark, tail(arguments.bytes.min(LARGEST)));
            let text = serde_json::Value::from(text);
            return (
                StatusCode::OK,
                format!(r#""result":{{{complete}"content":[{{"type":"text","text":{text}}}]}}"#),
            );
        }
        (Era::Legacy, "ping") => String::new(),
        _ => return fault(-32601, "", site.era),
    };
    let result = format!(r#""result":{{{complete}{cached}{result}}}"#);
    (StatusCode::OK, result)
}

fn fault(code: i32, data: &str, era: Era) -> (StatusCode, String) {
    // A modern server is told by its answer to what it does not understand.
    let code = if era == Era::Legacy && code == -32022 {
        -32000
    } else {
        code
    };
    let status = if code == -32601 {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::BAD_REQUEST
    };
    let text = format!(r#""error":{{"code":{code},"message":"not supported here"{data}}}"#);
    (status, text)
}
