//! `desktop --stdio`: a client that starts the gateway, and another beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use gateway_tests::Gateway;
use gateway_tests::fixture::{Eras, HttpFixture, Options};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::stdio::{StdioGateway, command};
use gateway_tests::wait;
use gateway_tests::workspace::Workspace;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const KEY: &str = "mgk_ada_3b8cfa09c01f3a8e6ee7f5c326500fd2a6dd9fa6b5a51da04521e0e928ad2fd7";
const AUDIT: &str = "plugins:\n  audit_sink: { provider: in-memory, implementation: stdout }\n";

fn one_child() -> Result<Arc<Workspace>> {
    let servers = configuration(&[("child", fixture_on_stdio(BINARY, &[])?)]);
    Ok(Arc::new(Workspace::new(&servers)?))
}

fn modern(further: Value) -> Value {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    if let (Some(params), Some(further)) = (params.as_object_mut(), further.as_object()) {
        params.extend(further.clone());
    }
    params
}

fn echo(text: &str) -> Value {
    json!({ "name": "echo", "arguments": { "text": text } })
}

#[tokio::test]
async fn standard_output_holds_nothing_but_messages() -> Result<()> {
    let config = configuration(&[("child", fixture_on_stdio(BINARY, &[])?)]);
    let workspace = Arc::new(Workspace::new(&format!("{AUDIT}{config}"))?);
    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    gateway.open().await?;
    let said = gateway.ask(1, "tools/call", echo("hi")).await?;
    assert!(said["result"].to_string().contains("hi"), "{said}");
    let said = gateway.ask(2, "tools/call", modern(echo("ho"))).await?;
    assert!(said["result"].to_string().contains("ho"), "{said}");
    gateway.close_input();
    let exit = gateway.end().await?;
    assert_eq!(exit.code, Some(0), "{:#?}", exit.stderr);
    assert_eq!(exit.stdout.len(), 3, "{:#?}", exit.stdout);
    let count = |part: &str| {
        exit.stderr
            .iter()
            .filter(|line| line.contains(part))
            .count()
    };
    assert_eq!(count("writes to standard error"), 1, "{:#?}", exit.stderr);
    assert_eq!(
        count(r#""event_type":"tool_call""#),
        2,
        "{:#?}",
        exit.stderr
    );
    assert_eq!(
        count(r#""event_type":"session_end""#),
        1,
        "{:#?}",
        exit.stderr
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_next_one_is_answered() -> Result<()> {
    let workspace = one_child()?;
    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    gateway.write(b"garbage\n\n[1,\n").await?;
    let long = "x".repeat(17 * 1024 * 1024);
    gateway
        .write(format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{long}\"}}\n").as_bytes())
        .await?;
    gateway.write(b"{\"id\":7}\n").await?;
    gateway.open().await?;
    // The last line has no end.
    let last = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": echo("last") });
    gateway.write(last.to_string().as_bytes()).await?;
    gateway.close_input();
    let said = gateway.answer(&json!(9)).await?;
    assert!(said["result"].to_string().contains("last"), "{said}");
    let exit = gateway.end().await?;
    let messages: Vec<Value> = exit
        .stdout
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused = messages.iter().filter(|message| message["id"].is_null());
    let codes: Vec<_> = refused
        .map(|message| message["error"]["code"].as_i64())
        .collect();
    assert_eq!(
        codes,
        [-32700, -32700, -32700, -32600].map(Some),
        "{messages:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_end_of_the_input_is_the_end_of_everything() -> Result<()> {
    let workspace = one_child()?;
    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    gateway.open().await?;
    gateway.wait_for_tool("echo").await?;
    gateway.close_input();
    let exit = gateway.end().await?;
    assert_eq!(exit.code, Some(0), "{:#?}", exit.stderr);
    assert!(exit.took < Duration::from_secs(3), "{:?}", exit.took);
    assert!(!workspace.data().join("control.sock").exists());

    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    gateway.open().await?;
    gateway.terminate()?;
    let exit = gateway.end().await?;
    assert_eq!(exit.code, Some(0), "{:#?}", exit.stderr);

    // A client that is gone is noticed by whoever writes to it.
    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    gateway.open().await?;
    gateway.stdout.hang_up();
    for id in 1..3 {
        let ping = json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
        if gateway.send(&ping).await.is_err() {
            break;
        }
    }
    let exit = gateway.end().await?;
    assert_eq!(exit.code, Some(0), "{:#?}", exit.stderr);
    Ok(())
}

#[tokio::test]
async fn a_second_client_is_bridged_and_goes_on_when_the_first_is_killed() -> Result<()> {
    let workspace = one_child()?;
    let mut first = StdioGateway::start(BINARY, &workspace)?;
    first.open().await?;
    first.wait_for_tool("echo").await?;
    let (mut second, mut third) = (
        StdioGateway::start(BINARY, &workspace)?,
        StdioGateway::start(BINARY, &workspace)?,
    );
    for bridge in [&mut second, &mut third] {
        bridge.open().await?;
        bridge.stderr.wait(&["bridging to the gateway"]).await?;
        let said = bridge.ask(1, "tools/call", echo("one")).await?;
        assert!(said["result"].to_string().contains("one"), "{said}");
    }
    let listen = json!({ "jsonrpc": "2.0", "id": "news", "method": "subscriptions/listen",
        "params": modern(json!({ "notifications": { "toolsListChanged": true } })) });
    second.send(&listen).await?;
    let acknowledged = "notifications/subscriptions/acknowledged";
    second
        .wait_for(|said| said["method"] == acknowledged)
        .await?;
    let waiting = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "wait", "arguments": {} } });
    second.send(&waiting).await?;
    first.stderr.wait(&["called wait"]).await?;
    first.kill().await?;

    // What was under way is lost, and said to be so; what comes next is carried out.
    let lost = second.answer(&json!(2)).await?;
    assert_eq!(lost["error"]["code"], 1001, "{lost}");
    for bridge in [&mut second, &mut third] {
        let said = bridge.ask(3, "tools/call", echo("two")).await?;
        assert!(said["result"].to_string().contains("two"), "{said}");
    }
    let leads = |bridge: &StdioGateway| bridge.stderr.text().contains("configuration in force");
    assert!(
        leads(&second) != leads(&third),
        "one of them is the gateway"
    );

    // The subscription goes on at the next gateway, without its client noticing.
    workspace.replace_config(&configuration(&[
        ("child", fixture_on_stdio(BINARY, &[])?),
        ("further", fixture_on_stdio(BINARY, &[])?),
    ]))?;
    let changed = "notifications/tools/list_changed";
    second.wait_for(|said| said["method"] == changed).await?;
    let begun = second.messages()?;
    let begun = begun.iter().filter(|said| said["method"] == acknowledged);
    assert_eq!(begun.count(), 1);
    for mut bridge in [second, third] {
        bridge.close_input();
        assert_eq!(bridge.end().await?.code, Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_the_gateway_forgot_is_opened_again() -> Result<()> {
    let workspace = one_child()?;
    let gateway = Gateway::builder(BINARY)
        .workspace(&workspace)
        .start()
        .await?;
    let mut bridge = StdioGateway::start(BINARY, &workspace)?;
    bridge.open().await?;
    bridge.wait_for_tool("echo").await?;
    // By another key no session id can be read.
    std::fs::remove_file(workspace.data().join("session.key"))?;
    assert_eq!(gateway.stop().await?.code, Some(0));
    bridge.stderr.wait(&["is gone"]).await?;
    bridge.stderr.wait(&["configuration in force"]).await?;
    let said = bridge.ask(1, "tools/call", echo("again")).await?;
    assert!(said["result"].to_string().contains("again"), "{said}");
    bridge.close_input();
    assert_eq!(bridge.end().await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_modern_call_that_is_taken_back_is_taken_back_at_its_server() -> Result<()> {
    let server = HttpFixture::start(Options::default()).await?;
    let config = configuration(&[("server", remote(&server.url()))]);
    let workspace = Arc::new(Workspace::new(&config)?);
    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    for (is_modern, id) in [(true, 1), (false, 2)] {
        let call = json!({ "name": "wait", "arguments": {} });
        let params = if is_modern { modern(call) } else { call };
        if !is_modern {
            gateway.open().await?;
        }
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        gateway.send(&call).await?;
        wait::until("the call", || async { server.waiting() == 1 }).await?;
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "requestId": id } });
        gateway.send(&cancel).await?;
        wait::until("its end", || async { server.waiting() == 0 }).await?;
    }
    let pong = gateway.ask(3, "ping", json!({})).await?;
    assert_eq!(pong["result"], json!({}));
    let answered = gateway.messages()?;
    let answered = answered
        .iter()
        .filter(|said| said["id"] == 1 || said["id"] == 2);
    assert_eq!(answered.count(), 0, "nobody waits for these any more");
    gateway.close_input();
    assert_eq!(gateway.end().await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_modern_client_without_headers_calls_tools_that_want_some() -> Result<()> {
    let options = Options {
        era: Eras::Modern,
        annotated: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let child = fixture_on_stdio(BINARY, &["--era", "modern", "--annotated"])?;
    let config = configuration(&[("remote", remote(&server.url())), ("child", child)]);
    let workspace = Arc::new(Workspace::new(&config)?);
    let mut gateway = StdioGateway::start(BINARY, &workspace)?;
    for (id, tool) in [(1, "remote__regional"), (2, "child__regional")] {
        let arguments = json!({ "region": "eu", "options": { "priority": 3 } });
        let call = modern(json!({ "name": tool, "arguments": arguments }));
        let said = gateway.ask(id, "tools/call", call).await?;
        assert_eq!(said["result"]["resultType"], "complete", "{said}");
    }
    gateway.close_input();
    assert_eq!(gateway.end().await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_key_comes_from_the_environment() -> Result<()> {
    let hash = "sha256:3e4c7261f3948fb2a188d5eb4a8228ecfab5585dac918531805c12749d61ba31";
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": hash }]);
    let provider = json!({ "provider": "in-memory", "implementation": "api-key",
        "settings": { "keys": keys } });
    let config = json!({ "plugins": { "auth_provider": provider }, "servers": {} }).to_string();
    let workspace = Workspace::new(&config)?;
    let words = command(BINARY, &workspace, "/mcp");
    let mut gateway = StdioGateway::run(&words, &[("MCP_GATEWAY_API_KEY", KEY)])?;
    assert!(gateway.open().await?["result"].is_object());
    let mut without = StdioGateway::run(&words, &[])?;
    let refused = without.open().await?;
    assert_eq!(refused["error"]["code"], 1004, "{refused}");
    for mut gateway in [gateway, without] {
        gateway.close_input();
        assert_eq!(gateway.end().await?.code, Some(0));
    }
    Ok(())
}
