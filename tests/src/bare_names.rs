//! An HTTP proxy that shows one server of an aggregating endpoint under the server's own names, as if there were no
//! other: for programs that know a server's names by heart, as the official conformance suite does.

mod events;
mod messages;
mod names;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use events::Events;
use names::Names;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct BareNames {
    address: SocketAddr,
    stop: CancellationToken,
}

impl BareNames {
    /// Shows `server`, one of those at the aggregating `endpoint`. The items of `others` are hidden; an item of
    /// nobody gets a name that no client asks for, so that it is noticed.
    pub async fn start(endpoint: &str, server: &str, others: &[&str]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let proxy = Arc::new(Proxy {
            client: Client::builder(TokioExecutor::new()).build_http(),
            endpoint: endpoint.parse().context("reading the endpoint's URL")?,
            names: Names::of(server, others),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, proxy, stop.clone()));
        Ok(Self { address, stop })
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for BareNames {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, proxy: Arc<Proxy>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((connection, _)) = accepted else {
            continue;
        };
        let (proxy, stop) = (Arc::clone(&proxy), stop.clone());
        connections.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(connection, proxy) => {}
            }
        });
    }
}

async fn serve(connection: TcpStream, proxy: Arc<Proxy>) {
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(proxy.answer(request).await) }
    });
    // That a client goes away in the middle is what some tests are about.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(connection), service)
            .await,
    );
}

#[derive(Debug)]
struct Proxy {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: http::Uri,
    names: Names,
}

impl Proxy {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let names = self.names.clone();
        match self.forward(request).await {
            Ok(answer) => map_answer(answer, names).await,
            Err(error) => respond(StatusCode::BAD_GATEWAY, format!("{error:#}").into()),
        }
    }

    async fn forward(&self, request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
        let (mut parts, body) = request.into_parts();
        let mut body = body.collect().await?.to_bytes();
        // What is no message goes on as it is: what becomes of it is for the gateway to say.
        if let Ok(mut message) = serde_json::from_slice(&body) {
            expose_header(&mut parts.headers, &message, &self.names);
            messages::expose(&mut message, &self.names);
            body = message.to_string().into();
        }
        strip_framing(&mut parts.headers);
        parts.uri = self.endpoint.clone();
        Ok(self
            .client
            .request(Request::from_parts(parts, Full::new(body)))
            .await?)
    }
}

/// Renames what the header says just as what the body says, whether or not they agree.
fn expose_header(headers: &mut HeaderMap, message: &Value, names: &Names) {
    let Some(kind) = messages::kind_of_name(message) else {
        return;
    };
    let Some(value) = headers.get(&MCP_NAME).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let exposed = names.exposed_header(kind, value);
    if let Some(value) = exposed.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(MCP_NAME, value);
    }
}

/// Lengths change, and each connection has its own framing.
fn strip_framing(headers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        headers.remove(name);
    }
}

async fn map_answer(answer: Response<Incoming>, names: Names) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    strip_framing(&mut parts.headers);
    let content_type = parts.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|value| value.starts_with("text/event-stream")) {
        return Response::from_parts(parts, map_stream(body, Events::of(names)));
    }
    let mut whole = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return respond(StatusCode::BAD_GATEWAY, format!("{error}").into()),
    };
    if let Ok(mut message) = serde_json::from_slice(&whole) {
        messages::strip(&mut message, &names);
        whole = message.to_string().into();
    }
    Response::from_parts(parts, full(whole))
}

/// Each piece goes on as soon as it has come.
fn map_stream(body: Incoming, events: Events) -> Body {
    let mapped = stream::unfold((body, events), |(mut body, mut events)| async move {
        let frame = match body.frame().await? {
            Ok(frame) => Ok(Frame::data(events.map(frame.data_ref()?))),
            Err(error) => Err(error),
        };
        Some((frame, (body, events)))
    });
    StreamBody::new(mapped).boxed_unsync()
}

fn respond(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut answer = Response::new(full(text));
    *answer.status_mut() = status;
    answer
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
