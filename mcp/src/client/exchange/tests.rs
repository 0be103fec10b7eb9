//! Questions, cancellations and subscriptions over real sockets.

use std::time::Duration;

use http::{HeaderMap, Method, Response};
use tokio::sync::mpsc;

use super::*;
use crate::author;
use crate::client::Peer;
use crate::client::testing::{
    Body, DISCOVERED, Feed, Seen, Server, call, event, fed_events, legacy_handshake, reply, result,
    soon, until, within,
};
use crate::params::Params;
use crate::version::Era;

/// A server whose answers to calls the test writes; `handshake` gives all others.
async fn fed_server(
    handshake: impl Fn(&Seen) -> Option<Response<Body>> + Send + Sync + 'static,
) -> (Server, Peer, mpsc::UnboundedReceiver<Feed>) {
    let (feeds, opened) = mpsc::unbounded_channel();
    let server = Server::start(move |seen| {
        if let Some(response) = handshake(seen) {
            return response;
        }
        let (response, feed) = fed_events();
        feeds.send(feed).unwrap();
        response
    })
    .await;
    let peer = server.connect_askable().await.unwrap();
    (server, peer, opened)
}

async fn legacy() -> (Server, Peer, mpsc::UnboundedReceiver<Feed>) {
    fed_server(|seen| match seen.verb {
        Method::POST if seen.method().is_empty() => Some(reply(202, "text/plain", "")),
        _ => legacy_handshake(seen),
    })
    .await
}

async fn modern() -> (Server, Peer, mpsc::UnboundedReceiver<Feed>) {
    fed_server(|seen| (seen.method() == "server/discover").then(|| result(seen, DISCOVERED))).await
}

async fn open(peer: &Peer) -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert("x-of", "the request".parse().unwrap());
    peer.request(&call("m"), headers, soon()).await.unwrap()
}

async fn next(exchange: &mut Exchange) -> Message {
    within(exchange.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn brings_the_servers_question_to_the_caller_and_the_answer_to_the_server() {
    let (mut server, peer, mut opened) = legacy().await;
    let mut exchange = open(&peer).await;
    let wire = server.saw("m").await.id();
    let feed = within(opened.recv()).await.unwrap();
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
    // The server's ids are its own; here it is the one that the request has on the wire.
    let question = format!(r#"{{"jsonrpc":"2.0","id":{wire},"method":"elicitation/create"}}"#);
    let taken_back = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{wire}}}}}"#
    );
    for text in [log, &question, &taken_back] {
        feed.send(event(text)).unwrap();
        assert_eq!(next(&mut exchange).await.bytes(), text);
    }

    let answer = author::result(&wire, r#"{"action":"accept"}"#);
    peer.respond(&answer, soon()).await.unwrap();
    let seen = server.saw("").await;
    assert_eq!(seen.body, *answer.bytes());
    assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
    let response = format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{{}}}}"#);
    feed.send(event(&response)).unwrap();
    assert_eq!(next(&mut exchange).await.id(), Some("\"c-1\""));
    assert!(within(exchange.next()).await.is_none());
}

#[tokio::test]
async fn answers_in_the_clients_place_what_was_not_declared_for_it() {
    let (mut server, peer, mut opened) = legacy().await;
    let mut exchange = open(&peer).await;
    let feed = within(opened.recv()).await.unwrap();
    for method in ["ping", "tasks/get", "roots/list"] {
        let question = format!(r#"{{"jsonrpc":"2.0","id":"{method}","method":"{method}"}}"#);
        feed.send(event(&question)).unwrap();
    }
    assert_eq!(next(&mut exchange).await.method(), Some("roots/list"));
    let pong = server.saw("").await;
    assert_eq!(pong.id(), "\"ping\"");
    assert_eq!(pong.header("x-of"), Some("the request"));
    let refusal = server.saw("").await;
    assert_eq!(refusal.message().rpc_error().unwrap().code, -32601);
}

#[tokio::test]
async fn a_server_that_refuses_the_clients_answer_says_so() {
    let server = Server::start(|seen| match seen.method().as_str() {
        "" => reply(400, "text/plain", "what answer?"),
        _ => legacy_handshake(seen).unwrap(),
    })
    .await;
    let peer = server.connect(None).await.unwrap();
    let error = peer
        .respond(&author::result("1", "{}"), soon())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("what answer?"), "{error}");
}

#[tokio::test]
async fn a_caller_who_wants_to_hears_what_was_refused_in_the_clients_place() {
    let (feeds, mut opened) = mpsc::unbounded_channel();
    let mut server = Server::start(move |seen| match seen.verb {
        Method::POST if seen.method().is_empty() => reply(202, "text/plain", ""),
        _ => legacy_handshake(seen).unwrap_or_else(|| {
            let (response, feed) = fed_events();
            feeds.send(feed).unwrap();
            response
        }),
    })
    .await;
    let peer = server.connect(None).await.unwrap();
    for hears in [true, false] {
        let mut exchange = open(&peer).await;
        if hears {
            exchange = exchange.hearing_refusals();
        }
        let feed = within(opened.recv()).await.unwrap();
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"roots/list"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
        ] {
            feed.send(event(text)).unwrap();
        }
        let heard = next(&mut exchange).await;
        assert_eq!(heard.method() == Some("roots/list"), hears, "{heard:?}");
        assert_eq!(server.saw("").await.id(), "1");
        let refusal = server.saw("").await.message().rpc_error().unwrap();
        assert_eq!(refusal.code, -32601);
        assert!(refusal.message.contains("roots/list"), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_refusal_by_status_is_known_before_anything_is_read() {
    let server = Server::start(|seen| match seen.method().as_str() {
        "server/discover" => result(seen, DISCOVERED),
        "ok" => result(seen, "{}"),
        _ => {
            let error = author::error(Some(&seen.id()), -32020, "Header mismatch", None);
            let text = String::from_utf8(error.into_bytes().to_vec()).unwrap();
            reply(400, "application/json", text)
        }
    })
    .await;
    let peer = server.connect(None).await.unwrap();
    let mut exchange = open(&peer).await;
    assert_eq!(exchange.refusal().unwrap().code, -32020);
    assert_eq!(next(&mut exchange).await.id(), Some("\"c-1\""));
    let answered = peer.request(&call("ok"), HeaderMap::new(), soon()).await;
    assert_eq!(answered.unwrap().refusal(), None);
}

#[tokio::test]
async fn a_modern_servers_question_is_dropped() {
    let (_server, peer, mut opened) = modern().await;
    let mut exchange = open(&peer).await;
    let feed = within(opened.recv()).await.unwrap();
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#,
    ] {
        feed.send(event(text)).unwrap();
    }
    assert_eq!(next(&mut exchange).await.kind(), Kind::Notification);
}

#[tokio::test]
async fn a_cancelled_request_is_read_on_and_cancelled_once() {
    let (mut server, peer, mut opened) = legacy().await;
    let mut exchange = open(&peer).await;
    let wire = server.saw("m").await.id();
    let feed = within(opened.recv()).await.unwrap();
    exchange.cancel(Some("the user said \"stop\""));
    exchange.cancel(Some("again"));
    let cancelled = server.saw("notifications/cancelled").await;
    let params = format!(r#"{{"requestId":{wire},"reason":"the user said \"stop\""}}"#);
    assert_eq!(cancelled.message().params(), Some(params.as_str()));
    assert_eq!(cancelled.header("x-of"), Some("the request"));
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    feed.send(event(note)).unwrap();
    assert_eq!(next(&mut exchange).await.bytes(), note);
    drop(exchange);

    let mut other = open(&peer).await;
    other.cancel(None);
    let cancelled = server.saw("notifications/cancelled").await;
    let wire: u64 = wire.parse().unwrap();
    let params = format!(r#"{{"requestId":{}}}"#, wire + 1);
    assert_eq!(cancelled.message().params(), Some(params.as_str()));
}

#[tokio::test]
async fn cancelling_closes_a_modern_servers_stream() {
    let (_server, peer, mut opened) = modern().await;
    let mut exchange = open(&peer).await;
    let feed = within(opened.recv()).await.unwrap();
    exchange.cancel(Some("enough"));
    assert!(within(exchange.next()).await.is_none());
    // The server notices when it writes.
    until(|| feed.send(":\n\n".into()).is_err()).await;
}

#[tokio::test]
async fn a_subscription_outlives_its_deadline_and_ends_as_the_server_says() {
    let (mut server, peer, mut opened) = modern().await;
    let deadline = Deadline::after(Duration::from_millis(300));
    let filter = r#"{"toolsListChanged":true}"#;
    let mut exchange = peer.listen(filter, deadline).await.unwrap();
    let seen = server.saw("subscriptions/listen").await;
    assert_eq!(seen.header("mcp-method"), Some("subscriptions/listen"));
    let sent = seen.message();
    assert!(
        sent.params()
            .unwrap()
            .contains(&format!(r#""notifications":{filter}"#))
    );
    let meta = Params::of(&sent).unwrap().meta().unwrap();
    assert_eq!(meta.require_modern().unwrap(), "2026-07-28");
    assert_eq!(
        meta.client_capabilities(),
        Some(r#"{"sampling":{},"elicitation":{},"roots":{"listChanged":true}}"#)
    );

    let feed = within(opened.recv()).await.unwrap();
    until(|| deadline.has_passed()).await;
    let meta = r#""_meta":{"io.modelcontextprotocol/subscriptionId":ID}"#;
    for text in [
        r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{META}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{META}}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete",META}}"#,
    ] {
        let text = text.replace("META", meta);
        feed.send(event(&text.replace("ID", sent.id().unwrap())))
            .unwrap();
        let received = next(&mut exchange).await;
        assert_eq!(received.bytes(), &text.replace("ID", "0"));
    }
    assert!(within(exchange.next()).await.is_none());
}

#[tokio::test]
async fn there_are_no_subscriptions_with_a_legacy_server() {
    let (_server, peer, _) = legacy().await;
    assert_eq!(peer.hello().era, Era::Legacy);
    let error = peer.listen("{}", soon()).await.unwrap_err();
    assert!(
        error.to_string().contains("subscriptions/listen"),
        "{error}"
    );
}
