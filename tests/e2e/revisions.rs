//! A request sees exactly one revision of the configuration, however often it is edited meanwhile.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::servers::{configuration, remote};
use gateway_tests::{Era, Gateway, Session};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const EDITS: usize = 50;
const CALLERS: usize = 4;

async fn fixture(name: &str) -> Result<HttpFixture> {
    let options = Options {
        name: name.to_owned(),
        tools: CALLERS,
        ..Options::default()
    };
    HttpFixture::start(options).await
}

/// Calls its own tool again and again, and says which server answered each call.
async fn call_until(
    stop: &CancellationToken,
    era: Era,
    url: &str,
    tool: &str,
) -> Result<Vec<String>> {
    let session = Session::open(era, url).await?;
    let mut servers = Vec::new();
    while !stop.is_cancelled() {
        let text = session.call_text(tool, json!({})).await?;
        let (_, server) = text
            .rsplit_once(' ')
            .context("the answer names no server")?;
        servers.push(server.to_owned());
    }
    Ok(servers)
}

/// The revisions of the calls of one tool, in the order in which they ended.
fn revisions(events: &[Value], tool: &str) -> Vec<u64> {
    let calls = events
        .iter()
        .filter(|event| event.get("tool") == Some(&json!(tool)));
    calls
        .filter_map(|event| event.pointer("/metadata/revision")?.as_u64())
        .collect()
}

#[tokio::test]
async fn the_revision_that_is_audited_is_the_one_that_routed_the_call() -> Result<()> {
    let (odd, even) = (fixture("odd").await?, fixture("even").await?);
    let config = |edit: usize| {
        let server = if edit.is_multiple_of(2) { &even } else { &odd };
        configuration(&[("server", remote(&server.url()))])
    };
    let gateway = Gateway::builder(BINARY).config(config(1)).start().await?;
    gateway.wait_for_tool("/mcp", "tool-0000").await?;
    let url = gateway.url("/mcp");
    let stop = CancellationToken::new();

    let edit = async {
        let mut in_force = BTreeMap::new();
        for number in 2..EDITS + 2 {
            let revision = gateway.apply_config(&config(number)).await?;
            in_force.insert(revision, if number % 2 == 0 { "even" } else { "odd" });
        }
        stop.cancel();
        anyhow::Ok(in_force)
    };
    let names: Vec<String> = (0..CALLERS)
        .map(|caller| format!("tool-{caller:04}"))
        .collect();
    let callers = names.iter().zip(Era::BOTH.repeat(CALLERS));
    let callers = callers.map(|(tool, era)| call_until(&stop, era, &url, tool));
    let (in_force, seen) = tokio::join!(edit, futures_util::future::join_all(callers));
    let in_force = in_force?;
    assert_eq!(in_force.len(), EDITS, "every edit is a revision of its own");

    let exit = gateway.stop().await?;
    let events: Vec<Value> = exit
        .stdout
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    let first = *in_force.keys().next().context("no revision")?;
    for (tool, servers) in names.iter().zip(seen) {
        let servers = servers?;
        let revisions = revisions(&events, tool);
        assert_eq!(revisions.len(), servers.len(), "every call is audited once");
        assert!(
            servers.iter().any(|server| server == "even"),
            "{tool} saw no edit"
        );
        for (revision, server) in revisions.iter().zip(&servers) {
            let expected = in_force.get(revision).copied();
            let expected = expected.or((*revision < first).then_some("odd"));
            assert_eq!(
                expected,
                Some(server.as_str()),
                "{tool} under revision {revision}"
            );
        }
    }
    Ok(())
}
