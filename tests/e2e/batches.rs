//! Clients of 2025-03-26, the one version in which several messages may come at once.

use std::path::Path;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use gateway_tests::batches::{Client, answer_to, call, note};
use gateway_tests::conformance::ConformanceServer;
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::servers::{configuration, remote};
use gateway_tests::wait::{self, PATIENCE};
use gateway_tests::{Era, Gateway, Session, Setup};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const INVALID_REQUEST: i64 = -32600;
const CANCELLED: i64 = 1009;
/// How many requests of a batch are under way at the same time, and how many messages it may have.
const AT_ONCE: u64 = 16;
const MOST: usize = 100;

async fn gateway(server: &str, tool: &str) -> Result<Gateway> {
    let config = configuration(&[("server", remote(server))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", tool).await?;
    Ok(gateway)
}

#[tokio::test]
async fn every_message_of_a_batch_is_answered_and_recorded_by_itself() -> Result<()> {
    let options = Options {
        answer: AnswerForm::Sse,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let gateway = gateway(&server.url(), "echo").await?;
    let client = Client::open(&gateway.url("/mcp"), json!({})).await?;
    let mut reporting = call("b", "echo", json!({ "n": 2 }));
    reporting["params"]["_meta"] = json!({ "progressToken": "p" });
    let batch = json!([
        note("notifications/initialized", json!({})),
        call(1, "echo", json!({ "n": 1 })),
        reporting,
        call("1", "nobody", json!({})),
        { "jsonrpc": "2.0", "id": 2, "method": "tools/list" },
        { "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": [] },
        { "jsonrpc": "2.0", "id": 4, "method": "no/such" },
    ]);
    let answer = client.post(&batch).await?;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    for (id, n) in [(json!(1), 1), (json!("b"), 2)] {
        let result = answer_to(&answer, &id)?;
        let arguments = &result["result"]["structuredContent"]["arguments"];
        assert_eq!(arguments["n"], n, "{result}");
    }
    assert!(answer_to(&answer, &json!(2))?["result"]["tools"].is_array());
    for (id, code) in [(json!("1"), -32602), (json!(3), -32602), (json!(4), -32601)] {
        assert_eq!(answer_to(&answer, &id)?["error"]["code"], code, "{id}");
    }
    assert_eq!(answer.raw_messages().len(), 7, "{}", answer.text());
    assert!(answer.text().contains(r#""progressToken":"p""#));

    let exit = gateway.stop().await?;
    for (event, count) in [
        (r#""tool":"echo""#, 2),
        (r#""tool":"nobody""#, 1),
        (r#""event_type":"tool_list""#, 1),
        ("method not found: no/such", 1),
    ] {
        let since = exit.stdout.iter().rev();
        let of_batch = since.take_while(|line| !line.contains("session_start"));
        let found = of_batch.filter(|line| line.contains(event)).count();
        assert_eq!(found, count, "{event} in {:#?}", exit.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn what_needs_no_answer_is_accepted_without_one() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture: _fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = Client::open(&url, json!({})).await?;
    let cancelled = note("notifications/cancelled", json!({ "requestId": 7 }));
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    for batch in [
        json!([cancelled, cancelled]),
        json!([answer]),
        json!([answer, cancelled]),
    ] {
        let accepted = client.post(&batch).await?;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{batch}");
        assert!(accepted.body.is_empty(), "{}", accepted.text());
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn requests_of_a_batch_are_under_way_together_within_a_bound() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = Client::open(&url, json!({})).await?;
    let calls: Vec<_> = (0..MOST).map(|id| call(id, "wait", json!({}))).collect();
    let batch = Value::from(calls);
    let open = async {
        wait::until("as many calls as may be under way", || async {
            fixture.waiting() == AT_ONCE
        })
        .await?;
        // The gate was closed until now, so that none of them has made room for another.
        assert_eq!(fixture.calls(), AT_ONCE);
        fixture.open_gate();
        anyhow::Ok(())
    };
    let (answer, opened) = tokio::join!(client.post(&batch), open);
    opened?;
    let answer = answer?;
    for id in 0..MOST {
        assert!(
            answer_to(&answer, &json!(id))?["result"].is_object(),
            "{id}"
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_official_client_reads_the_answers_to_its_batch() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture: _fixture,
        ..
    } = Setup::start(BINARY).await?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/ts-v1-batch.mjs");
    let running = Command::new("node")
        .arg(script)
        .arg(&url)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).context(said.into_owned())?;
    assert_eq!(report["texts"], json!(["one", "two"]), "{report}");
    assert!(report["tools"].as_u64() > Some(0), "{report}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn large_answers_to_a_batch_all_arrive() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture: _fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = Client::open(&url, json!({})).await?;
    // Each is returned twice: more than is kept of a stream for a client that comes back.
    let text = "x".repeat(256 * 1024);
    let calls = (0..32).map(|id| call(id, "echo", json!({ "text": text })));
    let batch = Value::from(calls.collect::<Vec<_>>());
    let answer = client.post(&batch).await?;
    for id in 0..32 {
        assert!(
            answer_to(&answer, &json!(id))?["result"].is_object(),
            "{id}"
        );
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_sessions_of_2025_03_26_have_batches() -> Result<()> {
    let Setup {
        gateway,
        client,
        url,
        fixture,
    } = Setup::start(BINARY).await?;
    let batch = json!([call(1, "echo", json!({}))]).to_string();
    let other = Session::open(Era::Legacy, &url).await?;
    let other = ("mcp-session-id", other.id().context("no session")?);
    let own = Client::open(&url, json!({})).await?;
    let own = ("mcp-session-id", own.session.as_str());
    let version = |version| ("mcp-protocol-version", version);
    for headers in [
        vec![],
        vec![version("2025-03-26")],
        vec![version("2026-07-28")],
        vec![version("2026-07-28"), own],
        vec![other],
        vec![version("2025-11-25"), other],
    ] {
        let refused = client.post(&url, &headers, batch.clone()).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert_eq!(refused.error_code()?, INVALID_REQUEST, "{headers:?}");
        assert!(refused.text().contains("2025-03-26"), "{}", refused.text());
    }
    let unknown = [("mcp-session-id", "unknown")];
    let refused = client.post(&url, &unknown, batch).await?;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text());
    assert_eq!(fixture.calls(), 0);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_batch_with_something_wrong_in_it_is_refused_whole() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = Client::open(&url, json!({})).await?;
    let good = call(1, "echo", json!({}));
    let many: Vec<_> = (0..=MOST).map(|id| call(id, "echo", json!({}))).collect();
    let initialize = json!({ "jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {} });
    for (batch, reason) in [
        (json!([]), "the batch is empty"),
        (json!([good, 7]), "member 2 of the batch"),
        (
            json!([good, { "jsonrpc": "2.0", "id": 2 }]),
            "member 2 of the batch",
        ),
        (
            json!([[good]]),
            "member 1 of the batch: the message is a batch",
        ),
        (json!([good, good]), "has the id 1, as another"),
        (
            json!([good, initialize]),
            "member 2 of the batch is initialize",
        ),
        (Value::from(many), "101 messages: send no more than 100"),
    ] {
        let refused = client.post(&batch).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{reason}");
        assert_eq!(refused.error_code()?, INVALID_REQUEST, "{reason}");
        assert!(refused.text().contains(reason), "{}", refused.text());
        assert!(refused.message()?.get("id").is_none(), "{}", refused.text());
    }
    assert_eq!(fixture.calls(), 0, "nothing of them was done");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn one_call_of_a_batch_can_be_cancelled() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = Client::open(&url, json!({})).await?;
    let batch = json!([call("1", "wait", json!({})), call(1, "wait", json!({}))]);
    let mut stream = client.stream(&batch).await?;
    wait::until("both calls", || async { fixture.waiting() == 2 }).await?;
    let cancel = json!([note("notifications/cancelled", json!({ "requestId": "1" }))]);
    assert_eq!(client.post(&cancel).await?.status, StatusCode::ACCEPTED);
    let first = stream.next().await?.context("no answer")?.message;
    assert_eq!(
        (&first["id"], &first["error"]["code"]),
        (&json!("1"), &json!(CANCELLED))
    );
    fixture.open_gate();
    let second = stream.next().await?.context("no answer")?.message;
    assert_eq!(second["id"], 1, "{second}");
    assert!(second["result"].is_object(), "{second}");
    assert!(stream.next().await?.is_none(), "the last answer ends it");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_batch_goes_on_without_its_client_who_may_come_back_to_it() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture,
        ..
    } = Setup::start(BINARY).await?;
    let client = Client::open(&url, json!({})).await?;
    let batch = json!([
        call(1, "echo", json!({})),
        call(2, "wait", json!({})),
        call(3, "wait", json!({})),
    ]);
    let mut stream = client.stream(&batch).await?;
    let first = stream.next().await?.context("no answer")?;
    assert_eq!(first.message["id"], 1);
    wait::until("the calls", || async { fixture.waiting() == 2 }).await?;
    drop(stream);
    fixture.open_gate();
    let mut resumed = client
        .resume(&first.id.context("an event without an id")?)
        .await?;
    let mut ids = Vec::new();
    while let Some(event) = resumed.next().await? {
        assert!(event.message["result"].is_object(), "{event:?}");
        ids.extend(event.message["id"].as_u64());
    }
    ids.sort_unstable();
    assert_eq!((ids, fixture.cancelled()), (vec![2, 3], 0));
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn servers_ask_the_client_that_sent_a_batch_and_it_may_answer_by_one() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let gateway = gateway(&server.url(), "test_sampling").await?;
    let client = Client::open(&gateway.url("/mcp"), json!({ "sampling": {} })).await?;
    let ask = |id: u64| call(id, "test_sampling", json!({ "prompt": format!("of {id}") }));
    let mut stream = client.stream(&json!([ask(1), ask(2)])).await?;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let question = stream.next_of("sampling/createMessage").await?.message;
        let asked = &question["params"]["messages"][0]["content"]["text"];
        let content = json!({ "type": "text", "text": format!("answer {asked}") });
        answers.push(json!({
            "jsonrpc": "2.0", "id": question["id"],
            "result": { "role": "assistant", "model": "m", "content": content },
        }));
    }
    let taken = client.post(&Value::from(answers)).await?;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.text());
    for _ in 0..2 {
        let answer = stream.next().await?.context("no answer")?.message;
        let expected = format!("of {}", answer["id"]);
        assert!(answer["result"].to_string().contains(&expected), "{answer}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_is_never_asked_what_its_version_does_not_have() -> Result<()> {
    let server = ConformanceServer::start(Eras::Legacy).await?;
    let gateway = gateway(&server.url(), "test_elicitation").await?;
    let capabilities = json!({ "sampling": {}, "elicitation": {} });
    let client = Client::open(&gateway.url("/mcp"), capabilities).await?;
    let elicit = || call(1, "test_elicitation", json!({ "message": "who are you?" }));
    for body in [elicit(), json!([elicit()])] {
        let answer = client.post(&body).await?;
        assert!(
            !answer.text().contains("elicitation/create"),
            "{}",
            answer.text()
        );
        let answer = answer.message()?;
        let failed = answer.get("error").is_some() || answer["result"]["isError"] == true;
        assert!(failed, "{answer}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn batches_of_many_clients_do_not_mix() -> Result<()> {
    let Setup {
        gateway,
        url,
        fixture: _fixture,
        ..
    } = Setup::start(BINARY).await?;
    let batches = (0..8).map(|client| {
        let url = url.as_str();
        async move {
            let own = Client::open(url, json!({})).await?;
            let calls = (0..8).map(|id| call(id, "echo", json!({ "n": client * 100 + id })));
            let answer = own.post(&Value::from(calls.collect::<Vec<_>>())).await?;
            for id in 0..8 {
                let result = answer_to(&answer, &json!(id))?;
                let echoed = &result["result"]["structuredContent"]["arguments"]["n"];
                assert_eq!(*echoed, client * 100 + id, "{result}");
            }
            anyhow::Ok(())
        }
    });
    try_join_all(batches).await?;
    gateway.stop().await?;
    Ok(())
}
