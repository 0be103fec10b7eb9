//! A scripted server of the HTTP+SSE transport.

use http::{Method, Response};
use proptest::prelude::*;

use super::*;
use crate::author;
use crate::client::testing::{
    Body, Feed, Seen, Server, all, call, event, fed_events, message, reply, soon, until, within,
};
use crate::client::{ClientError, Peer};
use crate::version::Version;

const INITIALIZED: &str =
    r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"o"}}"#;

/// The stream of a server of which there is one at a time.
type Stream = watch::Sender<Option<Feed>>;

/// What the server does with a message posted where it told to, beyond the handshake.
fn converse(seen: &Seen, feed: &Feed) -> Response<Body> {
    let say = |text: &str| feed.send(event(text)).unwrap();
    let id = || seen.id();
    match seen.method().as_str() {
        "initialize" => say(&format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{INITIALIZED}}}"#,
            id()
        )),
        "refused" => return reply(400, "text/plain", "not this"),
        "forgotten" => return reply(404, "text/plain", "no such session"),
        "ask" => {
            say(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
            say(r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
            say(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
        }
        "work" => {
            let params = format!(r#"{{"progressToken":{},"progress":1}}"#, id());
            say(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#
            ));
            say(&format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#,
                id()
            ));
        }
        _ => {}
    }
    reply(202, "text/plain", "Accepted")
}

/// A server that refuses other posts with `status`, and whose stream begins with `greeting`.
async fn server(status: u16, greeting: &'static str) -> (Server, Arc<Stream>) {
    let stream = Arc::new(watch::channel(None).0);
    let kept = stream.clone();
    let server = Server::start(move |seen| match (&seen.verb, seen.target.as_str()) {
        (&Method::GET, "/mcp") => {
            let (response, feed) = fed_events();
            feed.send(greeting.to_owned()).unwrap();
            kept.send_replace(Some(feed));
            response
        }
        (&Method::POST, "/messages?session=1") => {
            let feed = kept.borrow().clone().unwrap();
            converse(seen, &feed)
        }
        _ => reply(status, "text/html", "<h1>no</h1>"),
    })
    .await;
    (server, stream)
}

const GREETING: &str = "event: endpoint\ndata: /messages?session=1\n\n";

async fn connected() -> (Server, Arc<Stream>, Peer) {
    let (mut server, stream) = server(405, GREETING).await;
    let peer = server.connect_askable().await.unwrap();
    server.saw("notifications/initialized").await;
    (server, stream, peer)
}

async fn open(peer: &Peer, method: &str) -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert("x-of", "the request".parse().unwrap());
    peer.request(&call(method), headers, soon()).await.unwrap()
}

#[tokio::test]
async fn is_the_last_resort_with_a_server_that_takes_no_posts() {
    for status in [400, 404, 405] {
        for era in [None, Some(Era::Legacy)] {
            let (mut server, _stream) = server(status, GREETING).await;
            let peer = server.connect(era).await.unwrap();
            let hello = peer.hello();
            assert_eq!(
                (hello.era, hello.version),
                (Era::Legacy, Version::V2024_11_05)
            );
            assert_eq!(hello.session_id.as_deref(), Some("/messages?session=1"));
            assert_eq!(peer.name(), server.url);
            let seen = server.saw_verb(Method::GET).await;
            assert_eq!(seen.header("accept"), Some("text/event-stream"));
            let seen = server.saw("notifications/initialized").await;
            assert_eq!(seen.target, "/messages?session=1");
            assert_eq!(seen.header("x-static"), Some("of the endpoint"));
        }
    }
    let (server, _stream) = server(405, GREETING).await;
    let error = server.connect(Some(Era::Modern)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotModern { .. }), "{error}");
}

#[tokio::test]
async fn brings_responses_and_progress_to_their_requests() {
    let (mut server, _stream, peer) = connected().await;
    let request = message(
        r#"{"jsonrpc":"2.0","id":"c","method":"work","params":{"_meta":{"progressToken":"t"}}}"#,
    );
    let exchange = peer
        .request(&request, HeaderMap::new(), soon())
        .await
        .unwrap();
    let texts = all(exchange).await.unwrap();
    assert_eq!(
        texts,
        [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#,
            r#"{"jsonrpc":"2.0","id":"c","result":{}}"#
        ]
    );
    drop(open(&peer, "hang").await);
    let seen = server.saw("hang").await;
    assert_eq!(seen.header("x-of"), Some("the request"));
    let cancelled = server.saw("notifications/cancelled").await;
    let params = cancelled.message().params().unwrap().to_owned();
    assert!(
        params.contains(&format!(r#""requestId":{}"#, seen.id())),
        "{params}"
    );
    assert_eq!(cancelled.header("x-of"), Some("the request"));
}

#[tokio::test]
async fn brings_questions_to_the_events_and_their_answers_back() {
    let (mut server, _stream, peer) = connected().await;
    let mut events = peer.events();
    let _exchange = open(&peer, "ask").await;
    let question = within(events.recv()).await.unwrap();
    assert_eq!(
        (question.id(), question.method()),
        (Some("\"q\""), Some("roots/list"))
    );
    let log = within(events.recv()).await.unwrap();
    assert_eq!(log.method(), Some("notifications/message"));
    let pong = server.saw("").await;
    assert_eq!(pong.id(), "\"p\"");
    peer.respond(&author::result("\"q\"", "{}"), soon())
        .await
        .unwrap();
    let answer = server.saw("").await;
    assert_eq!(
        (answer.id().as_str(), answer.target.as_str()),
        ("\"q\"", "/messages?session=1")
    );
}

#[tokio::test]
async fn a_post_that_is_refused_ends_its_request() {
    let (_server, _stream, peer) = connected().await;
    let ask = async |method: &str| {
        let outcome = peer.request(&call(method), HeaderMap::new(), soon()).await;
        outcome.unwrap_err()
    };
    let refused = ask("refused").await;
    assert!(refused.to_string().contains("not this"), "{refused}");
    assert!(!refused.is_before_send());
    assert!(ask("forgotten").await.is_session_lost());
}

#[tokio::test]
async fn the_session_is_lost_with_the_stream() {
    let (_server, stream, peer) = connected().await;
    let mut events = peer.events();
    let exchange = open(&peer, "hang").await;
    stream.send_replace(None);
    let error = all(exchange).await.unwrap_err();
    assert!(matches!(error, ClientError::StreamLost { .. }), "{error}");
    within(peer.session_lost()).await;
    assert!(within(events.recv()).await.is_none());
    let late = peer
        .request(&call("late"), HeaderMap::new(), soon())
        .await
        .unwrap_err();
    assert!(late.is_session_lost() && late.is_before_send(), "{late}");
    let note = author::notification("notifications/x", None);
    assert!(
        peer.notify(&note, soon())
            .await
            .unwrap_err()
            .is_session_lost()
    );
}

#[tokio::test]
async fn closing_or_dropping_the_peer_closes_the_stream() {
    for drops in [false, true] {
        let (_server, stream, peer) = connected().await;
        if drops {
            drop(peer);
        } else {
            within(peer.close()).await;
        }
        let feed = stream.send_replace(None).unwrap();
        // The server notices when it writes.
        until(|| feed.send(":\n\n".into()).is_err()).await;
    }
}

#[tokio::test]
async fn says_what_is_wrong_with_a_stream_that_does_not_begin_properly() {
    for (greeting, problem) in [
        (
            "event: message\ndata: {}\n\n",
            "does not begin with an endpoint",
        ),
        (
            "event: endpoint\ndata: http://elsewhere/m\n\n",
            "no address of its own",
        ),
        ("event: endpoint\ndata:\n\n", "no address of its own"),
    ] {
        let (server, _stream) = server(405, greeting).await;
        let error = server.connect(None).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    // One without a stream is not taken for one that has something wrong with it.
    let server = Server::start(|_| reply(404, "text/plain", "nothing here")).await;
    let error = server.connect(None).await.unwrap_err().to_string();
    assert!(error.contains("nothing here"), "{error}");
}

#[test]
fn resolves_references_to_the_same_origin_only() {
    let base: Uri = "https://Host/a/sse?key=1".parse().unwrap();
    for (reference, url) in [
        ("/m?s=1", "https://Host/m?s=1"),
        ("m", "https://Host/a/m"),
        ("?s=2", "https://Host/a/sse?s=2"),
        (" https://host:443/m ", "https://host:443/m"),
        ("//host/m", "https://host/m"),
        ("/m?next=http://other/", "https://Host/m?next=http://other/"),
    ] {
        assert_eq!(
            resolve(&base, reference).unwrap().to_string(),
            url,
            "{reference}"
        );
    }
    for reference in [
        "",
        "http://host/m",
        "https://host:8443/m",
        "https://other/m",
        "//other/m",
        "https://host@other/m",
        "https://me:secret@host/m",
        "/a b",
        "file:///etc/passwd",
    ] {
        assert_eq!(resolve(&base, reference), None, "{reference}");
    }
}

proptest! {
    #[test]
    fn never_leaves_the_origin(reference in "[a-z:/@.?#%\\\\0-9 -]{0,30}|.{0,20}") {
        let base: Uri = "http://host:8080/a/sse".parse().unwrap();
        if let Some(url) = resolve(&base, &reference) {
            prop_assert_eq!(url.scheme_str(), Some("http"));
            let authority = url.authority().unwrap();
            prop_assert!(authority.as_str().eq_ignore_ascii_case("host:8080"), "{}", url);
        }
    }
}
