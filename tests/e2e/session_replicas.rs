//! Legacy sessions over several replicas: any of them takes any message of any session.

use anyhow::{Context as _, Result};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::fleet::{Fleet, Visitor, open_to_all};
use gateway_tests::servers::remote;
use gateway_tests::wait;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Three replicas before a server that can ask.
async fn before_conformance() -> Result<(ConformanceServer, Fleet)> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let document = open_to_all(&[("server", remote(&server.url()))]);
    let fleet = Fleet::start(BINARY, &[document], 3).await?;
    fleet.wait_for_tool("test_sampling").await?;
    Ok((server, fleet))
}

async fn before_fixture(options: Options, replicas: usize) -> Result<(HttpFixture, Fleet)> {
    let server = HttpFixture::start(options).await?;
    let document = open_to_all(&[("server", remote(&server.url()))]);
    let fleet = Fleet::start(BINARY, &[document], replicas).await?;
    fleet.wait_for_tool("echo").await?;
    Ok((server, fleet))
}

/// A legacy server that keeps nothing, or gives out sessions.
fn legacy(sessions: bool) -> Options {
    Options {
        era: Eras::Legacy,
        sessions,
        ..Options::default()
    }
}

fn with_progress(tool: &str) -> Value {
    json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": "p" } })
}

#[tokio::test]
async fn what_a_server_asks_at_one_replica_is_answered_at_another() -> Result<()> {
    let (_server, fleet) = before_conformance().await?;
    let capabilities = json!({ "sampling": {}, "elicitation": {} });
    let visitor = Visitor::open(&fleet, 0, capabilities).await?;
    for (called_at, answered_at) in [(1, 2), (0, 1), (2, 0)] {
        let params = json!({ "name": "test_sampling", "arguments": { "prompt": "p" } });
        let mut stream = visitor.call(&fleet, called_at, 1, params).await?;
        let question = stream.next_of("sampling/createMessage").await?.message;
        let content = json!({ "type": "text", "text": "said elsewhere" });
        let result = json!({ "role": "assistant", "model": "m", "content": content });
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
        visitor.say(&fleet, answered_at, &answer).await?;
        let answer = stream.next().await?.context("no answer")?.message;
        assert_eq!(answer["id"], 1);
        assert!(
            answer["result"].to_string().contains("said elsewhere"),
            "{answer}"
        );
    }
    let params = json!({ "name": "test_elicitation", "arguments": { "message": "m" } });
    let mut stream = visitor.call(&fleet, 1, 2, params).await?;
    let question = stream.next_of("elicitation/create").await?.message;
    let result = json!({ "action": "decline" });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
    visitor.say(&fleet, 2, &answer).await?;
    let answer = stream.next().await?.context("no answer")?.message;
    assert!(answer["result"].to_string().contains("decline"), "{answer}");
    fleet.stop().await
}

#[tokio::test]
async fn what_was_asked_before_a_drain_is_answered_during_it() -> Result<()> {
    let (_server, mut fleet) = before_conformance().await?;
    let visitor = Visitor::open(&fleet, 0, json!({ "sampling": {} })).await?;
    let params = json!({ "name": "test_sampling", "arguments": { "prompt": "p" } });
    // At home itself, and by way of one that stays, which is all that is waited for at the end.
    let mut streams = Vec::new();
    for (at, id) in [(0, 1), (1, 2)] {
        let mut stream = visitor.call(&fleet, at, id, params.clone()).await?;
        let question = stream.next_of("sampling/createMessage").await?.message;
        streams.push((stream, question));
    }
    let leaving = fleet.replica(0)?;
    leaving.plane.process.terminate()?;
    let mcp = leaving.plane.mcp();
    wait::until("no client to be taken on", || async {
        TcpStream::connect(mcp).await.is_err()
    })
    .await?;
    // Whoever calls now is at home elsewhere, and is asked there.
    let mut stream = visitor.call(&fleet, 2, 3, params).await?;
    let question = stream.next_of("sampling/createMessage").await?.message;
    streams.insert(0, (stream, question));
    for (mut stream, question) in streams {
        let content = json!({ "type": "text", "text": "said in time" });
        let result = json!({ "role": "assistant", "model": "m", "content": content });
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
        visitor.say(&fleet, 2, &answer).await?;
        let answer = stream.next().await?.context("no answer")?.message;
        let said = answer["result"].to_string();
        assert!(said.contains("said in time"), "{answer}");
    }
    fleet.ended(0).await?;
    fleet.stop().await
}

#[tokio::test]
async fn a_log_level_that_is_set_at_one_replica_holds_at_all() -> Result<()> {
    let (_server, mut fleet) = before_conformance().await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let logged = async |fleet: &Fleet, at: usize| {
        let params = json!({ "name": "test_logging_tool", "arguments": {} });
        let mut stream = visitor.call(fleet, at, 1, params).await?;
        let mut logs = 0;
        while let Some(event) = stream.next().await? {
            logs += usize::from(event.message["method"] == "notifications/message");
        }
        anyhow::Ok(logs)
    };
    let set = async |fleet: &Fleet, level: &str| {
        let params = json!({ "level": level });
        let set = visitor
            .request(fleet, 1, 2, "logging/setLevel", params)
            .await?;
        set.result()
    };
    set(&fleet, "error").await?;
    for at in 0..3 {
        assert_eq!(logged(&fleet, at).await?, 0, "{at}");
    }
    set(&fleet, "debug").await?;
    for at in 0..3 {
        assert_eq!(logged(&fleet, at).await?, 1, "{at}");
    }
    set(&fleet, "error").await?;
    // Whoever is home after that knows it, too.
    fleet.kill(0).await?;
    for at in 1..3 {
        assert_eq!(logged(&fleet, at).await?, 0, "{at}");
    }
    fleet.stop().await
}

#[tokio::test]
async fn updates_of_resources_arrive_wherever_they_were_subscribed_to() -> Result<()> {
    const WATCHED: &str = "test://watched-resource";
    let (server, fleet) = before_conformance().await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let mut standing = visitor.listen(&fleet, 2, None).await?;
    let uri = json!({ "uri": WATCHED });
    let subscribed = visitor
        .request(&fleet, 1, 1, "resources/subscribe", uri.clone())
        .await?;
    subscribed.result()?;
    let trigger =
        json!({ "name": "test_trigger_resource_update", "arguments": { "uri": WATCHED } });
    wait::until("the subscription", || async { server.watched() > 0 }).await?;
    visitor
        .request(&fleet, 2, 2, "tools/call", trigger)
        .await?
        .result()?;
    let told = standing.next_of("notifications/resources/updated").await?;
    assert_eq!(told.message["params"]["uri"], WATCHED);
    let ended = visitor
        .request(&fleet, 0, 3, "resources/unsubscribe", uri)
        .await?;
    ended.result()?;
    wait::until("its end", || async { server.watched() == 0 }).await?;
    fleet.stop().await
}

#[tokio::test]
async fn a_call_is_cancelled_from_another_replica_and_reports_until_then() -> Result<()> {
    let (_server, fleet) = before_conformance().await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let cancelled = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 },
    });
    let params = with_progress("test_cancellation");
    let mut stream = visitor.call(&fleet, 1, 1, params).await?;
    stream.next_of("notifications/progress").await?;
    visitor.say(&fleet, 2, &cancelled).await?;
    wait::until("the server to be told", || async {
        let params = json!({ "uri": "test://cancellations" });
        let read = visitor
            .request(&fleet, 1, 2, "resources/read", params)
            .await;
        let read = read.and_then(|answer| answer.result());
        read.is_ok_and(|result| result["contents"][0]["text"] == "1")
    })
    .await?;
    fleet.stop().await
}

#[tokio::test]
async fn a_call_that_is_under_way_away_from_home_is_cancelled_from_anywhere() -> Result<()> {
    let (server, fleet) = before_fixture(legacy(false), 3).await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let params = json!({ "name": "wait", "arguments": {} });
    let cancelled = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 },
    });
    let calling = visitor.request(&fleet, 1, 1, "tools/call", params);
    let cancelling = async {
        wait::until("the call", || async { server.waiting() == 1 }).await?;
        visitor.say(&fleet, 2, &cancelled).await?;
        wait::until("its end", || async { server.waiting() == 0 }).await
    };
    let (_, cancelled) = tokio::join!(calling, cancelling);
    cancelled?;
    fleet.stop().await
}

#[tokio::test]
async fn a_client_comes_back_to_a_stream_at_any_replica() -> Result<()> {
    // Answered at home, and answered where the client was.
    for sessions in [true, false] {
        let options = Options {
            answer: AnswerForm::Sse,
            ..legacy(sessions)
        };
        let (server, fleet) = before_fixture(options, 3).await?;
        let visitor = Visitor::open(&fleet, 0, json!({})).await?;
        let mut stream = visitor.call(&fleet, 1, 1, with_progress("wait")).await?;
        let first = stream.next_of("notifications/progress").await?;
        drop(stream);
        let last = first.id.context("an event without an id")?;
        let mut resumed = visitor.listen(&fleet, 2, Some(&last)).await?;
        assert_eq!(resumed.status, StatusCode::OK);
        server.open_gate();
        let answer = loop {
            let event = resumed.next().await?.context("the stream ended")?;
            if event.message["id"] == 1 {
                break event.message;
            }
        };
        assert!(answer.get("result").is_some(), "{answer}");
        fleet.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_needs_nothing_of_its_home_is_answered_where_the_client_is() -> Result<()> {
    let (_server, fleet) = before_fixture(legacy(false), 2).await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let calls = r#""tool":"echo""#;
    visitor.text(&fleet, 1, "echo").await?;
    wait::until("the event", || async { fleet.events(calls) == [0, 1] }).await?;
    // One that can be asked is at home, with its audit events.
    let asked = Visitor::open(&fleet, 0, json!({ "roots": {} })).await?;
    asked.text(&fleet, 1, "echo").await?;
    wait::until("the event", || async { fleet.events(calls) == [1, 1] }).await?;
    fleet.stop().await
}

#[tokio::test]
async fn a_session_that_is_ended_at_one_replica_is_ended_at_all() -> Result<()> {
    let (server, mut fleet) = before_fixture(legacy(true), 3).await?;
    let own = server.sessions().await;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let other = Visitor::open(&fleet, 1, json!({})).await?;
    visitor.text(&fleet, 2, "echo").await?;
    assert_eq!(server.sessions().await, own + 1);
    assert!(visitor.delete(&fleet, 1).await?.is_success());
    for at in 0..3 {
        assert_eq!(
            visitor.status(&fleet, at).await?,
            StatusCode::NOT_FOUND,
            "{at}"
        );
        assert_eq!(other.status(&fleet, at).await?, StatusCode::OK, "{at}");
    }
    wait::until("the server's session to end", || async {
        server.sessions().await == own
    })
    .await?;
    // One that was not there then has been told.
    let late = fleet.add(&[]).await?;
    assert_eq!(visitor.status(&fleet, late).await?, StatusCode::NOT_FOUND);
    assert_eq!(other.status(&fleet, late).await?, StatusCode::OK);
    fleet.stop().await
}

#[tokio::test]
async fn a_session_goes_on_when_its_home_dies() -> Result<()> {
    let (server, mut fleet) = before_fixture(legacy(true), 3).await?;
    let own = server.sessions().await;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    visitor.text(&fleet, 1, "echo").await?;
    assert_eq!(server.sessions().await, own + 1);
    fleet.kill(0).await?;
    let left = server.sessions().await;
    for at in [1, 2, 1, 2] {
        assert_eq!(visitor.text(&fleet, at, "echo").await?, "{}", "{at}");
    }
    // At one new home, whichever that is.
    assert_eq!(server.sessions().await, left + 1);
    // It is at home where it was opened once that is back, which knows nothing any more.
    fleet.start_again(0).await?;
    for at in 0..3 {
        assert_eq!(visitor.text(&fleet, at, "echo").await?, "{}", "{at}");
    }
    fleet.stop().await
}

#[tokio::test]
async fn a_control_plane_that_is_restarted_moves_no_session() -> Result<()> {
    let (server, fleet) = before_fixture(legacy(true), 3).await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    visitor.text(&fleet, 1, "echo").await?;
    let opened = server.sessions().await;
    // They come back one after the other, and each is told of those who are back.
    let fleet = fleet.restart_control().await?;
    for at in 0..3 {
        visitor.text(&fleet, at, "echo").await?;
    }
    assert_eq!(server.sessions().await, opened);
    fleet.stop().await
}

#[tokio::test]
async fn a_call_that_dies_with_its_home_is_answered_with_an_error() -> Result<()> {
    let options = Options {
        answer: AnswerForm::Sse,
        ..legacy(true)
    };
    let (server, mut fleet) = before_fixture(options, 2).await?;
    let visitor = Visitor::open(&fleet, 0, json!({})).await?;
    let mut stream = visitor.call(&fleet, 1, 1, with_progress("wait")).await?;
    stream.next_of("notifications/progress").await?;
    fleet.kill(0).await?;
    let last = stream
        .next()
        .await?
        .context("the stream just ended")?
        .message;
    assert_eq!(last["id"], 1, "{last}");
    let message = last["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("stopped answering"), "{last}");
    server.open_gate();
    fleet.stop().await
}
