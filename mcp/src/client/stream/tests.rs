//! Streams that end before the response, and go on elsewhere or do not.

use http::{Method, Response};

use super::*;
use crate::client::testing::{
    Body, DISCOVERED, Seen, Server, all, call, event, hello, legacy_handshake, reply, result, soon,
    until, within,
};
use crate::client::{Exchange, Peer};
use gateway_core::Deadline;

fn sse_event(id: Option<&str>, retry: Option<u64>) -> SseEvent {
    SseEvent {
        id: id.map(str::to_owned),
        retry: retry.map(Duration::from_millis),
        ..SseEvent::default()
    }
}

#[test]
fn the_cursor_keeps_the_last_id_and_the_last_wait() {
    let mut cursor = Cursor::default();
    assert_eq!(cursor.pause(0), DEFAULT_PAUSE);
    for (id, retry) in [(Some("a"), Some(5)), (None, None), (Some("größe"), None)] {
        cursor.note(&sse_event(id, retry));
    }
    let headers = cursor.headers(&HeaderMap::new());
    assert_eq!(headers[LAST_EVENT_ID].as_bytes(), "größe".as_bytes());
    assert_eq!(cursor.pause(0), Duration::from_millis(5));
    assert!(cursor.pause(1) > cursor.pause(0));
    assert_eq!(cursor.pause(1000), LONGEST_PAUSE);
    cursor.note(&sse_event(Some(""), Some(3_600_000)));
    assert!(!cursor.has_id());
    assert_eq!(cursor.pause(3), Duration::from_secs(3600));
}

fn text(body: impl Into<String>) -> Response<Body> {
    reply(200, "text/event-stream", body)
}

const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;

/// The answer to the first request after the handshake.
fn answer() -> String {
    event(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#)
}

/// A legacy server that answers calls with `posted`, and a GET with `got`.
async fn server(
    posted: &'static str,
    got: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
) -> (Server, Peer) {
    let server = Server::start(move |seen| match seen.verb {
        Method::GET => got(seen),
        _ => legacy_handshake(seen).unwrap_or_else(|| text(posted)),
    })
    .await;
    let peer = server.connect(None).await.unwrap();
    (server, peer)
}

async fn open(peer: &Peer, deadline: Deadline) -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert("x-of", "the request".parse().unwrap());
    peer.request(&call("m"), headers, deadline).await.unwrap()
}

#[tokio::test]
async fn goes_on_where_the_stream_ended_as_often_as_it_ends() {
    let primed = "id: e-1\nretry: 10\ndata:\n\n";
    let (mut server, peer) = server(primed, |seen| match seen.header("last-event-id") {
        Some("e-1") => text(format!("id: e-2\n{}id: e-3\ndata:\n\n", event(NOTE))),
        Some("e-3") => text(answer()),
        other => panic!("{other:?}"),
    })
    .await;
    let texts = all(open(&peer, soon()).await).await.unwrap();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert_eq!(texts[0], NOTE);
    assert!(texts[1].contains(r#""id":"c-1""#), "{texts:?}");
    let seen = server.saw_verb(Method::GET).await;
    assert_eq!(seen.header("accept"), Some("text/event-stream"));
    assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(seen.header("x-of"), Some("the request"));
    assert_eq!(seen.header("x-static"), Some("of the endpoint"));
}

#[tokio::test]
async fn tries_again_when_the_server_is_not_up_to_it_yet() {
    let attempts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = attempts.clone();
    let (_server, peer) = server("id: 1\nretry: 1\ndata:\n\n", move |_| {
        match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => reply(503, "text/plain", ""),
            1 => reply(409, "text/plain", "there is one already"),
            _ => text(answer()),
        }
    })
    .await;
    assert_eq!(all(open(&peer, soon()).await).await.unwrap().len(), 1);
    assert_eq!(attempts.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[tokio::test]
async fn gives_up_when_the_stream_is_not_to_be_had() {
    for status in [503, 404, 405, 200] {
        let (mut server, peer) = server("id: 1\nretry: 1\ndata:\n\n", move |_| {
            reply(status, "text/plain", "")
        })
        .await;
        let error = all(open(&peer, soon()).await).await.unwrap_err();
        // The server may have processed the request, so that it must not be sent again.
        assert!(matches!(error, ClientError::StreamLost { .. }), "{error}");
        server.saw_verb(Method::GET).await;
    }
}

#[tokio::test]
async fn a_long_wait_ends_at_the_deadline_and_the_server_is_told() {
    let (mut server, peer) = server("id: 1\nretry: 3600000\ndata:\n\n", |_| text(answer())).await;
    let mut exchange = open(&peer, Deadline::after(Duration::from_millis(200))).await;
    let error = within(exchange.next()).await.unwrap().unwrap_err();
    assert!(error.is_deadline(), "{error}");
    server.saw("notifications/cancelled").await;
}

#[tokio::test]
async fn loses_nothing_when_reading_is_given_up_while_it_waits() {
    let (_server, peer) = server("id: 1\nretry: 100\ndata:\n\n", |_| text(answer())).await;
    let mut exchange = open(&peer, soon()).await;
    let arrival = within(async {
        loop {
            let reading = tokio::time::timeout(Duration::from_millis(5), exchange.next());
            if let Ok(arrival) = reading.await {
                return arrival;
            }
        }
    })
    .await;
    assert!(arrival.unwrap().unwrap().result().is_some());
}

#[tokio::test]
async fn a_modern_servers_stream_is_not_resumed() {
    let server = Server::start(|seen| match (&seen.verb, seen.method().as_str()) {
        (&Method::GET, _) => panic!("it was asked to go on"),
        (_, "server/discover") => result(seen, DISCOVERED),
        _ => text("id: 1\nretry: 1\ndata:\n\n"),
    })
    .await;
    let peer = Peer::connect_http(server.endpoint(), hello(), None, soon())
        .await
        .unwrap();
    let error = all(open(&peer, soon()).await).await.unwrap_err();
    assert!(matches!(error, ClientError::StreamLost { .. }), "{error}");
}

#[tokio::test]
async fn dropping_an_exchange_ends_its_attempts() {
    let (mut server, peer) = server("id: 1\nretry: 50\ndata:\n\n", |_| {
        reply(503, "text/plain", "")
    })
    .await;
    let mut exchange = open(&peer, soon()).await;
    let reading = tokio::spawn(async move { exchange.next().await.is_none() });
    server.saw_verb(Method::GET).await;
    reading.abort();
    until(|| reading.is_finished()).await;
    server.saw("notifications/cancelled").await;
}

#[tokio::test]
async fn reads_several_messages_from_one_event() {
    let batch = concat!(
        r#"data: [{"jsonrpc":"2.0","id":3,"result":{}},{"jsonrpc":"2.0","method":"n"}]"#,
        "\n\n"
    );
    let (_server, peer) = server(batch, |_| reply(405, "text/plain", "")).await;
    let texts = all(open(&peer, soon()).await).await.unwrap();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains(r#""method":"n""#), "{texts:?}");
}
