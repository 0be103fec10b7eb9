//! The end: with calls under way, with children that do not want to, and when it has to be at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use gateway_tests::fixture::{Hang, HttpFixture, Options};
use gateway_tests::servers::{command, configuration, fixture_on_stdio, remote, stubborn};
use gateway_tests::{Era, Gateway, Session, Workspace, wait};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SERVER_UNAVAILABLE: i64 = 1001;

#[tokio::test]
async fn calls_that_do_not_end_are_given_up_answered_and_recorded() -> Result<()> {
    for era in Era::BOTH {
        let server = HttpFixture::start(Options::default()).await?;
        let config = configuration(&[("server", remote(&server.url()))]);
        let gateway = Gateway::builder(BINARY).config(config).start().await?;
        gateway.wait_for_tool("/mcp", "wait").await?;
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        let stop = async {
            wait::until("the call", || async { server.waiting() == 1 }).await?;
            gateway.stop().await
        };
        let (answer, exit) = tokio::join!(session.call("wait", json!({})), stop);
        let (answer, exit) = (answer?, exit?);
        assert_eq!(
            answer.error_code()?,
            SERVER_UNAVAILABLE,
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("shutting down"), "{}", answer.text());
        assert_eq!(exit.code, Some(0), "{:#?}", exit.stderr);
        assert!(exit.took < Duration::from_secs(9), "{:?}", exit.took);
        let recorded = exit
            .stdout
            .iter()
            .any(|line| line.contains(r#""tool":"wait""#) && line.contains("shutting down"));
        assert!(recorded, "{:#?}", exit.stdout);
        wait::until("the server to be told", || async { server.waiting() == 0 }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_given_up_as_well() -> Result<()> {
    let child = fixture_on_stdio(BINARY, &[])?;
    let gateway = Gateway::builder(BINARY).config(configuration(&[("child", child)]));
    let gateway = gateway.start().await?;
    gateway.wait_for_tool("/mcp", "wait").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let params = json!({ "name": "wait", "_meta": { "progressToken": 1 } });
    let stop = async {
        gateway.wait_for_log(&["child", "called wait"]).await?;
        gateway.stop().await
    };
    let (answer, exit) = tokio::join!(session.request("tools/call", params), stop);
    let (answer, exit) = (answer?, exit?);
    assert_eq!(answer.raw_messages().len(), 2, "{}", answer.text());
    assert!(answer.text().contains("shutting down"), "{}", answer.text());
    assert_eq!(exit.code, Some(0));
    assert!(exit.took < Duration::from_secs(9), "{:?}", exit.took);
    Ok(())
}

#[tokio::test]
async fn a_server_that_hangs_in_a_list_delays_nothing() -> Result<()> {
    let hung = HttpFixture::start(Options {
        hang: Some(Hang::List),
        ..Options::default()
    });
    let hung = hung.await?;
    let config = configuration(&[("hung", remote(&hung.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    assert!(session.tool_names().await?.is_empty());
    assert_eq!(hung.lists(), 1);
    let exit = gateway.stop().await?;
    assert_eq!(exit.code, Some(0));
    assert!(exit.took < Duration::from_secs(3), "{:?}", exit.took);
    Ok(())
}

#[tokio::test]
async fn a_server_that_never_greets_delays_neither_start_nor_end() -> Result<()> {
    let options = Options {
        hang: Some(Hang::Initialize),
        ..Options::default()
    };
    let hung = HttpFixture::start(options).await?;
    let config = configuration(&[("hung", remote(&hung.url()))]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    wait::until("the server to be greeted", || async {
        hung.initializations() > 0
    })
    .await?;
    Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let exit = gateway.stop().await?;
    assert_eq!(exit.code, Some(0));
    assert!(exit.took < Duration::from_secs(10), "{:?}", exit.took);
    Ok(())
}

#[tokio::test]
async fn a_child_that_is_being_connected_to_is_asked_to_end_as_well() -> Result<()> {
    let workspace = Arc::new(Workspace::new("")?);
    let said = |name: &str| workspace.path().join(name);
    // Neither greets. One ends when its input does, and takes its time; the other at SIGTERM only.
    let closed = format!("cat >&2; sleep 1; echo >{}", said("closed").display());
    let told = said("told");
    let told = format!(
        "trap 'echo >{}; exit' TERM; while :; do sleep 0.1; done",
        told.display()
    );
    let child = |script: &str| command(Path::new("sh"), &["-c", script]);
    workspace.replace_config(&configuration(&[
        ("closed", child(&closed)),
        ("told", child(&told)),
    ]))?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    wait::until("the children and what they run", || async {
        gateway.children().len() >= 4
    })
    .await?;
    let exit = gateway.stop().await?;
    assert_eq!(exit.code, Some(0), "{:#?}", exit.stderr);
    for name in ["closed", "told"] {
        assert!(said(name).exists(), "{name} was killed: {:#?}", exit.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_everything_that_it_started() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let servers = [("server", remote(&server.url())), ("silent", stubborn())];
    let gateway = Gateway::builder(BINARY).config(configuration(&servers));
    let gateway = gateway.start().await?;
    gateway.wait_for_tool("/mcp", "server__wait").await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    let stop = async {
        wait::until("the child, its own child and the call", || async {
            gateway.children().len() >= 2 && server.waiting() == 1
        })
        .await?;
        gateway.stop_at_once().await
    };
    // The call would be waited for, if there were time.
    let (answer, exit) = tokio::join!(session.call("server__wait", json!({})), stop);
    assert!(answer.is_err(), "{answer:?}");
    // One that had waited would have ended with success.
    let exit = exit?;
    assert_eq!(exit.code, Some(1), "{:#?}", exit.stderr);
    Ok(())
}
