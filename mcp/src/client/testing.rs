//! A scripted HTTP server for tests, and what connects to it.

pub(super) mod child;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gateway_core::Deadline;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ClientError, ClientHello, Connector, Exchange, HttpEndpoint, NetworkPolicy, Peer};
use crate::message::Message;
use crate::version::{Era, Version};

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// How long a test waits for what has to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the server saw it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) verb: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// The number of the connection on which it came.
    pub(super) connection: usize,
}

impl Seen {
    pub(super) fn message(&self) -> Message {
        Message::scan(Bytes::from(self.body.clone())).unwrap()
    }

    /// The method of the message; empty for a response, and where there is no message.
    pub(super) fn method(&self) -> String {
        if self.verb != Method::POST {
            return String::new();
        }
        self.message().method().unwrap_or_default().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The request's id as it is written.
    pub(super) fn id(&self) -> String {
        self.message().id().unwrap_or_default().to_owned()
    }
}

/// A server on a port of its own, ended with the test.
pub(super) struct Server {
    pub(super) url: String,
    seen: mpsc::UnboundedReceiver<Arc<Seen>>,
    _stop: DropGuard,
}

impl Server {
    /// Serves with `handler`, one call of it per request.
    pub(super) async fn start(
        handler: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let handler: Arc<Handler> = Arc::new(handler);
        let serving = async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, connection, handler.clone(), sender.clone()));
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Self {
            url,
            seen,
            _stop: stop.drop_guard(),
        }
    }

    /// The next request with this method, whatever comes before it.
    pub(super) async fn saw(&mut self, method: &str) -> Arc<Seen> {
        within(async {
            loop {
                let seen = self.seen.recv().await.unwrap();
                if seen.method() == method {
                    return seen;
                }
            }
        })
        .await
    }

    /// The next request with this verb, whatever comes before it.
    pub(super) async fn saw_verb(&mut self, verb: Method) -> Arc<Seen> {
        within(async {
            loop {
                let seen = self.seen.recv().await.unwrap();
                if seen.verb == verb {
                    return seen;
                }
            }
        })
        .await
    }

    pub(super) fn endpoint(&self) -> Arc<HttpEndpoint> {
        let mut headers = HeaderMap::new();
        headers.insert("x-static", "of the endpoint".parse().unwrap());
        let connector = Connector::new(NetworkPolicy::desktop()).unwrap();
        Arc::new(HttpEndpoint::new(&self.url, &connector, headers, 64 * 1024).unwrap())
    }

    pub(super) async fn connect(&self, era: Option<Era>) -> Result<Peer, ClientError> {
        Peer::connect_http(self.endpoint(), hello(), era, soon()).await
    }

    /// For a client that can be asked everything.
    pub(super) async fn connect_askable(&self) -> Result<Peer, ClientError> {
        Peer::connect_http(self.endpoint(), askable_hello(), None, soon()).await
    }
}

type Handler = dyn Fn(&Seen) -> Response<Body> + Send + Sync;

async fn serve(
    stream: TcpStream,
    connection: usize,
    handler: Arc<Handler>,
    seen: mpsc::UnboundedSender<Arc<Seen>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, sender) = (handler.clone(), seen.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let seen = Arc::new(Seen {
                verb: head.method,
                target: head.uri.to_string(),
                headers: head.headers,
                body,
                connection,
            });
            let response = handler(&seen);
            drop(sender.send(seen));
            if response.extensions().get::<Silence>().is_some() {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(response)
        }
    });
    // A client that goes away in the middle is part of several tests.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

pub(super) fn hello() -> ClientHello {
    ClientHello {
        name: "gateway \"test\"".into(),
        version: "1".into(),
        capabilities: "{}".into(),
        legacy_version: Version::LATEST_LEGACY,
    }
}

/// Of a client that can be asked everything.
pub(super) fn askable_hello() -> ClientHello {
    ClientHello {
        capabilities: r#"{"sampling":{},"elicitation":{},"roots":{"listChanged":true}}"#.into(),
        ..hello()
    }
}

pub(super) fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Fails the test if `future` takes too long.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes too long")
}

/// Waits until `condition` holds.
pub(super) async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(super) fn message(text: impl Into<String>) -> Message {
    Message::scan(Bytes::from(text.into())).unwrap()
}

/// A request with an id that no peer would choose.
pub(super) fn call(method: &str) -> Message {
    message(format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"{method}","params":{{}}}}"#
    ))
}

/// Everything that came back, the response last.
pub(super) async fn all(mut exchange: Exchange) -> Result<Vec<String>, ClientError> {
    let mut texts = Vec::new();
    while let Some(arrival) = within(exchange.next()).await {
        texts.push(String::from_utf8(arrival?.bytes().to_vec()).unwrap());
    }
    Ok(texts)
}

pub(super) fn reply(status: u16, content_type: &str, body: impl Into<String>) -> Response<Body> {
    let body = Full::new(Bytes::from(body.into())).boxed();
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body)
        .unwrap()
}

pub(super) fn json(body: impl Into<String>) -> Response<Body> {
    reply(200, "application/json; charset=utf-8", body)
}

pub(super) fn result(seen: &Seen, result: &str) -> Response<Body> {
    json(format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
        seen.id()
    ))
}

pub(super) fn error(status: u16, id: &str, code: i64, text: &str) -> Response<Body> {
    let error = format!(r#"{{"code":{code},"message":"{text}"}}"#);
    reply(
        status,
        "application/json",
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
    )
}

pub(super) fn events(messages: &[String]) -> Response<Body> {
    let events = messages
        .iter()
        .map(|text| format!("event: message\ndata: {text}\n\n"));
    reply(200, "text/event-stream", events.collect::<String>())
}

/// A stream of events that ends a little after the last of them.
pub(super) fn lingering_events(messages: &[String]) -> Response<Body> {
    let text = messages.iter().map(|text| format!("data: {text}\n\n"));
    let events = stream::iter([Ok(Frame::data(Bytes::from(text.collect::<String>())))]);
    let end = stream::once(tokio::time::sleep(Duration::from_millis(20)));
    let body = StreamBody::new(events.chain(end.filter_map(|()| async { None })));
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(body)).unwrap()
}

/// A stream of events that never ends; the receiver learns when the client has closed it.
pub(super) fn open_events(messages: &[String]) -> (Response<Body>, oneshot::Receiver<()>) {
    let (open, closed) = oneshot::channel::<()>();
    let text = messages
        .iter()
        .map(|text| format!("data: {text}\n\n"))
        .collect::<String>();
    let first = stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    let rest = stream::pending().inspect(move |_| {
        // Owned by the stream, so that it goes with it.
        let _open = &open;
    });
    let body = BodyExt::boxed(StreamBody::new(first.chain(rest)));
    let response = Response::builder().header("content-type", "text/event-stream");
    (response.body(body).unwrap(), closed)
}

/// What a test writes into the body of a response; the body ends when this is dropped.
pub(super) type Feed = mpsc::UnboundedSender<String>;

/// A stream of events that the test writes itself.
pub(super) fn fed_events() -> (Response<Body>, Feed) {
    let (feed, texts) = mpsc::unbounded_channel::<String>();
    let frames = stream::unfold(texts, |mut texts| async {
        let text = texts.recv().await?;
        Some((Ok(Frame::data(Bytes::from(text))), texts))
    });
    let body = BodyExt::boxed(StreamBody::new(frames));
    let response = Response::builder().header("content-type", "text/event-stream");
    (response.body(body).unwrap(), feed)
}

/// One event as it stands in a stream.
pub(super) fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// Marks the response that is never sent.
#[derive(Clone)]
struct Silence;

/// No answer at all, though the connection stays open.
pub(super) fn silence() -> Response<Body> {
    let mut response = reply(200, "text/plain", "");
    response.extensions_mut().insert(Silence);
    response
}

/// What a modern server says to `server/discover`.
pub(super) const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],
    "capabilities":{"tools":{}},"instructions":"be kind","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"m"}}}"#;

/// What a legacy server says to `initialize`.
pub(super) const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"l"}}"#;

/// The legacy handshake with a session; `None` for everything that follows it.
pub(super) fn legacy_handshake(seen: &Seen) -> Option<Response<Body>> {
    match seen.method().as_str() {
        "server/discover" => Some(error(
            400,
            "null",
            -32000,
            "Bad Request: Server not initialized",
        )),
        "initialize" => {
            let mut response = result(seen, INITIALIZED);
            response
                .headers_mut()
                .insert("mcp-session-id", "s-1".parse().unwrap());
            Some(response)
        }
        "" => Some(reply(200, "text/plain", "")),
        method if method.starts_with("notifications/") => Some(reply(202, "text/plain", "")),
        _ => None,
    }
}
