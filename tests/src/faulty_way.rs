//! A way to an HTTP server on which things go wrong when they are told to: a plugin that hangs, breaks off, floods or lies,
//! as the gateway sees it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// There is none, ever.
    Hangs,
    /// The connection is closed instead.
    Closes,
    /// It comes byte by byte, each a while after the other.
    Drips,
    /// There are endless messages beside it.
    FloodsWithMessages,
    /// It has no end.
    FloodsWithBytes,
    /// It says that it is shorter than it is.
    ClaimsLess,
    /// It says that it is longer than it is, and breaks off.
    ClaimsMore,
    /// It is no JSON.
    Garbles,
    /// It is a result, of something else.
    Misunderstands,
    /// It is an error of HTTP that repeats the request.
    Fails,
}

impl Fault {
    pub const ALL: [Self; 10] = [
        Self::Hangs,
        Self::Closes,
        Self::Drips,
        Self::FloodsWithMessages,
        Self::FloodsWithBytes,
        Self::ClaimsLess,
        Self::ClaimsMore,
        Self::Garbles,
        Self::Misunderstands,
        Self::Fails,
    ];
}

/// Between two bytes that drip.
const DRIP: Duration = Duration::from_millis(50);

/// A server's `/mcp` under another address. Ends when it is dropped.
#[derive(Debug)]
pub struct FaultyWay {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    heard: watch::Receiver<Value>,
    stop: CancellationToken,
}

impl FaultyWay {
    /// To the server at `url`; nothing is wrong with it yet.
    pub async fn to(url: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (fault, stop) = (watch::Sender::new(Fault::Nothing), CancellationToken::new());
        let (hears, heard) = watch::channel(Value::Null);
        let way = Way {
            url: url.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            fault: fault.subscribe(),
            heard: hears,
        };
        let accepting = accept(listener, way, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            fault,
            heard,
            stop,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The message that came last.
    pub fn heard(&self) -> Value {
        self.heard.borrow().clone()
    }

    /// What goes wrong from now on, with answers that are under way too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultyWay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone)]
struct Way {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    fault: watch::Receiver<Fault>,
    heard: watch::Sender<Value>,
}

async fn accept(listener: TcpListener, way: Way, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.clone();
        let serving = stop.clone().run_until_cancelled_owned(async move {
            // That connections break is what this is for.
            way.serve(stream).await.ok();
        });
        tokio::spawn(serving);
    }
}

/// A request as it came.
struct Heard {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Way {
    async fn serve(self, stream: TcpStream) -> anyhow::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(heard) = hear(&mut stream).await? {
            self.answer(&heard, stream.get_mut()).await?;
        }
        Ok(())
    }

    async fn answer(&self, heard: &Heard, stream: &mut TcpStream) -> anyhow::Result<()> {
        let fault = *self.fault.borrow();
        let message: Value = serde_json::from_slice(&heard.body).unwrap_or_default();
        self.heard.send_replace(message.clone());
        match fault {
            Fault::Hangs => std::future::pending().await,
            Fault::Closes => anyhow::bail!("closed"),
            Fault::FloodsWithMessages => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                let params = json!({ "level": "info", "data": "x".repeat(1000) });
                let message = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
                let event = format!("data: {message}\n\n");
                loop {
                    stream.write_all(event.as_bytes()).await?;
                }
            }
            Fault::FloodsWithBytes => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{";
                stream.write_all(head.as_bytes()).await?;
                let nothing = vec![b' '; 1 << 16];
                loop {
                    stream.write_all(&nothing).await?;
                }
            }
            Fault::Garbles => reply(stream, "200 OK", 0, b"{\"jsonrpc\": \"2.0\", \"id\": ").await,
            Fault::Misunderstands if message["method"] == "tools/call" => {
                let result = json!({
                    "resultType": "complete",
                    "content": [{ "type": "text", "text": "{\"answer\":42}" }],
                    "structuredContent": { "answer": 42 },
                });
                let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
                reply(stream, "200 OK", 0, answer.to_string().as_bytes()).await
            }
            Fault::Fails => reply(stream, "500 Internal Server Error", 0, &heard.body).await,
            Fault::Nothing
            | Fault::Misunderstands
            | Fault::Drips
            | Fault::ClaimsLess
            | Fault::ClaimsMore => {
                let (status, body) = self.forward(heard).await?;
                match fault {
                    Fault::Drips => drip(stream, &body).await,
                    Fault::ClaimsLess => reply(stream, &status, -20, &body).await,
                    Fault::ClaimsMore => {
                        reply(stream, &status, 20, &body).await?;
                        anyhow::bail!("broken off")
                    }
                    _ => reply(stream, &status, 0, &body).await,
                }
            }
        }
    }

    async fn forward(&self, heard: &Heard) -> anyhow::Result<(String, Bytes)> {
        let body = Full::new(Bytes::from(heard.body.clone()));
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.parse()?;
        *request.headers_mut() = heard.headers.clone();
        request.headers_mut().remove(HOST);
        let response = self.client.request(request).await?;
        let status = response.status().to_string();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }
}

async fn hear(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Heard>> {
    let mut headers = HeaderMap::new();
    let mut is_first = true;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':').filter(|_| !is_first) {
            let value = HeaderValue::try_from(value.trim())?;
            headers.append(HeaderName::try_from(name)?, value);
        }
        is_first = false;
    }
    let length = headers.remove("content-length");
    let length = length.context("no length")?.to_str()?.parse()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Heard { headers, body }))
}

/// An answer of JSON that says to be longer or shorter than it is by so many bytes.
async fn reply(
    stream: &mut TcpStream,
    status: &str,
    lie: isize,
    body: &[u8],
) -> anyhow::Result<()> {
    let claimed = body.len().saturating_add_signed(lie);
    let head = format!(
        "HTTP/1.1 {status}\r\n{CONTENT_TYPE}: application/json\r\ncontent-length: {claimed}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    Ok(())
}

async fn drip(stream: &mut TcpStream, body: &[u8]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    reply(stream, "200 OK", isize::try_from(body.len())?, b"").await?;
    for byte in body {
        tokio::time::sleep(DRIP).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}
