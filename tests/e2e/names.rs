//! How tools are called where several servers are shown: odd names, long names, the same name twice.

use anyhow::Result;
use gateway_tests::servers::configuration;
use gateway_tests::{Era, Gateway, Session};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// A legacy server with these tools, each of which answers with its name and the server's.
fn server(name: &str, tools: &[&str]) -> Value {
    let tools: Vec<_> = tools
        .iter()
        .map(|tool| json!({ "name": tool, "inputSchema": { "type": "object" } }))
        .collect();
    let greeting = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "tools": {} },
        "serverInfo": { "name": name, "version": "1" },
    });
    let script = r#"
        answer() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
        while read -r line; do
            id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
            tool=$(printf '%s' "$line" | sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
            case $line in
                *'"initialize"'*) answer "\"result\":$GREETING" ;;
                *'"tools/list"'*) answer "\"result\":{\"tools\":$TOOLS}" ;;
                *'"tools/call"'*) answer "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"$tool of $NAME\"}]}" ;;
                *'"id"'*) answer '"error":{"code":-32601,"message":"no such method"}' ;;
            esac
        done"#;
    let variables = json!({
        "NAME": name,
        "GREETING": greeting.to_string(),
        "TOOLS": json!(tools).to_string(),
    });
    json!({ "type": "command", "command": "sh", "args": ["-c", script], "env": variables })
}

async fn start(servers: &[(&str, &[&str])]) -> Result<Gateway> {
    let servers: Vec<_> = servers
        .iter()
        .map(|(name, tools)| (*name, server(name, tools)))
        .collect();
    let gateway = Gateway::builder(BINARY).config(configuration(&servers));
    gateway.start().await
}

#[tokio::test]
async fn every_listed_name_calls_the_tool_that_it_was_listed_for() -> Result<()> {
    let long = "x".repeat(100);
    let longer = format!("{long}y");
    // As long as a name may be without being shortened.
    let just_fits = "z".repeat(64 - "a__".len());
    let tools: [&str; 8] = [
        "same",
        "_b",
        "b__c",
        "__",
        "größe/π x",
        &long,
        &longer,
        &just_fits,
    ];
    let gateway = start(&[("a", &tools), ("a-b", &tools), ("b", &["same", "c"])]).await?;
    for server in ["a", "a-b", "b"] {
        gateway
            .wait_for_tool("/mcp", &format!("{server}__same"))
            .await?;
    }
    for era in Era::BOTH {
        let session = Session::open(era, &gateway.url("/mcp")).await?;
        let names = session.tool_names().await?;
        assert_eq!(names.len(), 8 + 8 + 2, "{names:?}");
        assert!(
            names.iter().all(|name| name.chars().count() <= 64),
            "{names:?}"
        );
        let expected = ["a", "a-b"]
            .iter()
            .flat_map(|server| tools.iter().map(move |tool| format!("{tool} of {server}")));
        let expected = expected.chain(["same of b".to_owned(), "c of b".to_owned()]);
        for (name, expected) in names.iter().zip(expected) {
            // The raw client of the modern era would have to encode the name for its header.
            if era == Era::Modern && !name.is_ascii() {
                continue;
            }
            assert_eq!(
                session.call_text(name, json!({})).await?,
                expected,
                "{name}"
            );
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_belongs_to_nobody_calls_nobody() -> Result<()> {
    let gateway = start(&[("a", &["same"]), ("b", &["same"])]).await?;
    gateway.wait_for_tool("/mcp", "a__same").await?;
    let session = Session::open(Era::Legacy, &gateway.url("/mcp")).await?;
    for name in ["same", "", "__same", "c__same", "A__same", "a_same"] {
        let answer = session.call(name, json!({})).await?;
        assert_eq!(answer.error_code()?, -32602, "{name}: {}", answer.text());
    }
    gateway.stop().await?;
    Ok(())
}
