//! Requests over real sockets to a scripted server.

use std::error::Error;
use std::time::Duration;

use http::Response;

use super::*;
use crate::client::testing::{
    Body, DISCOVERED, Seen, Server, all, call, error, events, hello, json, legacy_handshake,
    lingering_events, message, open_events, reply, result, silence, soon, within,
};
use crate::client::{Connector, NetworkPolicy, Peer};

/// A modern server that answers calls with `answer`.
async fn modern(
    answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
) -> (Server, Peer) {
    let server = Server::start(move |seen| match seen.method().as_str() {
        "server/discover" => result(seen, DISCOVERED),
        _ => answer(seen),
    })
    .await;
    let peer = server.connect(None).await.unwrap();
    (server, peer)
}

/// A legacy server that answers calls with `answer`.
async fn legacy(
    answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
) -> (Server, Peer) {
    let server = Server::start(move |seen| legacy_handshake(seen).unwrap_or_else(|| answer(seen)));
    let server = server.await;
    let peer = server.connect(None).await.unwrap();
    (server, peer)
}

async fn ask(peer: &Peer, message: &Message) -> Result<Vec<String>, ClientError> {
    all(peer.request(message, HeaderMap::new(), soon()).await?).await
}

fn progress(token: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token}}}}}"#
    )
}

#[tokio::test]
async fn restores_the_callers_id_in_json_and_in_events() {
    let (_server, peer) = modern(|seen| match seen.method().as_str() {
        "json" => result(seen, r#"{ "x" : 1e2 }"#),
        _ => events(&[
            progress(&seen.id()),
            progress("99"),
            format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, seen.id()),
        ]),
    })
    .await;
    let answers = ask(&peer, &call("json")).await.unwrap();
    assert_eq!(
        answers,
        [r#"{"jsonrpc":"2.0","id":"c-1","result":{ "x" : 1e2 }}"#]
    );
    let request = message(
        r#"{"jsonrpc":"2.0","id":1.50,"method":"m","params":{"_meta":{"progressToken":"p"}}}"#,
    );
    let answers = ask(&peer, &request).await.unwrap();
    assert_eq!(
        answers,
        [
            progress("\"p\""),
            progress("99"),
            r#"{"jsonrpc":"2.0","id":1.50,"result":{}}"#.to_owned()
        ]
    );
}

#[tokio::test]
async fn gives_every_request_an_id_of_its_own_and_the_headers_of_its_era() {
    let (mut server, peer) = modern(|seen| result(seen, "{}")).await;
    let request = message(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"größe","arguments":{}}}"#,
    );
    let mut headers = HeaderMap::new();
    headers.insert("mcp-param-region", "eu".parse().unwrap());
    headers.insert("x-static", "of the request".parse().unwrap());
    let first = peer.request(&request, headers, soon()).await.unwrap();
    assert_eq!(first.status().unwrap().as_u16(), 200);
    let first = server.saw("tools/call").await;
    ask(&peer, &request).await.unwrap();
    let second = server.saw("tools/call").await;
    assert_ne!(first.id(), second.id());
    assert_eq!(first.header("mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
    assert_eq!(first.header("mcp-method"), Some("tools/call"));
    assert_eq!(first.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(first.header("mcp-param-region"), Some("eu"));
    assert_eq!(first.header("x-static"), Some("of the request"));
    assert_eq!(second.header("x-static"), Some("of the endpoint"));
    assert_eq!(second.header("mcp-session-id"), None);

    let (mut server, peer) = legacy(|seen| result(seen, "{}")).await;
    ask(&peer, &request).await.unwrap();
    let seen = server.saw("tools/call").await;
    assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(seen.header("mcp-name"), None);
}

#[tokio::test]
async fn an_error_status_with_a_response_in_it_is_a_response() {
    let (_server, peer) = modern(|seen| match seen.method().as_str() {
        "unknown" => error(404, &seen.id(), -32601, "Method not found"),
        "anonymous" => error(400, "null", -32602, "what?"),
        _ => error(403, &seen.id(), -32603, "not you"),
    })
    .await;
    let exchange = peer
        .request(&call("unknown"), HeaderMap::new(), soon())
        .await
        .unwrap();
    assert_eq!(exchange.status().unwrap().as_u16(), 404);
    assert!(all(exchange).await.unwrap()[0].contains(r#""id":"c-1","error":{"code":-32601"#));
    let answers = ask(&peer, &call("anonymous")).await.unwrap();
    assert!(answers[0].contains(r#""id":"c-1""#), "{answers:?}");
    let refused = ask(&peer, &call("forbidden")).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Status { status, .. } if status.as_u16() == 403));
    assert!(refused.to_string().contains("not you"), "{refused}");
}

#[tokio::test]
async fn tells_a_lost_session_from_other_refusals() {
    let (_server, peer) = legacy(|seen| match seen.method().as_str() {
        "gone" => reply(404, "text/plain", "Session not found"),
        "restarted" => error(
            400,
            "null",
            -32000,
            "Bad Request: No valid session ID provided",
        ),
        "cold" => error(400, "null", -32000, "Bad Request: Server not initialized"),
        "wrong" => error(400, &seen.id(), -32602, "Invalid arguments"),
        _ => reply(400, "text/plain", "no"),
    })
    .await;
    for method in ["gone", "restarted", "cold"] {
        let error = ask(&peer, &call(method)).await.unwrap_err();
        assert!(
            error.is_session_lost() && error.is_before_send(),
            "{method}: {error}"
        );
    }
    assert!(ask(&peer, &call("wrong")).await.is_ok());
    let error = ask(&peer, &call("other")).await.unwrap_err();
    assert!(
        !error.is_session_lost() && !error.is_before_send(),
        "{error}"
    );

    // Without a session there is none to lose.
    let (_server, peer) = modern(|_| reply(404, "text/plain", "")).await;
    assert!(
        !ask(&peer, &call("gone"))
            .await
            .unwrap_err()
            .is_session_lost()
    );
}

#[tokio::test]
async fn answers_a_legacy_servers_ping_and_refuses_its_other_requests() {
    let (mut server, peer) = legacy(|seen| {
        events(&[
            r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}"#.to_owned(),
            format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, seen.id()),
        ])
    })
    .await;
    assert_eq!(ask(&peer, &call("m")).await.unwrap().len(), 1);
    server.saw("m").await;
    let pong = server.saw("").await;
    assert_eq!(
        (pong.id().as_str(), pong.message().result()),
        ("\"p\"", Some("{}"))
    );
    assert_eq!(pong.header("mcp-session-id"), Some("s-1"));
    let refusal = server.saw("").await;
    assert_eq!(refusal.message().rpc_error().unwrap().code, -32601);
}

#[tokio::test]
async fn dropping_an_exchange_cancels_in_a_legacy_session_and_once_only() {
    let (mut server, peer) = legacy(|seen| match seen.method().as_str() {
        "quick" => result(seen, "{}"),
        _ => open_events(&[progress("1")]).0,
    })
    .await;
    ask(&peer, &call("quick")).await.unwrap();
    let mut exchange = peer
        .request(&call("slow"), HeaderMap::new(), soon())
        .await
        .unwrap();
    within(exchange.next()).await.unwrap().unwrap();
    drop(exchange);
    let slow = server.saw("slow").await;
    let cancelled = server.saw("notifications/cancelled").await;
    assert!(
        cancelled
            .body
            .contains(&format!(r#""requestId":{}"#, slow.id())),
        "{}",
        cancelled.body
    );
    assert_eq!(cancelled.header("mcp-session-id"), Some("s-1"));
}

#[tokio::test]
async fn a_caller_that_goes_away_before_the_answer_begins_cancels_too() {
    let (mut server, peer) = legacy(|seen| match seen.method().as_str() {
        "quick" => result(seen, "{}"),
        _ => silence(),
    })
    .await;
    let deadline = Deadline::after(Duration::from_millis(50));
    let request = call("slow");
    let error = peer
        .request(&request, HeaderMap::new(), deadline)
        .await
        .unwrap_err();
    assert!(error.is_deadline(), "{error}");
    server.saw("notifications/cancelled").await;
}

#[tokio::test]
async fn dropping_an_exchange_closes_a_modern_servers_stream() {
    let closings = std::sync::Arc::new(tokio::sync::Notify::new());
    let notify = closings.clone();
    let (_server, peer) = modern(move |_| {
        let (response, closed) = open_events(&[progress("1")]);
        let notify = notify.clone();
        tokio::spawn(async move {
            drop(closed.await);
            notify.notify_one();
        });
        response
    })
    .await;
    let mut exchange = peer
        .request(&call("m"), HeaderMap::new(), soon())
        .await
        .unwrap();
    within(exchange.next()).await.unwrap().unwrap();
    drop(exchange);
    within(closings.notified()).await;
}

#[tokio::test]
async fn a_connection_is_used_again_after_json_and_after_events() {
    let (mut server, peer) = modern(|seen| match seen.method().as_str() {
        "json" => result(seen, "{}"),
        _ => {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, seen.id());
            lingering_events(&[progress("1"), answer])
        }
    })
    .await;
    for method in ["json", "events"] {
        let (mut last, mut connection) = (None, None);
        // The connection comes back in its own time.
        while last.is_none() || last != connection {
            ask(&peer, &call(method)).await.unwrap();
            last = connection.replace(server.saw(method).await.connection);
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert!(connection < Some(100), "{method}");
        }
    }
}

#[tokio::test]
async fn an_exchange_ends_at_its_deadline() {
    let (_server, peer) = modern(|_| open_events(&[]).0).await;
    let deadline = Deadline::after(Duration::from_millis(300));
    let mut exchange = peer
        .request(&call("m"), HeaderMap::new(), deadline)
        .await
        .unwrap();
    let error = within(exchange.next()).await.unwrap().unwrap_err();
    assert!(error.is_deadline() && !error.is_before_send(), "{error}");
    assert!(exchange.next().await.is_none());
}

#[tokio::test]
async fn says_what_is_wrong_with_an_answer() {
    let big = format!(r#"{{"text":"{}"}}"#, "x".repeat(70_000));
    let (_server, peer) = modern(move |seen| match seen.method().as_str() {
        "html" => reply(200, "text/html", "<h1>hello</h1>"),
        "accepted" => reply(202, "text/plain", ""),
        "garbage" => json("{"),
        "other" => json(r#"{"jsonrpc":"2.0","id":"other","result":{}}"#),
        "big" => result(seen, &big),
        "big events" => events(&[format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{big}}}"#,
            seen.id()
        )]),
        "cut" => events(&[progress("1")]),
        _ => {
            let mut response = reply(307, "text/plain", "");
            response
                .headers_mut()
                .insert("location", "http://elsewhere/mcp".parse().unwrap());
            response
        }
    })
    .await;
    for (method, text) in [
        ("html", "it is text/html, neither JSON nor an event stream"),
        ("accepted", "status 202 Accepted without a response"),
        ("garbage", "not a message of the protocol"),
        ("other", "it answers another request"),
        ("big", "more than the permitted 65536 bytes"),
        ("big events", "more than the permitted 65536 bytes"),
        ("cut", "closed the connection before it answered"),
        ("moved", "redirects to http://elsewhere/mcp"),
    ] {
        let error = ask(&peer, &call(method)).await.unwrap_err();
        assert!(error.to_string().contains(text), "{method}: {error}");
        assert!(
            error.to_string().contains("http://127.0.0.1:"),
            "{method}: {error}"
        );
        assert!(!error.is_before_send(), "{method}");
    }
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn names_endpoint_and_cause_when_nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let connector = Connector::new(NetworkPolicy::desktop()).unwrap();
    let endpoint = HttpEndpoint::new(&url, &connector, HeaderMap::new(), 1024).unwrap();
    let error = Peer::connect_http(Arc::new(endpoint), hello(), None, soon())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }) && error.is_before_send());
    let text = causes(&error);
    assert!(text.contains(&url) && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn names_the_rule_that_forbids_an_address() {
    let connector = Connector::new(NetworkPolicy::public_only(Vec::new())).unwrap();
    // What can be seen at once is refused at once.
    for url in [
        "http://localhost:1/mcp",
        "http://[::1]:1/mcp",
        "https://10.1.2.3/mcp",
    ] {
        let error = HttpEndpoint::new(url, &connector, HeaderMap::new(), 1024).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains(url) && said.contains("--allow-network"),
            "{said}"
        );
    }
    let url = "http://127.1:1/mcp";
    let endpoint = HttpEndpoint::new(url, &connector, HeaderMap::new(), 1024).unwrap();
    let error = Peer::connect_http(Arc::new(endpoint), hello(), None, soon())
        .await
        .unwrap_err();
    let text = causes(&error);
    assert!(
        text.contains("to 127.1 (127.0.0.1)") && text.contains("loopback addresses"),
        "{text}"
    );
}

#[tokio::test]
async fn ends_a_legacy_session_when_closed_and_when_dropped() {
    for drops in [false, true] {
        let (mut server, peer) = legacy(|seen| result(seen, "{}")).await;
        if drops {
            drop(peer);
        } else {
            within(peer.close()).await;
        }
        let seen = server.saw("").await;
        assert_eq!(seen.verb, http::Method::DELETE);
        assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
        assert_eq!(seen.header("x-static"), Some("of the endpoint"));
    }
}

#[tokio::test]
async fn a_notification_is_refused_with_status_and_text() {
    let (_server, peer) = modern(|_| reply(400, "text/plain", "no such thing")).await;
    let notification = message(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    let error = peer.notify(&notification, soon()).await.unwrap_err();
    assert!(error.to_string().contains("no such thing"), "{error}");
}
