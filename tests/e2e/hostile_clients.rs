//! Clients that break the protocol, byte by byte: what they get, and that nobody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use gateway_tests::bystander::beside;
use gateway_tests::session::modern_message;
use gateway_tests::{Era, Session, Setup};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
/// How long a connection may stay open, and something for a busy machine.
const SLOW: Duration = Duration::from_secs(60);

/// What comes back for these bytes until the gateway closes the connection.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    timeout(SLOW, read)
        .await
        .context("the connection stays open")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn ids_come_back_as_they_were_sent_however_they_are_written() -> Result<()> {
    let setup = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &setup.url).await?;
    let headers = [("mcp-session-id", session.id().context("an id")?)];
    let long = format!("\"{}\"", "x".repeat(100_000));
    let case = async {
        for id in [
            "1.5",
            "-0",
            "1e400",
            "18446744073709551616",
            "0.10000000000000000000000000001",
            "\"\\u0000\\ud83d\\ude00\"",
            "\"\"",
            &long,
        ] {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{}}}}}}"#
            );
            let answer = setup.client.post(&setup.url, &headers, body).await?;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            assert!(
                answer.raw_message().contains(&format!("\"id\":{id}")),
                "{}",
                answer.text()
            );
        }
        Ok(())
    };
    beside(&setup.gateway, "/mcp", "echo", case).await?;
    setup.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_message_or_none_of_the_protocol_gets_the_error_that_is_specified() -> Result<()>
{
    let setup = Setup::start(BINARY).await?;
    let session = Session::open(Era::Legacy, &setup.url).await?;
    let headers = [("mcp-session-id", session.id().context("an id")?)];
    let call = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    let deep = format!(
        "{}{}",
        r#"{"a":"#.repeat(200),
        "1".to_owned() + &"}".repeat(200)
    );
    let cases: Vec<(Vec<u8>, i64)> = vec![
        (b"\xff\xfe{\0}\0".to_vec(), -32700),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\x28\"}".to_vec(),
            -32700,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\0".to_vec(),
            -32700,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"".to_vec(),
            -32700,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":NaN,\"method\":\"ping\"}".to_vec(),
            -32700,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","ID":2}"#.to_vec(),
            -32600,
        ),
        (
            br#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#.to_vec(),
            -32600,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#.to_vec(),
            -32600,
        ),
        (call(&deep).into_bytes(), -32600),
        (
            call(r#"{"name":"echo","name":"fail","arguments":{}}"#).into_bytes(),
            -32602,
        ),
        (
            call(r#"{"name":"echo","Name":"fail","arguments":{}}"#).into_bytes(),
            -32602,
        ),
        (
            call(r#"{"name":["echo"],"arguments":{}}"#).into_bytes(),
            -32602,
        ),
        (
            call(r#"{"name":"echo","arguments":"{}"}"#).into_bytes(),
            -32602,
        ),
        (
            call(r#"{"name":"echo","arguments":{},"_meta":[]}"#).into_bytes(),
            -32602,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/cal"}"#.to_vec(),
            -32601,
        ),
        (br#"{"jsonrpc":"2.0","id":1,"method":""}"#.to_vec(), -32601),
    ];
    let case = async {
        for (body, code) in cases {
            let shown = String::from_utf8_lossy(&body).into_owned();
            let answer = setup.client.post(&setup.url, &headers, body).await?;
            let found = answer.error_code().with_context(|| shown.clone())?;
            assert_eq!(found, code, "{shown}: {}", answer.text());
        }
        Ok(())
    };
    beside(&setup.gateway, "/mcp", "echo", case).await?;
    setup.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn headers_that_contradict_the_body_reach_no_server() -> Result<()> {
    let setup = Setup::start(BINARY).await?;
    let call = modern_message("tools/call", json!({ "name": "refuse", "arguments": {} }));
    let (version, method) = (
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
    );
    let case = async {
        for headers in [
            vec![version, method, ("mcp-name", "echo")],
            vec![
                version,
                method,
                ("mcp-name", "refuse"),
                ("mcp-name", "refuse"),
            ],
            vec![version, method, ("mcp-name", "=?base64?cmVmdXNl")],
            vec![version, method, ("mcp-name", "=?base64?!?=")],
            vec![version, method],
            vec![
                version,
                ("mcp-method", "tools/list"),
                ("mcp-name", "refuse"),
            ],
            vec![version, ("mcp-name", "refuse")],
        ] {
            let answer = setup
                .client
                .post(&setup.url, &headers, call.clone())
                .await?;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
            assert_eq!(
                answer.error_code()?,
                -32020,
                "{headers:?}: {}",
                answer.text()
            );
        }
        Ok(())
    };
    beside(&setup.gateway, "/mcp", "echo", case).await?;
    setup.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_within_a_request_is_never_a_second_one() -> Result<()> {
    // A connection on which nothing more is answered shows that by its end.
    let setup = Setup::start_with(BINARY, &[("MCP_GATEWAY_IDLE_TIMEOUT", "2s")]).await?;
    let session = Session::open(Era::Legacy, &setup.url).await?;
    let id = session.id().context("an id")?;
    let call = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"refuse"}}"#;
    let hidden = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Mcp-Session-Id: {id}\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let chunked = format!("{:x}\r\n{ping}\r\n0\r\n\r\n", ping.len());
    let length = ping.len();
    let all = ping.len() + hidden.len();
    // The head's odd lines, and the body that one reader ends before the hidden request, another behind it.
    let cases = [
        (
            format!("Content-Length: {all}\r\nTransfer-Encoding: chunked"),
            &chunked,
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {all}"),
            &chunked,
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: {all}"),
            &ping.to_owned(),
        ),
        (format!("Content-Length: {length}, {all}"), &ping.to_owned()),
        (format!("Content-Length: +{length}"), &ping.to_owned()),
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding: x"),
            &ping.to_owned(),
        ),
        ("Transfer-Encoding: chunked, identity".to_owned(), &chunked),
        ("Transfer-Encoding : chunked".to_owned(), &chunked),
        ("Transfer-Encoding: \x0bchunked".to_owned(), &chunked),
        (
            format!("X: y\r\n folded\r\nContent-Length: {all}"),
            &ping.to_owned(),
        ),
        (
            "Transfer-Encoding: chunked\r\nX: y".to_owned(),
            &format!("ffffffffffffffff1\r\n{chunked}"),
        ),
    ];
    let post = |lines: &str, body: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Mcp-Session-Id: {id}\r\n{lines}\r\n\r\n{body}{hidden}"
        )
    };
    let address = setup.gateway.address();
    let case = async {
        // Where the head is clear, what follows the body is the next request.
        let clear = post(&format!("Content-Length: {length}"), ping);
        let answers = exchange(address, clear.as_bytes()).await?;
        assert!(answers.contains("\"id\":9"), "{answers}");
        let refused = cases.iter().map(|(lines, body)| {
            let text = post(lines, body);
            async move {
                let answers = exchange(address, text.as_bytes()).await?;
                let count = answers.matches("HTTP/1.1 ").count();
                assert!(count <= 1, "{lines:?} was answered twice: {answers}");
                assert!(!answers.contains("\"id\":9"), "{lines:?}: {answers}");
                anyhow::Ok(())
            }
        });
        try_join_all(refused).await?;
        Ok(())
    };
    beside(&setup.gateway, "/mcp", "echo", case).await?;
    setup.gateway.stop().await?;
    Ok(())
}
