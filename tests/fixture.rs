//! Shows that the fixture is a server which the official clients accept, so that a failure behind the gateway is the gateway's.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into a JSON value gives null where there is nothing"
)]

use anyhow::Result;
use gateway_tests::clients::OfficialClient;
use gateway_tests::fixture::{AnswerForm, Eras, Hang, HttpFixture, Options};
use gateway_tests::{Era, Session};
use serde_json::json;

async fn lists_and_calls(client: OfficialClient, options: Options) -> Result<()> {
    let listed = options.tools + 6;
    let fixture = HttpFixture::start(options).await?;
    let calls = [("echo", json!({ "text": "hello" })), ("fail", json!({}))];
    let report = client.run(&fixture.url(), &calls).await?;
    assert_eq!(
        report["tools"].as_array().map(Vec::len),
        Some(listed),
        "{report}"
    );
    assert_eq!(
        report["calls"][0]["structured_content"]["arguments"]["text"], "hello",
        "{report}"
    );
    assert_eq!(report["calls"][1]["is_error"], true, "{report}");
    Ok(())
}

#[tokio::test]
async fn official_clients_use_it_with_sessions_streams_and_pages() -> Result<()> {
    for client in OfficialClient::ALL {
        let options = Options {
            tools: 20,
            page_size: 7,
            empty_cursor: true,
            answer: AnswerForm::Sse,
            sessions: true,
            ..Options::default()
        };
        lists_and_calls(client, options).await?;
    }
    Ok(())
}

#[tokio::test]
async fn official_clients_use_it_when_it_speaks_one_era() -> Result<()> {
    let legacy = Options {
        era: Eras::Legacy,
        ..Options::default()
    };
    lists_and_calls(OfficialClient::TS_V2_AUTO, legacy.clone()).await?;
    lists_and_calls(OfficialClient::PYTHON_AUTO, legacy).await?;
    let modern = Options {
        era: Eras::Modern,
        ..Options::default()
    };
    lists_and_calls(OfficialClient::TS_V2_PINNED, modern.clone()).await?;
    lists_and_calls(OfficialClient::PYTHON_PINNED, modern).await
}

#[tokio::test]
async fn forgets_sessions_when_told() -> Result<()> {
    let fixture = HttpFixture::start(Options {
        sessions: true,
        ..Options::default()
    })
    .await?;
    let session = Session::open(Era::Legacy, &fixture.url()).await?;
    assert_eq!(session.call("echo", json!({})).await?.status, 200);
    fixture.forget_sessions().await;
    assert_eq!(session.call("echo", json!({})).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn answers_what_hung_once_it_is_told_to() -> Result<()> {
    let fixture = HttpFixture::start(Options {
        hang: Some(Hang::List),
        ..Options::default()
    })
    .await?;
    let session = Session::open(Era::Modern, &fixture.url()).await?;
    let (names, ()) = tokio::join!(session.tool_names(), async { fixture.hang(None) });
    assert_eq!(names?.len(), 6);
    Ok(())
}

#[tokio::test]
async fn exits_at_the_call_that_it_was_told() -> Result<()> {
    let options = Options {
        exit_after_calls: Some(1),
        ..Options::default()
    };
    let fixture = HttpFixture::start(options).await?;
    let session = Session::open(Era::Modern, &fixture.url()).await?;
    assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    assert!(session.call("echo", json!({})).await.is_err());
    fixture.stopped().await;
    Ok(())
}
