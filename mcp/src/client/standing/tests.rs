//! The standing stream of a scripted server.

use std::time::Duration;

use http::{HeaderMap, Method, Response};
use tokio::sync::mpsc;

use crate::client::testing::{
    Body, Feed, Seen, Server, call, event, fed_events, legacy_handshake, message, reply, silence,
    soon, until, within,
};
use crate::client::{EventReceiver, Peer};

const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
const QUESTION: &str = r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;

/// A legacy server whose GET is answered by `got`.
async fn server(got: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static) -> (Server, Peer) {
    let server = Server::start(move |seen| match seen.verb {
        Method::GET => got(seen),
        Method::POST if seen.method().is_empty() => reply(202, "text/plain", ""),
        _ => legacy_handshake(seen).unwrap(),
    })
    .await;
    let peer = server.connect_askable().await.unwrap();
    (server, peer)
}

/// A legacy server whose standing streams the test writes.
async fn fed_server() -> (Server, Peer, mpsc::UnboundedReceiver<Feed>) {
    let (feeds, opened) = mpsc::unbounded_channel();
    let (server, peer) = server(move |_| {
        let (response, feed) = fed_events();
        feeds.send(feed).unwrap();
        response
    })
    .await;
    (server, peer, opened)
}

async fn method_of_next(events: &mut EventReceiver) -> Option<String> {
    let message = within(events.recv()).await?;
    message.method().map(str::to_owned)
}

#[tokio::test]
async fn brings_notifications_and_questions_and_answers_the_rest() {
    let (mut server, peer, mut opened) = fed_server().await;
    let mut events = peer.events();
    let seen = server.saw_verb(Method::GET).await;
    assert_eq!(seen.header("accept"), Some("text/event-stream"));
    assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(seen.header("last-event-id"), None);
    assert_eq!(seen.header("x-static"), Some("of the endpoint"));

    let feed = within(opened.recv()).await.unwrap();
    for text in [
        r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#,
        "no message",
        NOTE,
        r#"{"jsonrpc":"2.0","id":"x","method":"no/such"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        &format!("[{QUESTION},{NOTE}]"),
    ] {
        feed.send(event(text)).unwrap();
    }
    for method in [
        "notifications/tools/list_changed",
        "roots/list",
        "notifications/tools/list_changed",
    ] {
        assert_eq!(method_of_next(&mut events).await.unwrap(), method);
    }
    let pong = server.saw("").await;
    assert_eq!(pong.message().result(), Some("{}"));
    let refusal = server.saw("").await;
    assert_eq!(refusal.message().rpc_error().unwrap().code, -32601);
    assert_eq!(refusal.header("mcp-session-id"), Some("s-1"));
}

#[tokio::test]
async fn is_opened_for_the_first_who_listens_only() {
    let (_server, peer, mut opened) = fed_server().await;
    let _events = peer.events();
    assert!(within(peer.events().recv()).await.is_none());
    within(opened.recv()).await.unwrap();
    assert!(opened.is_empty());
}

#[tokio::test]
async fn is_opened_again_where_it_ended() {
    let (mut server, peer, mut opened) = fed_server().await;
    let mut events = peer.events();
    let feed = within(opened.recv()).await.unwrap();
    feed.send(format!("id: 7\nretry: 10\n{}", event(NOTE)))
        .unwrap();
    drop(feed);
    method_of_next(&mut events).await.unwrap();
    let feed = within(opened.recv()).await.unwrap();
    feed.send(event(QUESTION)).unwrap();
    assert_eq!(method_of_next(&mut events).await.unwrap(), "roots/list");
    server.saw_verb(Method::GET).await;
    let again = server.saw_verb(Method::GET).await;
    assert_eq!(again.header("last-event-id"), Some("7"));
}

#[tokio::test]
async fn gets_over_a_server_that_fails_or_forgets_the_place() {
    let (mut server, peer) = server(|seen| match seen.header("last-event-id") {
        Some("1") => reply(503, "text/plain", ""),
        Some("2") => reply(400, "text/plain", "no such event"),
        _ => reply(200, "text/event-stream", "id: 1\nretry: 1\ndata:\n\n"),
    })
    .await;
    let _events = peer.events();
    for expected in [None, Some("1"), None] {
        let seen = server.saw_verb(Method::GET).await;
        assert_eq!(seen.header("last-event-id"), expected);
    }
}

#[tokio::test]
async fn says_that_the_server_is_heard_for_as_long_as_it_is_open() {
    let (feeds, mut opened) = mpsc::unbounded_channel();
    let (_server, peer) = server(move |seen| match seen.header("last-event-id") {
        None => {
            let (response, feed) = fed_events();
            feeds.send(feed).unwrap();
            response
        }
        Some(_) => reply(405, "text/plain", ""),
    })
    .await;
    let events = peer.events();
    let mut is_heard = events.is_heard();
    assert!(!*is_heard.borrow(), "it is not open yet");
    let feed = within(opened.recv()).await.unwrap();
    within(is_heard.wait_for(|is_heard| *is_heard))
        .await
        .unwrap();
    feed.send(format!("id: 7\nretry: 10\n{}", event(NOTE)))
        .unwrap();
    drop(feed);
    within(is_heard.wait_for(|is_heard| !*is_heard))
        .await
        .unwrap();
}

#[tokio::test]
async fn ends_where_the_server_has_none() {
    for (status, body) in [
        (405, ""),
        (404, "Session not found"),
        (200, "<h1>hello</h1>"),
    ] {
        let (_server, peer) = server(move |_| reply(status, "text/html", body)).await;
        assert!(within(peer.events().recv()).await.is_none(), "{status}");
        let lost = tokio::time::timeout(Duration::from_millis(20), peer.session_lost()).await;
        assert_eq!(lost.is_ok(), status == 404, "{status}");
    }
}

#[tokio::test]
async fn a_restarted_server_that_says_so_in_words_has_lost_the_session() {
    let (_server, peer) = server(|_| {
        let error = r#"{"code":-32000,"message":"Bad Request: No valid session ID provided"}"#;
        let body = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#);
        reply(400, "application/json", body)
    })
    .await;
    let _events = peer.events();
    within(peer.session_lost()).await;
}

#[tokio::test]
async fn is_closed_with_its_receiver_its_peer_or_its_session() {
    for way in 0..3 {
        let (_server, peer, mut opened) = fed_server().await;
        let events = peer.events();
        let feed = within(opened.recv()).await.unwrap();
        let (mut events, mut peer) = (Some(events), Some(peer));
        match way {
            0 => drop(events.take()),
            1 => drop(peer.take()),
            _ => within(peer.as_ref().unwrap().close()).await,
        }
        // The server notices when it writes.
        until(|| feed.send(":\n\n".into()).is_err()).await;
        if let Some(events) = &mut events {
            assert!(within(events.recv()).await.is_none());
        }
    }
}

/// A legacy server whose standing streams and answers to calls the test writes.
async fn calling_server() -> (Server, Peer, mpsc::UnboundedReceiver<Feed>) {
    let (feeds, opened) = mpsc::unbounded_channel();
    let feed = move || {
        let (response, feed) = fed_events();
        feeds.send(feed).unwrap();
        response
    };
    let server = Server::start(move |seen| match seen.method().as_str() {
        "" if seen.verb == Method::GET => feed(),
        "" => reply(202, "text/plain", ""),
        "hang" => silence(),
        "tools/call" => feed(),
        _ => legacy_handshake(seen).unwrap(),
    })
    .await;
    let peer = server.connect_askable().await.unwrap();
    (server, peer, opened)
}

#[tokio::test]
async fn progress_of_a_request_comes_to_that_request() {
    let (mut server, peer, mut opened) = calling_server().await;
    let mut events = peer.events();
    let standing = within(opened.recv()).await.unwrap();
    let request = message(
        r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"_meta":{"progressToken":"p"}}}"#,
    );
    let mut exchange = peer
        .request(&request, HeaderMap::new(), soon())
        .await
        .unwrap();
    let answer = within(opened.recv()).await.unwrap();
    let wire = server.saw("tools/call").await.id();
    let progress = |token: &str| {
        let params = format!(r#"{{"progressToken":{token},"progress":1}}"#);
        event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#
        ))
    };
    standing.send(progress("4711")).unwrap();
    standing.send(progress(&wire)).unwrap();
    let own = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(own.params(), Some(r#"{"progressToken":"p","progress":1}"#));
    let other = within(events.recv()).await.unwrap();
    assert!(other.params().unwrap().contains("4711"));
    let response = format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{{}}}}"#);
    answer.send(event(&response)).unwrap();
    let response = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(response.id(), Some("\"c\""));
    standing.send(progress(&wire)).unwrap();
    let late = within(events.recv()).await.unwrap();
    assert!(late.params().unwrap().contains(&wire), "its call is over");
}

#[tokio::test]
async fn a_question_comes_to_the_only_clients_call_before_its_answer_begins() {
    let (mut server, peer, mut opened) = calling_server().await;
    peer.serve_one_client();
    let mut events = peer.events();
    let standing = within(opened.recv()).await.unwrap();
    let hanging = call("hang");
    let (exchange, _) = tokio::join!(peer.request(&hanging, HeaderMap::new(), soon()), async {
        server.saw("hang").await;
        standing.send(event(QUESTION)).unwrap();
    });
    let mut exchange = exchange.unwrap();
    let question = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(question.method(), Some("roots/list"));
    drop(exchange);
    standing.send(event(QUESTION)).unwrap();
    assert_eq!(method_of_next(&mut events).await.unwrap(), "roots/list");
}

#[tokio::test]
async fn is_open_before_the_first_request_of_its_client() {
    for refuses in [false, true] {
        let mut server = Server::start(move |seen| match seen.verb {
            Method::GET if refuses => reply(405, "text/plain", ""),
            Method::GET => fed_events().0,
            _ => legacy_handshake(seen).unwrap_or_else(|| reply(202, "text/plain", "")),
        })
        .await;
        let peer = server.connect_askable().await.unwrap();
        peer.serve_one_client();
        let _events = peer.events();
        let message = call("tools/call");
        let calling = peer.request(&message, HeaderMap::new(), soon());
        let calling = async { drop(within(calling).await) };
        let seeing = async {
            server.saw_verb(Method::GET).await;
            server.saw("tools/call").await;
        };
        tokio::join!(calling, seeing);
    }
}
