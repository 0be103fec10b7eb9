//! The hostile server over HTTP: answers in bytes, whatever HTTP says of them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{FLOOD, HTTP_TOOLS, LATE, Listing, Step, TOOLS, respond, response, tool_of};

/// How long passes before each byte of what trickles.
const TRICKLE: Duration = Duration::from_millis(50);

/// A legacy server without sessions, on a port of its own until it is dropped.
#[derive(Debug)]
pub struct HostileServer {
    address: SocketAddr,
    _stop: DropGuard,
}

impl HostileServer {
    pub async fn start(listing: Listing) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let connections = TaskTracker::new();
        let accepting = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serve(stream, listing);
                // A gateway that hangs up on such a server is what it is for.
                connections.spawn(stopped.clone().run_until_cancelled_owned(serving));
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

async fn serve(mut stream: TcpStream, listing: Listing) -> anyhow::Result<()> {
    let mut received = Vec::new();
    while let Some((head, request)) = read_request(&mut stream, &mut received).await? {
        for step in answer(&head, &request, listing) {
            if !take(step, &mut stream).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The next request's head and message, `null` if it has none; `None` at the end of the connection.
async fn read_request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> anyhow::Result<Option<(String, Value)>> {
    loop {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(received.get(..end).context("no head")?)
                .to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
            let whole = end + 4 + length;
            if let Some(body) = received.get(end + 4..whole) {
                let message = serde_json::from_slice(body).unwrap_or_default();
                received.drain(..whole);
                return Ok(Some((head, message)));
            }
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

fn answer(head: &str, request: &Value, listing: Listing) -> Vec<Step> {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes();
    if !head.starts_with("post ") {
        return vec![Step::Write(status("405 Method Not Allowed"))];
    }
    if request["id"].is_null() || request["method"].is_null() {
        return vec![Step::Write(status("202 Accepted"))];
    }
    let tools: Vec<&str> = TOOLS.into_iter().chain(HTTP_TOOLS).collect();
    let message = response(request, listing, &tools);
    let whole = http(message.len(), message.as_bytes());
    misbehave(request, &message).unwrap_or_else(|| vec![Step::Write(whole)])
}

/// What a hostile tool answers in the place of this message.
fn misbehave(request: &Value, message: &str) -> Option<Vec<Step>> {
    let whole = http(message.len(), message.as_bytes());
    let mut other = request.clone();
    other["id"] = "nobody's".into();
    let other = respond(&other, r#"{"content":[]}"#);
    let steps = match tool_of(request) {
        "wrong-id" => vec![Step::Write(http(other.len(), other.as_bytes()))],
        "twice" => {
            let event = format!("data: {message}\n\ndata: {message}\n\n");
            vec![
                Step::Write(head_of("text/event-stream")),
                Step::Write(event.into_bytes()),
                Step::Close,
            ]
        }
        "late" => vec![Step::Wait(LATE), Step::Write(whole)],
        "never" => vec![Step::Hang],
        "not-utf8" => vec![Step::Write(http(18, b"{\"jsonrpc\":\"\xff\xfe\"}  "))],
        "not-json" => vec![Step::Write(http(9, b"<html>no\0"))],
        "flood" => vec![
            Step::Write(head_of("application/json")),
            Step::Flood(b' ', FLOOD),
            Step::Close,
        ],
        "trickle" => vec![Step::Trickle(whole)],
        "redirect" => vec![Step::Write(
            b"HTTP/1.1 307 Temporary Redirect\r\n\
              location: http://169.254.169.254/latest/meta-data/\r\ncontent-length: 0\r\n\r\n"
                .to_vec(),
        )],
        // The second answers a request that nobody has made on this connection.
        "two-answers" => {
            let second = message.replace("arguments", "smuggled");
            let second = http(second.len(), second.as_bytes());
            vec![Step::Write([whole, second].concat())]
        }
        "endless-head" => vec![
            Step::Write(b"HTTP/1.1 200 OK\r\nx-filler: ".to_vec()),
            Step::Flood(b'x', FLOOD),
            Step::Close,
        ],
        "cut-off" => vec![
            Step::Write(http(message.len() + 10, message.as_bytes())),
            Step::Close,
        ],
        "two-lengths" => {
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 content-length: 5\r\n\r\n{message}",
                message.len()
            );
            vec![Step::Write(text.into_bytes())]
        }
        _ => return None,
    };
    Some(steps)
}

/// A response of JSON that announces this length.
fn http(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The head of a response that ends with the connection.
fn head_of(media_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n")
        .into_bytes()
}

/// Takes a step; says whether the connection goes on.
async fn take(step: Step, stream: &mut TcpStream) -> anyhow::Result<bool> {
    match step {
        Step::Write(bytes) => stream.write_all(&bytes).await?,
        Step::Flood(byte, count) => {
            let block = vec![byte; 64 * 1024];
            for _ in 0..count / block.len() {
                stream.write_all(&block).await?;
            }
        }
        Step::Trickle(bytes) => {
            for byte in bytes {
                tokio::time::sleep(TRICKLE).await;
                stream.write_all(&[byte]).await?;
            }
        }
        Step::Wait(time) => tokio::time::sleep(time).await,
        Step::Hang => {
            let mut ignored = Vec::new();
            stream.read_to_end(&mut ignored).await?;
            return Ok(false);
        }
        Step::Close => return Ok(false),
    }
    Ok(true)
}
