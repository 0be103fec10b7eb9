//! The limits of a process: what goes beyond them is refused or cut off, and nobody else notices.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::gateway::Gateway;
use gateway_tests::raw::{ACCEPT, RawClient};
use gateway_tests::servers::{configuration, remote};
use gateway_tests::session::modern_message;
use gateway_tests::wait::{self, PATIENCE};
use gateway_tests::{Era, Session};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const CALL: [(&str, &str); 3] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "echo"),
];

struct Limited {
    gateway: Gateway,
    url: String,
    fixture: HttpFixture,
}

impl Limited {
    /// With limits, by the variables that stand for their flags.
    async fn start(limits: &[(&str, &str)]) -> Result<Self> {
        let fixture = HttpFixture::start(Options::default()).await?;
        let config = configuration(&[("fixture", remote(&fixture.url()))]);
        let mut builder = Gateway::builder(BINARY).config(config);
        for (limit, value) in limits {
            builder = builder.variable(&format!("MCP_GATEWAY_{limit}"), value);
        }
        let gateway = builder.start().await?;
        gateway.wait_for_tool("/mcp", "echo").await?;
        Ok(Self {
            url: gateway.url("/mcp"),
            gateway,
            fixture,
        })
    }

    async fn connect(&self) -> Result<TcpStream> {
        Ok(TcpStream::connect(self.gateway.address()).await?)
    }

    /// That a client of good manners is served.
    async fn serves(&self) -> Result<()> {
        let session = Session::open(Era::Modern, &self.url).await?;
        let said = session.call_text("echo", json!({ "text": "hi" })).await?;
        ensure!(said.contains("hi"), "{said}");
        Ok(())
    }
}

/// What comes on a connection until the gateway closes it.
async fn until_closed(stream: &mut TcpStream) -> Result<String> {
    let mut text = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // A connection that is cut off may end either way.
    drop(read.context("the connection was not closed")?);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn call(text: &str) -> String {
    let arguments = json!({ "text": text });
    modern_message(
        "tools/call",
        json!({ "name": "echo", "arguments": arguments }),
    )
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_at_once_and_taken_again_later() -> Result<()> {
    let limited = Limited::start(&[("MAX_TENANT_REQUESTS", "2")]).await?;
    let waiting = || async {
        let session = Session::open(Era::Modern, &limited.url).await?;
        session.call("wait", json!({})).await
    };
    let refused = async {
        wait::until("both calls", || async { limited.fixture.waiting() == 2 }).await?;
        let client = RawClient::default();
        let refused = client.post(&limited.url, &CALL, call("x")).await?;
        limited.fixture.open_gate();
        Ok(refused)
    };
    let (one, two, refused) = tokio::try_join!(waiting(), waiting(), refused)?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.error_code()?, 1010);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused
            .text()
            .contains("this tenant has as many requests under way as it may"),
        "{}",
        refused.text()
    );
    for answer in [one, two] {
        assert!(answer.result()?["content"].is_array(), "{}", answer.text());
    }
    limited.serves().await?;
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn streams_are_counted_apart_from_requests() -> Result<()> {
    let limited = Limited::start(&[("MAX_STREAMS", "1"), ("MAX_REQUESTS", "1")]).await?;
    let client = RawClient::default();
    let headers = [
        ("content-type", "application/json"),
        ACCEPT,
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    let listen = modern_message("subscriptions/listen", json!({ "notifications": {} }));
    let mut stream = client
        .stream(Method::POST, &limited.url, &headers, listen.clone())
        .await?;
    assert!(stream.next().await?.is_some(), "it is acknowledged");
    let refused = client
        .send(Method::POST, &limited.url, &headers, listen.clone())
        .await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.text().contains("streams open"),
        "{}",
        refused.text()
    );
    limited.serves().await?;
    drop(stream);
    wait::until("the place to be free again", || async {
        let opened = client.stream(Method::POST, &limited.url, &headers, listen.clone());
        opened.await.is_ok_and(|s| s.status == StatusCode::OK)
    })
    .await?;
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_the_others_stay() -> Result<()> {
    let limited = Limited::start(&[("MAX_CONNECTIONS", "2"), ("IDLE_TIMEOUT", "1h")]).await?;
    wait::until("both places to be free", || async {
        let (Ok(mut one), Ok(mut two)) = (limited.connect().await, limited.connect().await) else {
            return false;
        };
        let request = b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut byte = [0; 1];
        one.write_all(request).await.is_ok()
            && two.write_all(request).await.is_ok()
            && one.read_exact(&mut byte).await.is_ok()
            && two.read_exact(&mut byte).await.is_ok()
            && match limited.connect().await {
                Ok(mut third) => until_closed(&mut third).await.is_ok_and(|t| t.is_empty()),
                Err(_) => false,
            }
    })
    .await?;
    wait::until("a place for another client", || async {
        limited.serves().await.is_ok()
    })
    .await?;
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_sends_a_head_drop_by_drop_is_cut_off() -> Result<()> {
    let limited = Limited::start(&[("HEADER_TIMEOUT", "300ms")]).await?;
    let mut slow = limited.connect().await?;
    let (mut reader, mut writer) = slow.split();
    let dripping = async {
        writer.write_all(b"POST /mcp HTTP/1.1\r\n").await.ok();
        for number in 0.. {
            let line = format!("X-{number}: y\r\n");
            if writer.write_all(line.as_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        () = dripping => {}
        closed = timeout(PATIENCE, reader.read_to_end(&mut rest)) => drop(closed?),
    }
    limited.serves().await?;
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_sends_a_body_drop_by_drop_is_refused() -> Result<()> {
    let limited = Limited::start(&[("BODY_TIMEOUT", "300ms")]).await?;
    let mut slow = limited.connect().await?;
    slow.write_all(
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    )
    .await?;
    let answer = until_closed(&mut slow).await?;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("did not arrive in time"), "{answer}");
    limited.serves().await?;
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_that_waits_for_an_answer_is_not() -> Result<()> {
    let limited = Limited::start(&[("IDLE_TIMEOUT", "300ms")]).await?;
    let mut silent = limited.connect().await?;
    let session = Session::open(Era::Modern, &limited.url).await?;
    let slow = session.call("slow", json!({ "ms": 1500 }));
    let (closed, slow) = tokio::join!(until_closed(&mut silent), slow);
    assert_eq!(closed?, "");
    assert!(slow?.result()?["content"].is_array());
    // Nor does a connection stay because an answer was waited for on it.
    let mut silent = limited.connect().await?;
    let call = modern_message(
        "tools/call",
        json!({ "name": "slow", "arguments": { "ms": 100 } }),
    );
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: slow\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    silent.write_all(request.as_bytes()).await?;
    let answer = until_closed(&mut silent).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_given_up() -> Result<()> {
    let limited = Limited::start(&[
        ("WRITE_TIMEOUT", "500ms"),
        ("MAX_CONNECTIONS", "1"),
        ("IDLE_TIMEOUT", "100ms"),
    ])
    .await?;
    let body = call(&"x".repeat(6 << 20));
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut deaf = wait::until_some("the only place", || async {
        let mut stream = limited.connect().await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.ok()?;
        Some(stream)
    })
    .await?;
    // Its place is another's although it never closes its connection.
    wait::until("a place for another client", || async {
        limited.serves().await.is_ok()
    })
    .await?;
    drop(until_closed(&mut deaf).await);
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn bodies_that_would_take_too_much_memory_together_are_refused() -> Result<()> {
    let limited = Limited::start(&[("MAX_BUFFERED_BYTES", "300000")]).await?;
    let body = call(&"x".repeat(200_000));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let client = RawClient::default();
    // Of the two, whichever comes to be read first has the space.
    let (held, refused) = wait::until_some("a refusal", || async {
        let mut held = limited.connect().await.ok()?;
        held.write_all(head.as_bytes()).await.ok()?;
        held.write_all(&body.as_bytes()[..100_000]).await.ok()?;
        let answer = client.post(&limited.url, &CALL, body.clone()).await.ok()?;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some((held, answer))
    })
    .await?;
    assert_eq!(refused.error_code()?, 1010);
    limited.serves().await?;
    drop(held);
    wait::until("the memory to be free again", || async {
        let answer = client.post(&limited.url, &CALL, body.clone()).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK)
    })
    .await?;
    limited.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn heads_bodies_and_nesting_have_bounds_of_their_own() -> Result<()> {
    let limited = Limited::start(&[
        ("MAX_HEADER_BYTES", "8192"),
        ("MAX_HEADERS", "20"),
        ("MAX_BODY_BYTES", "2000"),
        ("MAX_JSON_DEPTH", "10"),
    ])
    .await?;
    let heads = [
        format!("X-Long: {}\r\n", "y".repeat(20_000)),
        "X-Many: y\r\n".repeat(30),
    ];
    for headers in heads {
        let mut stream = limited.connect().await?;
        let head = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await?;
        let answer = until_closed(&mut stream).await?;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let client = RawClient::default();
    let long = client
        .post(&limited.url, &CALL, call(&"x".repeat(3000)))
        .await?;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    let nested = format!("{}{}", "[".repeat(20), "]".repeat(20));
    let deep = call("x").replace("\"x\"", &nested);
    let deep = client.post(&limited.url, &CALL, deep).await?;
    assert_eq!(deep.status, StatusCode::BAD_REQUEST);
    assert!(deep.text().contains("more than 10 deep"), "{}", deep.text());
    limited.serves().await?;
    limited.gateway.stop().await?;
    Ok(())
}
