//! An audit sink that is an MCP server gets every event, whatever becomes of it and of the gateway meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use gateway_tests::collector::{Collector, Manner, event_id};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, acme, join_token};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::secret;
use gateway_tests::servers::remote;
use gateway_tests::{Era, Gateway, Session, Workspace, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// How many calls are made while the sink is down: as many as ten a second are in forty minutes.
const CALLS: usize = 24_000;
const CALLERS: usize = 6;

/// Space for a dozen or two of events, in bytes.
const FEW: &str = "16384";

fn sink(url: &str) -> Value {
    json!({ "provider": "mcp", "server": { "type": "remote", "endpoint": url }, "timeout": "2s" })
}

fn config(server: &HttpFixture, sinks: &Value) -> String {
    let plugins = json!({ "audit_sink": sinks });
    json!({ "plugins": plugins, "servers": { "one": remote(&server.url()) } }).to_string()
}

/// A gateway on this machine, its server, and where its configuration is.
async fn desktop(sinks: &Value) -> Result<(Gateway, HttpFixture)> {
    let server = HttpFixture::start(Options::default()).await?;
    let gateway = Gateway::builder(BINARY)
        .config(config(&server, sinks))
        .start()
        .await?;
    gateway.wait_for_tool("/mcp", "echo").await?;
    Ok((gateway, server))
}

fn calls_of<'a>(events: &'a [Value], tool: &str) -> Vec<&'a Value> {
    let events = events.iter();
    events
        .filter(|event| event["tool"] == tool && event["event_type"] == "tool_call")
        .collect()
}

/// What one caller was answered: how many calls of `echo`, and how many of tools that the server does not have, whose numbers
/// say in which order they were called.
#[derive(Default)]
struct Caller {
    echoed: usize,
    unknown: usize,
}

impl Caller {
    fn tool(number: usize, call: usize) -> String {
        format!("caller{number}-{call}")
    }

    /// Calls until the gateway is gone, or so often.
    async fn call(&mut self, number: usize, url: &str, calls: usize) {
        let era = match number % 2 {
            0 => Era::Legacy,
            _ => Era::Modern,
        };
        let Ok(session) = Session::open(era, url).await else {
            return;
        };
        for _ in 0..calls / 2 {
            if session.call_text("echo", json!({ "n": 1 })).await.is_err() {
                return;
            }
            self.echoed += 1;
            let tool = Self::tool(number, self.unknown);
            if session.call(&tool, json!({})).await.is_err() {
                return;
            }
            self.unknown += 1;
        }
    }
}

#[tokio::test]
async fn a_sink_that_was_down_gets_every_event_of_a_gateway_that_was_killed_twice() -> Result<()> {
    let (collector, server) = (
        Collector::start().await?,
        HttpFixture::start(Options::default()).await?,
    );
    let config = config(&server, &sink(&collector.url()));
    let (address, collected) = collector.kill().await;
    let workspace = Arc::new(Workspace::new(&config)?);
    let mut callers: Vec<Caller> = (0..CALLERS).map(|_| Caller::default()).collect();
    let mut gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    for life in 0..3 {
        gateway.wait_for_tool("/mcp", "echo").await?;
        let url = gateway.url("/mcp");
        // Those of a gateway that is killed are in the middle of their calls.
        let calls = CALLS / 3 / CALLERS;
        let more = if life < 2 { calls * 10 } else { calls };
        let before: usize = callers.iter().map(|caller| caller.echoed).sum();
        let asked = server.calls();
        let calling = join_all(callers.iter_mut().enumerate().map(|(number, caller)| {
            let url = url.clone();
            async move { caller.call(number, &url, more).await }
        }));
        if life == 2 {
            calling.await;
            break;
        }
        let kill = async {
            let enough = asked + (CALLS / 3) as u64;
            wait::until("enough calls", || async { server.calls() >= enough }).await?;
            gateway.kill().await
        };
        let (_, killed) = tokio::join!(calling, kill);
        killed?;
        let after: usize = callers.iter().map(|caller| caller.echoed).sum();
        ensure!(after > before, "calls were answered");
        gateway = Gateway::builder(BINARY)
            .workspace(&workspace)
            .start()
            .await?;
    }
    assert_eq!(collected.count(), 0);
    let collector = Collector::start_at(address, collected).await?;
    collector.behave(Manner::TakeAndDrop);
    collector
        .wait_for("the first events", |events| !events.is_empty())
        .await?;
    collector.behave(Manner::Take);
    let echoed: usize = callers.iter().map(|caller| caller.echoed).sum();
    let has_all = |events: &[Value]| calls_of(events, "echo").len() >= echoed;
    collector.wait_for("every event", has_all).await?;
    gateway.stop().await?;

    let once = collector.once();
    assert!(once.iter().all(|event| !event_id(event).is_empty()));
    assert!(collector.count() > once.len(), "some came twice");
    let echoes = calls_of(&once, "echo").len();
    // One that was under way when the gateway was killed may have an event, and no answer.
    assert!(
        (echoed..=echoed + 2 * CALLERS).contains(&echoes),
        "{echoes} of {echoed}"
    );
    for (number, caller) in callers.iter().enumerate() {
        let prefix = format!("caller{number}-");
        let tools = once.iter().filter_map(|event| event["tool"].as_str());
        let mut got: Vec<&str> = tools.filter(|tool| tool.starts_with(&prefix)).collect();
        // The one that was not answered is called again under the same name.
        got.dedup();
        let due: Vec<String> = (0..caller.unknown)
            .map(|call| Caller::tool(number, call))
            .collect();
        assert_eq!(&got[..due.len()], due, "in order, and none is missing");
    }
    println!(
        "{echoed} calls of one tool and as many of others, {} repeats",
        collector.count() - once.len()
    );
    let left = std::fs::read_dir(workspace.data().join("audit-spool/default/audit_sink"))?;
    assert!(left.count() <= 3, "what is delivered is removed");
    Ok(())
}

/// A data plane in which so many bytes may wait, its control plane and server, and a tenant whose sink is that.
async fn planes(sink: Value, max_bytes: &str) -> Result<(DataPlane, ControlPlane, HttpFixture)> {
    let server = HttpFixture::start(Options::default()).await?;
    let workspace = Arc::new(Workspace::new("")?);
    let control = ControlPlane::start(BINARY, &workspace).await?;
    let mut tenant = acme(&server);
    let plugins = tenant.get_mut("plugins").and_then(Value::as_object_mut);
    plugins
        .context("it has plugins")?
        .insert("audit_sink".to_owned(), sink);
    let spool = workspace.path().join("spool").display().to_string();
    let flags = ["--audit-spool", &spool, "--audit-spool-bytes", max_bytes];
    let data = DataPlane::start_with(BINARY, &control, &join_token(), &flags).await?;
    let applied = control.apply(&tenant.to_string()).await?;
    ensure!(applied.code == Some(0), "{:?}", applied.stderr);
    data.wait_until_ready().await?;
    Ok((data, control, server))
}

async fn metric(data: &DataPlane, name: &str) -> Result<u64> {
    let url = format!("http://{}/metrics", data.operations());
    let text = RawClient::default().get(&url).await?.text();
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.with_context(|| format!("{name} in {text}"))?;
    let value = line.rsplit(' ').next().context("a value")?;
    Ok(value.parse()?)
}

#[tokio::test]
async fn when_the_spool_is_full_nothing_is_forwarded_until_the_sink_is_back() -> Result<()> {
    let collector = Collector::start().await?;
    let url = collector.url();
    let (address, collected) = collector.kill().await;
    let (data, control, server) = planes(sink(&url), FEW).await?;
    let ada = data.ada(Era::Modern).await?;
    let mut answered = 0;
    let refusal = loop {
        let answer = ada.call("echo", json!({})).await?;
        match answer.result() {
            Ok(_) => answered += 1,
            Err(_) => break answer,
        }
        ensure!(answered < 200, "the spool is never full");
    };
    assert!(answered > 5, "{answered}");
    assert_eq!(server.calls(), answered, "{}", refusal.text());
    for _ in 0..5 {
        ensure!(ada.call("echo", json!({})).await?.result().is_err());
    }
    assert_eq!(server.calls(), answered);
    assert_eq!(metric(&data, "mcp_gateway_audit_sink_up").await?, 0);
    assert!(metric(&data, "mcp_gateway_audit_waiting{").await? >= answered);
    let config = format!("http://{}/config", data.operations());
    let config = RawClient::default().get(&config).await?.text();
    assert!(config.contains(r#""state":"down""#), "{config}");

    let collector = Collector::start_at(address, collected).await?;
    let has_all = |events: &[Value]| calls_of(events, "echo").len() >= answered as usize;
    collector.wait_for("what was kept", has_all).await?;
    wait::until("calls to go on", || async {
        ada.call("echo", json!({}))
            .await
            .is_ok_and(|answer| answer.result().is_ok())
    })
    .await?;
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn with_drop_requests_go_on_when_the_spool_is_full() -> Result<()> {
    let collector = Collector::start().await?;
    let mut sink = sink(&collector.url());
    sink["on_overflow"] = "drop".into();
    collector.behave(Manner::Fail);
    let (data, control, server) = planes(sink, FEW).await?;
    let ada = data.ada(Era::Modern).await?;
    for _ in 0..60 {
        ada.call_text("echo", json!({})).await?;
    }
    assert_eq!(server.calls(), 60);
    data.process
        .wait_for_log(&["audit events are dropped"])
        .await?;
    assert!(metric(&data, "mcp_gateway_audit_dropped_total").await? > 0);
    collector.behave(Manner::Take);
    collector
        .wait_for("what was kept", |events| {
            calls_of(events, "echo").len() > 10
        })
        .await?;
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn without_a_folder_to_wait_in_a_tenant_with_such_a_sink_is_refused() -> Result<()> {
    let (server, collector) = (
        HttpFixture::start(Options::default()).await?,
        Collector::start().await?,
    );
    let workspace = Arc::new(Workspace::new("")?);
    let control = ControlPlane::start(BINARY, &workspace).await?;
    let data = DataPlane::start(BINARY, &control).await?;
    data.wait_until_ready().await?;
    let mut tenant = acme(&server);
    tenant["plugins"]["audit_sink"] = sink(&collector.url());
    let applied = control.apply(&tenant.to_string()).await?;
    let said = applied.stderr.join("\n") + &applied.stdout.join("\n");
    assert_ne!(applied.code, Some(0), "{said}");
    assert!(said.contains("--audit-spool"), "{said}");
    data.process.stop().await?;
    control.process.stop().await
}

#[tokio::test]
async fn with_durability_sink_nothing_is_forwarded_while_the_sink_takes_no_events() -> Result<()> {
    let collector = Collector::start().await?;
    let mut sink = sink(&collector.url());
    sink["durability"] = "sink".into();
    let (gateway, server) = desktop(&sink).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    session.call_text("echo", json!({})).await?;
    assert_eq!(calls_of(&collector.events(), "echo").len(), 1);
    collector.behave(Manner::Fail);
    // It is not known yet.
    session.call("echo", json!({})).await?;
    let asked = server.calls();
    for _ in 0..5 {
        ensure!(session.call("echo", json!({})).await?.result().is_err());
    }
    assert_eq!(server.calls(), asked);
    collector.behave(Manner::Late(Duration::from_millis(50)));
    wait::until("calls to go on", || async {
        session
            .call("echo", json!({}))
            .await
            .is_ok_and(|answer| answer.result().is_ok())
    })
    .await?;
    let calls = calls_of(&collector.once(), "echo").len() as u64;
    assert!(calls >= server.calls(), "{calls}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_sink_that_has_moved_gets_what_waits_and_one_that_hangs_delays_nobody() -> Result<()> {
    let (old, new) = (Collector::start().await?, Collector::start().await?);
    old.behave(Manner::Hang);
    let (gateway, server) = desktop(&sink(&old.url())).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    for _ in 0..20 {
        session.call_text("echo", json!({})).await?;
    }
    gateway
        .apply_config(&config(&server, &sink(&new.url())))
        .await?;
    new.wait_for("what waited", |events| calls_of(events, "echo").len() == 20)
        .await?;
    assert_eq!(old.count(), 0);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn of_two_sinks_the_one_that_is_down_keeps_nothing_from_the_other() -> Result<()> {
    let (down, up) = (Collector::start().await?, Collector::start().await?);
    let mut sinks = json!([sink(&down.url()), sink(&up.url())]);
    let (address, of_down) = down.kill().await;
    sinks[0]["name"] = "down".into();
    sinks[1]["name"] = "up".into();
    let (gateway, _server) = desktop(&sinks).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    for count in 1..=30 {
        session.call_text("echo", json!({})).await?;
        up.wait_for("the call", |events| calls_of(events, "echo").len() == count)
            .await?;
    }
    let down = Collector::start_at(address, of_down).await?;
    down.wait_for("what waited", |events| calls_of(events, "echo").len() == 30)
        .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_ends_delivers_what_waits_and_keeps_what_it_cannot() -> Result<()> {
    let collector = Collector::start().await?;
    let config = sink(&collector.url());
    let (address, collected) = collector.kill().await;
    let (gateway, _server) = desktop(&config).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    session.call_text("echo", json!({})).await?;
    gateway
        .wait_for_log(&["the audit sink takes no events"])
        .await?;
    let workspace = Arc::clone(&gateway.workspace);
    let exit = gateway.stop().await?;
    let said = exit.stderr.join("\n");
    assert!(
        said.contains("audit events wait for the next start"),
        "{said}"
    );
    assert!(exit.took < Duration::from_secs(10), "{:?}", exit.took);

    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    gateway
        .wait_for_log(&["the audit sink takes no events"])
        .await?;
    let collector = Collector::start_at(address, collected).await?;
    let exit = gateway.stop().await?;
    let said = exit.stderr.join("\n");
    assert!(!said.contains("wait for the next start"), "{said}");
    assert_eq!(calls_of(&collector.once(), "echo").len(), 1);
    Ok(())
}

#[tokio::test]
async fn events_that_the_sink_refuses_are_set_aside_and_those_of_nobodys_sink_are_told_of()
-> Result<()> {
    let collector = Collector::start().await?;
    collector.behave(Manner::RefuseTool("poison".to_owned()));
    let (gateway, server) = desktop(&sink(&collector.url())).await?;
    let session = Session::open(Era::Modern, &gateway.url("/mcp")).await?;
    ensure!(session.call("poison", json!({})).await?.result().is_err());
    session.call_text("echo", json!({})).await?;
    collector
        .wait_for("what is behind it", |events| {
            calls_of(events, "echo").len() == 1
        })
        .await?;
    gateway
        .wait_for_log(&["cannot be delivered", "there is no such tool"])
        .await?;
    let folder = gateway
        .workspace
        .data()
        .join("audit-spool/default/audit_sink");
    let refused = std::fs::read_to_string(folder.join("refused.jsonl"))?;
    assert_eq!(serde_json::from_str::<Value>(&refused)?["tool"], "poison");

    collector.behave(Manner::Fail);
    session.call_text("echo", json!({})).await?;
    let workspace = Arc::clone(&gateway.workspace);
    gateway.kill().await?;
    workspace
        .replace_config(&json!({ "servers": { "one": remote(&server.url()) } }).to_string())?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    gateway
        .wait_for_log(&["wait for a sink that no configuration names"])
        .await?;
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_flood_of_wrong_keys_is_counted_and_hides_nothing() -> Result<()> {
    let collector = Collector::start().await?;
    let (data, control, _server) = planes(sink(&collector.url()), "1000000").await?;
    let url = data.url("/t/acme/mcp");
    let wrong = secret("nobodys-key");
    let flood = (0..8).map(|_| async {
        for _ in 0..100 {
            // It is refused when it is opened, or when something is asked.
            drop(Session::open_with(Era::Legacy, &url, &[("x-api-key", &wrong)]).await);
        }
    });
    join_all(flood).await;
    let ada = data.ada(Era::Modern).await?;
    ada.call_text("echo", json!({})).await?;
    data.process.stop().await?;
    control.process.stop().await?;
    let events = collector.once();
    assert_eq!(calls_of(&events, "echo").len(), 1);
    let unknown = events.iter().filter(|event| event["user_id"].is_null());
    let summaries = |event: &&Value| event["event_type"] == "refusals";
    let (told, single): (Vec<_>, Vec<_>) = unknown.partition(summaries);
    let counted: u64 = told
        .iter()
        .filter_map(|event| event["metadata"]["count"].as_u64())
        .sum();
    let by_reason = told
        .iter()
        .filter_map(|event| event["metadata"]["by_reason"]["unauthenticated"].as_u64());
    assert_eq!(by_reason.sum::<u64>(), counted);
    assert!(
        counted > 100 && single.len() >= 200,
        "{counted} {}",
        single.len()
    );
    assert_eq!(counted + single.len() as u64, 800);
    Ok(())
}
