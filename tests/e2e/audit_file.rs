//! The audit log in a file: nothing that was answered is missing, however the gateway ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::servers::remote;
use gateway_tests::{Era, Gateway, Session, Workspace};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

fn config(server: &HttpFixture, sink: &Value) -> String {
    json!({
        "plugins": { "audit_sink": sink },
        "servers": { "one": remote(&server.url()) },
    })
    .to_string()
}

fn sink(durability: &str) -> Value {
    json!({
        "provider": "in-memory", "implementation": "file", "durability": durability,
        "settings": { "path": "audit/log.jsonl", "max_bytes": 20_000, "keep": 1000 },
    })
}

/// The events in the file and in those that were set aside, without a line that was cut off.
fn events(workspace: &Workspace) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    for file in std::fs::read_dir(workspace.data().join("audit"))? {
        let text = std::fs::read_to_string(file?.path())?;
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        for line in whole {
            events.push(serde_json::from_str(line).with_context(|| format!("reading {line}"))?);
        }
    }
    Ok(events)
}

/// Makes five calls, and one more whose answer it does not wait for.
async fn use_it(era: Era, url: &str) -> Result<()> {
    let session = Session::open(era, url).await?;
    session.wait_for_tool("echo").await?;
    for count in 0..5 {
        session.call_text("echo", json!({ "n": count })).await?;
    }
    let last = session.call("echo", json!({}));
    drop(tokio::time::timeout(Duration::from_millis(1), last).await);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_is_killed_has_recorded_every_call_that_it_answered() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let workspace = Arc::new(Workspace::new(&config(&server, &sink("process")))?);
    workspace.folder("data/audit")?;
    let mut answered = 0;
    for round in 0..10 {
        let durability = if round % 2 == 0 { "process" } else { "disk" };
        workspace.replace_config(&config(&server, &sink(durability)))?;
        let gateway = Gateway::builder(BINARY)
            .workspace(&workspace)
            .start()
            .await?;
        let url = gateway.url("/mcp");
        let callers = (0..8).map(|caller| use_it(Era::BOTH[caller % 2], &url));
        for done in join_all(callers).await {
            done?;
            answered += 5;
        }
        gateway.kill().await?;
        let events = events(&workspace)?;
        let calls = events
            .iter()
            .filter(|event| event["tool"] == "echo")
            .count();
        assert!(calls >= answered, "{calls} of {answered} in round {round}");
    }
    let kept = std::fs::read_dir(workspace.data().join("audit"))?.count();
    assert!(kept > 5, "files were set aside: {kept}");
    Ok(())
}

#[tokio::test]
async fn standard_output_stays_empty_and_the_file_private() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let workspace = Arc::new(Workspace::new(&config(&server, &sink("disk")))?);
    let folder = workspace.folder("data/audit")?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    session.wait_for_tool("echo").await?;
    session.call_text("echo", json!({})).await?;
    let exit = gateway.stop().await?;
    assert_eq!(exit.stdout, Vec::<String>::new());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(folder.join("log.jsonl"))?);
    assert_eq!(mode & 0o777, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_before_anything_is_served() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let mut sink = sink("process");
    sink["settings"]["path"] = "/proc/nobody-writes-here/log.jsonl".into();
    let exit = Gateway::builder(BINARY)
        .config(config(&server, &sink))
        .run()
        .await?;
    let said = exit.stderr.join("\n");
    assert_eq!(exit.code, Some(2), "{said}");
    assert!(
        said.contains("plugins.audit_sink: cannot be started"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn with_drop_requests_go_on_when_the_sink_is_gone() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let dropping =
        json!({ "provider": "in-memory", "implementation": "stdout", "on_overflow": "drop" });
    let gateway = Gateway::builder(BINARY)
        .config(config(&server, &dropping))
        .start()
        .await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    session.wait_for_tool("echo").await?;
    gateway.stdout.hang_up();
    for _ in 0..5 {
        session.call_text("echo", json!({})).await?;
    }
    gateway.wait_for_log(&["audit events are dropped"]).await?;
    gateway.stop().await?;
    Ok(())
}
