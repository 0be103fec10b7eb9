//! Replicas listen to each other and to nobody else, and home asks each client who it is.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{Eras, HttpFixture, Options};
use gateway_tests::fleet::{Fleet, Visitor, open_to_all, tenant};
use gateway_tests::raw::ACCEPT;
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, BOB_HASH, BOB_KEY};
use gateway_tests::servers::remote;
use gateway_tests::wait;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn keeping() -> Options {
    Options {
        era: Eras::Legacy,
        sessions: true,
        ..Options::default()
    }
}

fn keys() -> Value {
    let key = |id: &str, hash: &str| json!({ "id": id, "user_id": id, "hash": hash });
    let keys = json!([key("ada", ADA_HASH), key("bob", BOB_HASH)]);
    json!({ "provider": "in-memory", "implementation": "api-key", "settings": { "keys": keys } })
}

#[tokio::test]
async fn whoever_is_no_replica_is_refused_and_nobody_uses_anothers_session() -> Result<()> {
    let server = HttpFixture::start(keeping()).await?;
    let servers = [("server", remote(&server.url()))];
    let mut rival = tenant(&servers, keys());
    rival["tenant"] = "rival".into();
    let fleet = Fleet::start(BINARY, &[tenant(&servers, keys()), rival], 2).await?;
    let ada = Visitor::open_as(&fleet, 0, json!({}), Some(ADA_KEY)).await?;
    ada.text(&fleet, 1, "echo").await?;

    // Home asks who it is, wherever the client was.
    let mut bob = Visitor::open_as(&fleet, 0, json!({}), Some(BOB_KEY)).await?;
    bob.headers.retain(|(name, _)| *name != "mcp-session-id");
    let stolen = ada
        .headers
        .iter()
        .find(|(name, _)| *name == "mcp-session-id");
    bob.headers.extend(stolen.cloned());
    assert_eq!(bob.status(&fleet, 1).await?, StatusCode::NOT_FOUND);
    let params = json!({ "name": "echo", "arguments": {} });
    let called = bob.request(&fleet, 1, 1, "tools/call", params).await?;
    assert_eq!(called.status, StatusCode::NOT_FOUND, "{}", called.text());
    let other = fleet.replica(1)?.plane.url("/t/rival/mcp");
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let elsewhere = ada.raw.post(&other, &ada.headers(), list.clone()).await?;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);

    // With everything that a client has, but no signature or none that holds.
    let listens = fleet.replica(0)?.listens;
    let forged = [
        "",
        "1.AAAAAA.1.AA.0.AA",
        "1.AAAAAA.0.AAAAAAAAAAAAAAAAAAAAAA.0123456789abcdef.AA",
    ];
    for signature in forged {
        for (method, path) in [
            (Method::POST, "/t/default/mcp"),
            (Method::GET, "/replicas/told"),
            (Method::POST, "/replicas/told"),
        ] {
            let mut headers = ada.headers();
            headers.extend([ACCEPT, ("content-type", "application/json")]);
            headers.extend((!signature.is_empty()).then_some(("mcp-gateway-replica", signature)));
            let url = format!("http://{listens}{path}");
            let answer = ada.raw.send(method, &url, &headers, list.clone()).await?;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{signature} {path}"
            );
        }
    }
    // What only replicas say to each other is nothing at the door of clients.
    let told = fleet.replica(0)?.plane.url("/replicas/told");
    let answer = ada.raw.get(&told).await?;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    fleet.stop().await
}

#[tokio::test]
async fn replicas_reach_each_other_by_tls() -> Result<()> {
    let server = HttpFixture::start(keeping()).await?;
    let document = open_to_all(&[("server", remote(&server.url()))]);
    let fleet = Fleet::start_tls(BINARY, &[document], 2).await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    fleet.wait_for_log(0, &["replicas on https://"]).await?;
    assert_eq!(visitor.text(&fleet, 1, "echo").await?, "{}");
    let calls = r#""tool":"echo""#;
    wait::until("the event", || async { fleet.events(calls) == [1, 0] }).await?;
    // Whoever does not speak TLS is not listened to at all.
    let listens = fleet.replica(0)?.listens;
    let plain = format!("http://{listens}/replicas/told");
    assert!(visitor.raw.get(&plain).await.is_err());
    assert!(visitor.delete(&fleet, 1).await?.is_success());
    assert_eq!(visitor.status(&fleet, 0).await?, StatusCode::NOT_FOUND);
    fleet.stop().await
}

/// Stands before a replica's listener and keeps what is said to it.
struct Recorder {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// Where the replica listens is known only once it has started.
    async fn start(listens: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&heard);
        drop(tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                drop(tokio::spawn(record(from, listens, Arc::clone(&kept))));
            }
        }));
        Ok(Self { address, heard })
    }

    /// The last request that was said.
    async fn last(&self) -> Result<Vec<u8>> {
        let heard = self.heard.lock().await;
        let text = String::from_utf8_lossy(&heard);
        let start = text
            .rfind("POST /t/default/mcp ")
            .context("nothing was said")?;
        Ok(heard.iter().skip(start).copied().collect())
    }
}

/// Passes on what comes on one connection and what is answered, and keeps the former.
async fn record(
    mut from: TcpStream,
    listens: SocketAddr,
    kept: Arc<Mutex<Vec<u8>>>,
) -> std::io::Result<()> {
    let mut to = TcpStream::connect(listens).await?;
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    let recording = async {
        let mut piece = Vec::with_capacity(4096);
        while from_read.read_buf(&mut piece).await? > 0 {
            kept.lock().await.extend_from_slice(&piece);
            to_write.write_all(&piece).await?;
            piece.clear();
        }
        to_write.shutdown().await
    };
    let answering = tokio::io::copy(&mut to_read, &mut from_write);
    tokio::try_join!(recording, answering).map(drop)
}

/// Says it on a connection of its own, and reads the status that it is answered with.
async fn say_again(said: &[u8], listens: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(listens).await?;
    stream.write_all(said).await?;
    let mut answer = Vec::with_capacity(64);
    stream.read_buf(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn what_was_said_to_a_replica_is_taken_once_and_by_nobody_else() -> Result<()> {
    let server = HttpFixture::start(keeping()).await?;
    let document = tenant(&[("server", remote(&server.url()))], keys());
    let free = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?;
    let recorder = Recorder::start(free).await?;
    let mut fleet = Fleet::start(BINARY, &[document], 1).await?;
    let (listens, advertise) = (free.to_string(), recorder.address.to_string());
    let flags = ["--peer-listen", &listens, "--advertise", &advertise];
    let home = fleet.add(&flags).await?;
    let ada = Visitor::open_as(&fleet, home, json!({}), Some(ADA_KEY)).await?;
    ada.text(&fleet, 0, "echo").await?;

    let said = recorder.last().await?;
    assert!(String::from_utf8_lossy(&said).contains("mcp-gateway-replica: 1."));
    let own = server.sessions().await;
    let other = fleet.replica(0)?.listens;
    for (said_again_to, why) in [(free, "used before"), (other, "of something else")] {
        let answer = say_again(&said, said_again_to).await?;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{why}: {answer}");
    }
    let changed = String::from_utf8_lossy(&said).replace("\"echo\"", "\"fail\"");
    assert_ne!(changed.as_bytes(), said);
    let answer = say_again(changed.as_bytes(), free).await?;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(server.sessions().await, own);
    fleet.stop().await
}
