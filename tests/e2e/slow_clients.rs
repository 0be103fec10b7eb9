//! Clients that send or read slowly, or send without end: they are cut off in time, and nobody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use gateway_tests::Setup;
use gateway_tests::bystander::{beside, growth};
use gateway_tests::raw::RawClient;
use gateway_tests::session::modern_message;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
/// How long a client that sends slowly may be let go on, and something for a busy machine.
const SLOW: Duration = Duration::from_secs(60);
const LIMIT: usize = 16 << 20;

/// Sends a body without end in chunks of 1 MiB, and gives what is answered.
async fn send_without_end(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut chunk = b"100000\r\n".to_vec();
    chunk.extend(std::iter::repeat_n(b' ', 1 << 20));
    chunk.extend(b"\r\n");
    let (mut reader, mut writer) = stream.split();
    let sending = async { while writer.write_all(&chunk).await.is_ok() {} };
    let mut answer = vec![0; 4096];
    let reading = reader.read(&mut answer);
    let (read, ()) = timeout(SLOW, futures_util::future::join(reading, sending))
        .await
        .context("the body is read without end")?;
    answer.truncate(read?);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn bodies_without_end_are_refused_at_the_limit_and_take_no_memory() -> Result<()> {
    let setup = Setup::start(BINARY).await?;
    let address = setup.gateway.address();
    let case = async {
        let sending = (0..4).map(|_| send_without_end(address));
        for answer in try_join_all(sending).await? {
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
        Ok(())
    };
    let case = beside(&setup.gateway, "/mcp", "echo", case);
    let grown = growth(&setup.gateway, case).await?;
    let bound = 4 * 3 * LIMIT as u64;
    assert!(grown < bound, "the gateway took {grown} bytes");
    setup.gateway.stop().await?;
    Ok(())
}

/// Sends these bytes one by one until the gateway closes the connection or answers.
async fn trickle(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        for byte in bytes.iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut answer = vec![0; 4096];
    let read = tokio::select! {
        read = timeout(SLOW, reader.read(&mut answer)) => read.context("it is let go on")?,
        () = sending => Ok(0),
    };
    answer.truncate(read.unwrap_or(0));
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn clients_that_send_slowly_are_cut_off_in_time() -> Result<()> {
    let setup = Setup::start(BINARY).await?;
    let address = setup.gateway.address();
    let body = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100000\r\n\r\n{\"a\":";
    let case = async {
        let heads = (0..50).map(|_| trickle(address, b"x-a: b\r\n"));
        let bodies = (0..50).map(|_| async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(body.as_bytes()).await?;
            let mut answer = vec![0; 4096];
            let read = timeout(SLOW, stream.read(&mut answer)).await;
            answer.truncate(read.context("it is let go on")??);
            Ok(String::from_utf8_lossy(&answer).into_owned())
        });
        let (heads, bodies) =
            futures_util::future::try_join(try_join_all(heads), try_join_all(bodies)).await?;
        for answer in heads {
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
                "{answer}"
            );
        }
        for answer in bodies {
            assert!(answer.contains("did not arrive in time"), "{answer}");
        }
        Ok(())
    };
    beside(&setup.gateway, "/mcp", "echo", case).await?;
    setup.gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn clients_that_read_nothing_hold_nobody_up() -> Result<()> {
    let setup = Setup::start(BINARY).await?;
    let address = setup.gateway.address();
    let arguments = json!({ "text": "x".repeat(1 << 20) });
    let call = modern_message(
        "tools/call",
        json!({ "name": "echo", "arguments": arguments }),
    );
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n\
         Content-Length: {}\r\n\r\n{call}",
        call.len()
    );
    let case = async {
        let calls = setup.fixture.calls();
        let mut deaf = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            // More requests than are answered as long as nothing is read.
            drop(
                timeout(
                    Duration::from_millis(100),
                    stream.write_all(request.as_bytes()),
                )
                .await,
            );
            deaf.push(stream);
        }
        gateway_tests::wait::until("their calls to be made", || async {
            setup.fixture.calls() >= calls + 20
        })
        .await?;
        let client = RawClient::default();
        let list = modern_message("tools/list", json!({}));
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/list"),
        ];
        for _ in 0..50 {
            client
                .post(&setup.url, &headers, list.clone())
                .await?
                .result()?;
        }
        drop(deaf);
        Ok(())
    };
    let case = beside(&setup.gateway, "/mcp", "echo", case);
    let grown = growth(&setup.gateway, case).await?;
    assert!(grown < 256 << 20, "the gateway took {grown} bytes");
    setup.gateway.stop().await?;
    Ok(())
}
