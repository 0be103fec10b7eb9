//! What a real child says, and to whom it comes.

use http::HeaderMap;

use crate::author;
use crate::client::Peer;
use crate::client::testing::child::{ask, command, spawn};
use crate::client::testing::{askable_hello, call, message, soon, within};

#[tokio::test]
async fn brings_progress_to_its_request_and_other_notifications_to_the_events() {
    let peer = spawn(command(&[])).await;
    let mut events = peer.events();
    let request = message(
        r#"{"jsonrpc":"2.0","id":1,"method":"progress","params":{"_meta":{"progressToken":"t"}}}"#,
    );
    let answers = ask(&peer, &request).await.unwrap();
    assert_eq!(answers.len(), 4);
    for (step, answer) in answers.iter().take(3).enumerate() {
        let params = format!(r#"{{"progressToken": "t", "progress": {step}}}"#);
        assert_eq!(message(answer.clone()).params(), Some(params.as_str()));
    }
    let notification = within(events.recv()).await.unwrap();
    assert_eq!(
        notification.method(),
        Some("notifications/tools/list_changed")
    );
}

#[tokio::test]
async fn brings_a_commands_questions_to_the_events_and_the_answers_back() {
    let command = command(&["curious"]);
    let peer = Peer::spawn(command, askable_hello(), None, soon())
        .await
        .unwrap();
    // What comes before anybody listens is not lost.
    ask(&peer, &call("m")).await.unwrap();
    let mut events = peer.events();
    let early = within(events.recv()).await.unwrap();
    assert_eq!(
        (early.id(), early.method()),
        (Some("\"early\""), Some("roots/list"))
    );

    let mut exchange = peer
        .request(&call("ask"), HeaderMap::new(), soon())
        .await
        .unwrap();
    let question = within(events.recv()).await.unwrap();
    assert_eq!(question.method(), Some("roots/list"));
    let id = question.id().unwrap().to_owned();
    let taken_back = within(events.recv()).await.unwrap();
    let params = format!(r#"{{"requestId": {id}}}"#);
    assert_eq!(taken_back.params(), Some(params.as_str()));
    let log = within(events.recv()).await.unwrap();
    assert_eq!(log.method(), Some("notifications/message"));

    let answer = author::result(&id, r#"{"roots":[]}"#);
    peer.respond(&answer, soon()).await.unwrap();
    let response = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(response.id(), Some("\"c-1\""));
    assert!(
        response.result().unwrap().contains(r#""roots": []"#),
        "{response:?}"
    );
    within(peer.close()).await;
    assert!(within(events.recv()).await.is_none());
}

#[tokio::test]
async fn brings_what_names_no_request_to_the_call_of_the_only_client() {
    let hello = askable_hello();
    let peer = Peer::spawn(command(&[]), hello, None, soon())
        .await
        .unwrap();
    peer.serve_one_client();
    let mut events = peer.events();
    let mut exchange = peer
        .request(&call("ask"), HeaderMap::new(), soon())
        .await
        .unwrap();
    let question = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(question.method(), Some("roots/list"));
    for method in ["notifications/cancelled", "notifications/message"] {
        let notification = within(exchange.next()).await.unwrap().unwrap();
        assert_eq!(notification.method(), Some(method));
    }
    let answer = author::result(question.id().unwrap(), r#"{"roots":[]}"#);
    peer.respond(&answer, soon()).await.unwrap();
    let response = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(response.id(), Some("\"c-1\""));
    within(peer.close()).await;
    assert!(within(events.recv()).await.is_none(), "nothing came twice");
}

#[tokio::test]
async fn refuses_questions_that_nobody_takes() {
    let peer = Peer::spawn(command(&[]), askable_hello(), None, soon())
        .await
        .unwrap();
    let flood = message(r#"{"jsonrpc":"2.0","id":1,"method":"flood","params":{"refusals":44}}"#);
    let answers = ask(&peer, &flood).await.unwrap();
    assert_eq!(answers[0].matches("takes no requests now").count(), 44);
    drop(peer.events());
    let flood = message(r#"{"jsonrpc":"2.0","id":1,"method":"flood","params":{"refusals":1}}"#);
    assert!(ask(&peer, &flood).await.unwrap()[0].contains("takes no requests now"));
}

#[tokio::test]
async fn reads_the_messages_of_a_batch() {
    let peer = spawn(command(&[])).await;
    let mut events = peer.events();
    assert_eq!(ask(&peer, &call("batch")).await.unwrap().len(), 1);
    let log = within(events.recv()).await.unwrap();
    assert_eq!(log.method(), Some("notifications/message"));
}

#[tokio::test]
async fn a_cancelled_request_is_read_on_and_cancelled_once() {
    let peer = spawn(command(&[])).await;
    let mut exchange = peer
        .request(&call("m"), HeaderMap::new(), soon())
        .await
        .unwrap();
    exchange.cancel(Some("enough"));
    assert!(within(exchange.next()).await.unwrap().is_ok());
    let mut exchange = peer
        .request(&call("hang"), HeaderMap::new(), soon())
        .await
        .unwrap();
    exchange.cancel(None);
    drop(exchange);
    let answers = ask(&peer, &call("cancelled")).await.unwrap();
    assert!(answers[0].contains(r#""cancelled": [3, 4]"#), "{answers:?}");
}

#[tokio::test]
async fn answers_a_legacy_commands_ping_and_refuses_its_other_requests() {
    let peer = spawn(command(&[])).await;
    let answers = ask(&peer, &call("callback")).await.unwrap();
    assert!(
        answers[0].contains(r#""id": "p", "result": {}"#),
        "{answers:?}"
    );
    assert!(
        answers[0].contains(r#""id": "s", "error": {"code": -32601"#),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_subscription_gets_what_names_it_until_its_end() {
    let peer = spawn(command(&["modern"])).await;
    let mut exchange = peer
        .listen(r#"{"toolsListChanged":true}"#, soon())
        .await
        .unwrap();
    let mut events = peer.events();
    for method in [
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
    ] {
        let notification = within(exchange.next()).await.unwrap().unwrap();
        assert_eq!(notification.method(), Some(method));
        let params = notification.params().unwrap();
        assert!(params.contains(r#"subscriptionId": 0}"#), "{params}");
    }
    ask(&peer, &call("unsubscribe")).await.unwrap();
    let cancelled = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(cancelled.params(), Some(r#"{"requestId": 0}"#));
    let end = within(exchange.next()).await.unwrap().unwrap();
    assert_eq!(end.id(), Some("0"));
    assert!(within(exchange.next()).await.is_none());
    let other = within(events.recv()).await.unwrap();
    assert_eq!(other.method(), Some("notifications/message"));
}
