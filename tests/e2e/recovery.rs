//! Servers that hang, crash, lose their sessions or were never there, and what their neighbours and clients notice of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{Hang, HttpFixture, Options};
use gateway_tests::servers::{self, DeadEndpoint, Everything};
use gateway_tests::{Era, Gateway, Session, processes, wait};
use serde_json::json;
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SERVER_UNAVAILABLE: i64 = 1001;

/// A fixture that answers at once, and the configuration entry for it.
async fn healthy() -> Result<HttpFixture> {
    HttpFixture::start(Options {
        name: "healthy".to_owned(),
        ..Options::default()
    })
    .await
}

async fn gateway(servers: &[(&str, serde_json::Value)]) -> Result<Gateway> {
    Gateway::builder(BINARY)
        .config(servers::configuration(servers))
        .start()
        .await
}

#[tokio::test]
async fn a_server_that_was_killed_is_used_again_when_it_is_back() -> Result<()> {
    let server = HttpFixture::start(Options {
        sessions: true,
        ..Options::default()
    })
    .await?;
    let gateway = gateway(&[("back", servers::remote(&server.url()))]).await?;
    for era in Era::BOTH {
        gateway.wait_for_tool("/mcp", "echo").await?;
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        assert_eq!(
            session.call_text("echo", json!({ "n": 1 })).await?,
            r#"{"n":1}"#
        );
    }
    let legacy = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;

    let address = server.kill().await;
    let failed = legacy.call("echo", json!({})).await?;
    assert_eq!(
        failed.error_code()?,
        SERVER_UNAVAILABLE,
        "{}",
        failed.text()
    );
    assert!(
        failed.text().contains("back"),
        "the error names the server: {}",
        failed.text()
    );

    let server = HttpFixture::start_at(
        address,
        Options {
            sessions: true,
            ..Options::default()
        },
    );
    let _server = server.await?;
    wait::until("the server to be used again", || async {
        legacy.call_text("echo", json!({})).await.is_ok()
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_official_server_that_was_killed_is_used_again_when_it_is_back() -> Result<()> {
    let server = Everything::start().await?;
    let gateway = gateway(&[("everything", servers::remote(&server.url()))]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let hello = json!({ "message": "hello" });
    assert_eq!(
        session.call_text("echo", hello.clone()).await?,
        "Echo: hello"
    );

    let address = server.kill().await?;
    let failed = session.call("echo", hello.clone()).await?;
    assert_eq!(
        failed.error_code()?,
        SERVER_UNAVAILABLE,
        "{}",
        failed.text()
    );

    let _server = Everything::start_at(address).await?;
    wait::until("the server to be used again", || async {
        session.call_text("echo", hello.clone()).await.is_ok()
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_child_that_was_killed_is_started_again() -> Result<()> {
    let gateway = gateway(&[("child", servers::fixture_on_stdio(BINARY, &[])?)]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    for round in 0..2 {
        let children = gateway.children();
        let child = children
            .first()
            .with_context(|| format!("no child in round {round}"))?;
        processes::kill(child);
        wait::until("the child to be replaced", || async {
            gateway.children().iter().any(|other| other != child)
                && session.call_text("echo", json!({})).await.is_ok()
        })
        .await?;
        assert_eq!(gateway.zombies(), 0);
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_child_that_crashes_in_a_call_fails_that_call_only() -> Result<()> {
    let child = servers::fixture_on_stdio(BINARY, &["--exit-after-calls", "1"])?;
    let gateway = gateway(&[("fragile", child)]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    let crashed = session.call("echo", json!({})).await?;
    assert_eq!(
        crashed.error_code()?,
        SERVER_UNAVAILABLE,
        "{}",
        crashed.text()
    );
    wait::until("the next child to answer", || async {
        session.call_text("echo", json!({})).await.is_ok()
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn servers_that_hang_or_are_not_there_delay_nobody() -> Result<()> {
    let healthy = healthy().await?;
    let hung = Options {
        hang: Some(Hang::Initialize),
        ..Options::default()
    };
    let hung = HttpFixture::start(hung).await?;
    let dead = DeadEndpoint::reserve()?;
    let began = Instant::now();
    let gateway = gateway(&[
        ("dead", servers::remote(&dead.url()?)),
        ("healthy", servers::remote(&healthy.url())),
        ("hung", servers::remote(&hung.url())),
        ("silent", servers::stubborn()),
    ])
    .await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        let names = session.tool_names().await?;
        assert!(
            names.iter().any(|name| name == "healthy__echo"),
            "{names:?}"
        );
        assert!(
            names.iter().all(|name| name.starts_with("healthy__")),
            "{names:?}"
        );
        assert_eq!(session.call_text("healthy__echo", json!({})).await?, "{}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        began.elapsed()
    );

    hung.hang(None);
    gateway.wait_for_tool("/mcp", "hung__echo").await?;
    let exit = gateway.stop().await?;
    assert_eq!(exit.code, Some(0));
    assert!(
        exit.took < Duration::from_secs(10),
        "it took {:?}",
        exit.took
    );
    Ok(())
}

#[tokio::test]
async fn a_server_that_hangs_in_a_list_hides_nothing_of_the_others() -> Result<()> {
    let healthy = healthy().await?;
    let hung = Options {
        hang: Some(Hang::List),
        ..Options::default()
    };
    let hung = HttpFixture::start(hung).await?;
    let gateway = gateway(&[
        ("healthy", servers::remote(&healthy.url())),
        ("hung", servers::remote(&hung.url())),
    ])
    .await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    let names = session.tool_names().await?;
    assert!(
        names.iter().any(|name| name == "healthy__echo"),
        "{names:?}"
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_lost_its_sessions_gets_a_new_one_unnoticed() -> Result<()> {
    let server = HttpFixture::start(Options {
        sessions: true,
        ..Options::default()
    });
    let server = server.await?;
    let mut forgetful = servers::remote(&server.url());
    forgetful["timeout"] = json!("20s");
    let gateway = gateway(&[("forgetful", forgetful)]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        assert_eq!(session.call_text("echo", json!({})).await?, "{}");
        server.forget_sessions().await;
        assert_eq!(session.call_text("echo", json!({})).await?, "{}");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_legacy_server_that_lost_its_sessions_gets_a_new_one_unnoticed() -> Result<()> {
    let options = Options {
        era: gateway_tests::fixture::Eras::Legacy,
        sessions: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let gateway = gateway(&[("forgetful", servers::remote(&server.url()))]).await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        assert_eq!(session.call_text("echo", json!({})).await?, "{}");
        let opened = server.initializations();
        server.forget_sessions().await;
        assert_eq!(session.call_text("echo", json!({})).await?, "{}");
        assert!(server.initializations() > opened, "no session was opened");
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn ends_within_seconds_although_a_child_does_not_want_to() -> Result<()> {
    let gateway = gateway(&[("silent", servers::stubborn())]).await?;
    wait::until("the child and its own child", || async {
        gateway.children().len() >= 2
    })
    .await?;
    let exit = gateway.stop().await?;
    assert_eq!(exit.code, Some(0));
    assert!(
        exit.took < Duration::from_secs(10),
        "it took {:?}",
        exit.took
    );
    Ok(())
}
