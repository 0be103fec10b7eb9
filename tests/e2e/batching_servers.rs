//! Servers of 2025-03-26, which may answer with several messages at once, over every transport.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into a JSON value gives null where there is nothing"
)]

use anyhow::{Context as _, Result};
use gateway_tests::batches::{Client, answer_to, call};
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const VERSION: &str = "2025-03-26";

fn options(answer: AnswerForm) -> Options {
    Options {
        era: Eras::Legacy,
        legacy_version: VERSION.to_owned(),
        batches: true,
        answer,
        ..Options::default()
    }
}

/// Clients of every kind call the server's tool, and hear of its progress.
async fn check(server: Value) -> Result<()> {
    let config = configuration(&[("server", server)]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let url = gateway.url("/mcp");
    let ready = gateway.wait_for_log(&["server is ready"]).await?;
    assert!(ready.contains(VERSION), "{ready}");
    for era in Era::BOTH {
        let session = Session::open(era, &url).await?;
        let meta = json!({ "progressToken": "p" });
        let params = json!({ "name": "echo", "arguments": { "n": 1.50 }, "_meta": meta });
        let answer = session.request("tools/call", params).await?;
        assert!(answer.text().contains(r#""progressToken":"p""#), "{era:?}");
        assert_eq!(answer.raw_messages().len(), 2, "{}", answer.text());
        let result = answer.result()?;
        assert_eq!(result["structuredContent"]["arguments"]["n"], 1.5);
        let refused = session.call("refuse", json!({})).await?;
        assert_eq!(refused.error_code()?, -31999, "{}", refused.text());
    }

    let client = Client::open(&url, json!({})).await?;
    let calls = (0..4).map(|id| {
        let mut call = call(id, "echo", json!({ "n": id }));
        call["params"]["_meta"] = json!({ "progressToken": format!("p{id}") });
        call
    });
    let answer = client.post(&Value::from(calls.collect::<Vec<_>>())).await?;
    for id in 0..4 {
        let echoed = answer_to(&answer, &json!(id))?;
        let n = echoed.pointer("/result/structuredContent/arguments/n");
        assert_eq!(n, Some(&json!(id)), "{echoed}");
        let progress = format!(r#""progressToken":"p{id}""#);
        let messages = answer.raw_messages();
        let found = messages.iter().filter(|text| text.contains(&progress));
        assert_eq!(found.count(), 1, "{}", answer.text());
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_over_http_may_answer_with_an_array() -> Result<()> {
    let server = HttpFixture::start(options(AnswerForm::Sse)).await?;
    check(remote(&server.url())).await
}

#[tokio::test]
async fn an_array_as_the_body_of_an_answer_is_read_as_its_messages() -> Result<()> {
    let server = HttpFixture::start(options(AnswerForm::Json)).await?;
    check(remote(&server.url())).await
}

#[tokio::test]
async fn a_server_over_http_and_sse_may_answer_with_an_array() -> Result<()> {
    let server = HttpFixture::start(options(AnswerForm::Sse)).await?;
    check(remote(&server.sse_url())).await
}

#[tokio::test]
async fn a_child_may_answer_with_an_array_on_one_line() -> Result<()> {
    let arguments = ["--era", "legacy", "--legacy-version", VERSION, "--batches"];
    check(fixture_on_stdio(BINARY, &arguments)?).await
}

#[tokio::test]
async fn a_client_of_the_version_is_given_a_server_that_asks_for_sessions() -> Result<()> {
    let server = HttpFixture::start(Options {
        sessions: true,
        ..options(AnswerForm::Sse)
    });
    let server = server.await?;
    let config = configuration(&[("server", remote(&server.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let client = Client::open(&gateway.url("/mcp"), json!({})).await?;
    let batch = json!([call(1, "echo", json!({})), call(2, "echo", json!({}))]);
    let answer = client.post(&batch).await?;
    for id in 1..=2 {
        answer_to(&answer, &json!(id))?
            .get("result")
            .context("no result")?;
    }
    assert_eq!(
        server.sessions().await,
        2,
        "the gateway's own, and the client's"
    );
    gateway.stop().await?;
    Ok(())
}
