//! Secrets reach the servers that they are for, and nothing that the gateway says: every test searches for them in what
//! it sees, and these give them every occasion to be there.

use std::path::Path;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::secrets::{named, secret};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The headers that a server was sent with a call.
async fn seen_by(gateway: &Gateway, tool: &str) -> Result<Value> {
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    let result = session.call(tool, json!({})).await?.result()?;
    let headers = result.pointer("/structuredContent/headers");
    headers.cloned().context("the server says no headers")
}

#[tokio::test]
async fn no_secret_is_in_anything_that_the_gateway_says_or_keeps() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let refusing = HttpFixture::start(Options {
        era: gateway_tests::fixture::Eras::Legacy,
        sessions: true,
        ..Options::default()
    })
    .await?;
    let secret_headers = |url: &str| {
        let mut server = remote(url);
        server["auth"] = json!({ "bearer": { "from_env": "REVIEWED_BEARER" } });
        server["headers"] = json!({ "x-key": { "from_env": "REVIEWED_KEY" } });
        server
    };
    let mut child = fixture_on_stdio(BINARY, &["--exit-after-calls", "1"])?;
    child["env"] = json!({ "TOKEN": { "from_env": "REVIEWED_KEY" } });
    let mut ghost = json!({ "type": "command", "command": "no-such-program" });
    ghost["env"] = json!({ "TOKEN": { "from_env": "REVIEWED_KEY" } });
    let config = configuration(&[
        ("child", child),
        ("dead", secret_headers("http://127.0.0.1:1/mcp")),
        ("ghost", ghost),
        ("live", secret_headers(&server.url())),
        (
            "nowhere",
            secret_headers(&server.url().replace("/mcp", "/nothing")),
        ),
        ("sessions", secret_headers(&refusing.url())),
    ]);
    let (bearer, key) = (secret("bearer"), secret("key"));
    let gateway = Gateway::builder(BINARY)
        .config(config)
        .variable("REVIEWED_BEARER", &bearer)
        .variable("REVIEWED_KEY", &key)
        .variable(
            "MCP_GATEWAY_LOG",
            "debug,gateway_data_plane=trace,gateway_mcp=trace",
        )
        .start()
        .await?;
    gateway.wait_for_tool("/mcp", "live__echo").await?;
    gateway.wait_for_tool("/mcp", "child__echo").await?;
    let seen = seen_by(&gateway, "live__whoami").await?;
    let sent = named(&format!("Bearer {bearer}"));
    assert_eq!(seen["authorization"], sent, "{seen}");
    assert_eq!(seen["x-key"], named(&key), "{seen}");

    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        session.request("tools/list", json!({})).await?;
        let servers = ["child", "dead", "ghost", "live", "nowhere", "sessions"];
        for server in servers {
            for tool in ["echo", "refuse", "no-such-tool"] {
                session
                    .call(&format!("{server}__{tool}"), json!({}))
                    .await?;
            }
            refusing.forget_sessions().await;
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_edit_takes_changed_secrets_to_the_servers_that_use_them_and_to_no_other() -> Result<()>
{
    let server = HttpFixture::start(Options::default()).await?;
    let child = fixture_on_stdio(BINARY, &[])?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, secret("first\n"))?;
    let mut keyed = remote(&server.url());
    keyed["headers"] = json!({ "x-key": { "from_file": file.path() } });
    let mut servers = vec![("child", child), ("keyed", keyed)];
    let gateway = Gateway::builder(BINARY).config(configuration(&servers));
    let gateway = gateway.start().await?;
    gateway.wait_for_tool("/mcp", "keyed__whoami").await?;
    gateway.wait_for_tool("/mcp", "child__echo").await?;
    let children = gateway.children();
    assert_eq!(
        seen_by(&gateway, "keyed__whoami").await?["x-key"],
        named(&secret("first"))
    );

    std::fs::write(&file, secret("second\n"))?;
    servers.push(("other", remote(&server.url())));
    gateway.apply_config(&configuration(&servers)).await?;
    wait::until("the new secret", || async {
        let seen = seen_by(&gateway, "keyed__whoami").await;
        seen.is_ok_and(|seen| seen["x-key"] == named(&secret("second")))
    })
    .await?;
    assert_eq!(gateway.children(), children, "the child went on");

    // Without its secret the server cannot be reached, so the edit is refused as a whole.
    std::fs::remove_file(&file)?;
    servers.pop();
    gateway.edit_config(&configuration(&servers))?;
    gateway
        .wait_for_log(&["configuration refused", "servers.keyed.headers.x-key"])
        .await?;
    assert_eq!(
        seen_by(&gateway, "keyed__whoami").await?["x-key"],
        named(&secret("second"))
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn children_get_no_variable_that_is_named_like_a_secret() -> Result<()> {
    let script = r#"env >&2; cat >&2"#;
    let shell = gateway_tests::servers::command(Path::new("sh"), &["-c", script]);
    let gateway = Gateway::builder(BINARY)
        .config(configuration(&[("shell", shell)]))
        .variable("REVIEWED_TOKEN", &secret("token"))
        .start()
        .await?;
    gateway.wait_for_log(&["shell", "PATH="]).await?;
    // It would be in the log.
    gateway.stop().await?;
    Ok(())
}
