//! Who shares the children of a server on stdio, and with whose credential each is started.

use anyhow::{Context as _, Result};
use gateway_tests::principals::{ADA, BOB, config, open, start, store};
use gateway_tests::secrets::{named, secret};
use gateway_tests::servers::{fixture_on_stdio, with};
use gateway_tests::{Era, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// What the child knows of who calls.
async fn whoami(session: &Session) -> Result<Value> {
    session.call_structured("whoami", json!({})).await
}

async fn process(session: &Session) -> Result<Value> {
    let seen = whoami(session).await?;
    seen.get("process")
        .cloned()
        .context("the server says no process")
}

#[tokio::test]
async fn each_user_has_a_child_with_their_credential_in_its_environment() -> Result<()> {
    for era in ["legacy", "modern"] {
        let child = fixture_on_stdio(BINARY, &["--era", era, "--names-tokens"])?;
        let child = with(child, "credentials", "required");
        let stored = [("ada", "ada-1"), ("bob", "bob-1")];
        let gateway = start(BINARY, "child", child, &stored).await?;
        assert_eq!(gateway.children().len(), 0, "nobody has asked yet");
        let mut processes = Vec::new();
        for (user, token) in [(ADA, "ada-1"), (BOB, "bob-1")] {
            for era in Era::BOTH {
                let session = open(&gateway, era, user).await?;
                let seen = whoami(&session).await?;
                assert_eq!(seen["token"], named(&secret(token)));
                processes.push(seen["process"].clone());
                let own = format!("of-{token}");
                assert!(session.tool_names().await?.contains(&own));
            }
        }
        assert_eq!(processes[0], processes[1]);
        assert_eq!(processes[2], processes[3]);
        assert_ne!(processes[1], processes[2]);
        store(&gateway.workspace, &[("ada", "ada-2"), ("bob", "bob-1")])?;
        let ada = open(&gateway, Era::Modern, ADA).await?;
        let seen = whoami(&ada).await?;
        assert_eq!(seen["token"], named(&secret("ada-2")));
        assert_ne!(seen["process"], processes[0]);
        wait::until("the old child to end", || async {
            gateway.children().len() == 2 && gateway.zombies() == 0
        })
        .await?;
        gateway.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn per_user_gives_each_user_a_child_and_per_session_each_session() -> Result<()> {
    let child = fixture_on_stdio(BINARY, &["--era", "legacy"])?;
    let gateway = start(BINARY, "child", with(child, "isolation", "per-user"), &[]).await?;
    let mut processes = Vec::new();
    for user in [ADA, ADA, BOB] {
        let session = open(&gateway, Era::Legacy, user).await?;
        processes.push(process(&session).await?);
    }
    assert_eq!(processes[0], processes[1]);
    assert_ne!(processes[1], processes[2]);
    assert_eq!(gateway.children().len(), 2);

    let child = fixture_on_stdio(BINARY, &["--era", "legacy"])?;
    let child = with(child, "isolation", "per-session");
    let edited = config(json!({ "child": child }));
    gateway.apply_config(&edited).await?;
    let (one, two) = (
        open(&gateway, Era::Legacy, ADA).await?,
        open(&gateway, Era::Legacy, ADA).await?,
    );
    let own = process(&one).await?;
    assert_ne!(own, process(&two).await?);
    assert_eq!(own, process(&one).await?);
    one.delete().await?;
    two.delete().await?;
    wait::until("one child to be left", || async {
        gateway.children().len() == 1 && gateway.zombies() == 0
    })
    .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_users_child_ends_when_it_is_idle_and_comes_back_when_it_is_wanted() -> Result<()> {
    let child = fixture_on_stdio(BINARY, &["--era", "legacy"])?;
    let child = with(
        with(child, "isolation", "per-user"),
        "idle_timeout",
        "200ms",
    );
    let gateway = start(BINARY, "child", child, &[]).await?;
    let ada = open(&gateway, Era::Modern, ADA).await?;
    let first = process(&ada).await?;
    wait::until("the idle child to end", || async {
        gateway.children().is_empty() && gateway.zombies() == 0
    })
    .await?;
    assert_ne!(process(&ada).await?, first);
    gateway.stop().await?;
    Ok(())
}
