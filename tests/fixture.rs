//! Shows that the fixture is a server which the official clients accept, so that a failure behind the gateway is the gateway's.

use anyhow::Result;
use gateway_tests::clients::{OfficialClient, Step};
use gateway_tests::fixture::{
    AnswerForm, Eras, Hang, HttpFixture, LEGACY_VERSION, MODERN_VERSION, Options,
};
use gateway_tests::{Era, Session};
use serde_json::json;

async fn lists_and_calls(client: OfficialClient, version: &str, options: Options) -> Result<()> {
    let listed = options.tools + 6;
    let fixture = HttpFixture::start(options).await?;
    let steps = vec![
        Step::list("tools").lists_in_all(listed),
        Step::call("echo", json!({ "text": "hello" }))
            .has("/structuredContent/arguments/text", json!("hello")),
        Step::call("fail", json!({})).has("/isError", json!(true)),
    ];
    client.visit(version, &[(fixture.url(), steps)]).await
}

#[tokio::test]
async fn official_clients_use_it_with_sessions_streams_and_pages() -> Result<()> {
    for client in OfficialClient::STAYING {
        let options = Options {
            tools: 20,
            page_size: 7,
            empty_cursor: true,
            answer: AnswerForm::Sse,
            sessions: true,
            ..Options::default()
        };
        lists_and_calls(client, client.best_version(), options).await?;
    }
    Ok(())
}

#[tokio::test]
async fn official_clients_use_it_when_it_speaks_one_era() -> Result<()> {
    for (era, version, clients) in [
        (
            Eras::Legacy,
            LEGACY_VERSION,
            [OfficialClient::TS_V2_AUTO, OfficialClient::PYTHON_AUTO],
        ),
        (
            Eras::Modern,
            MODERN_VERSION,
            [OfficialClient::TS_V2_PINNED, OfficialClient::PYTHON_PINNED],
        ),
    ] {
        for client in clients {
            let options = Options {
                era,
                ..Options::default()
            };
            lists_and_calls(client, version, options).await?;
        }
    }
    Ok(())
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
