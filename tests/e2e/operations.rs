//! The operations endpoints: what `/servers` and `/config` say, and what they do not.

use anyhow::{Context as _, Result};
use gateway_tests::Gateway;
use gateway_tests::home::Home;
use gateway_tests::raw::RawClient;
use gateway_tests::servers::{configuration, fixture_on_stdio};
use gateway_tests::wait;
use http::Method;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// Stands in every place of the configuration where somebody might write a secret.
const SECRET: &str = "zqhunter2zq";

async fn asked(gateway: &Gateway, path: &str) -> Result<String> {
    let url = gateway.operations_url(path).await?;
    let answer = RawClient::default()
        .send(Method::GET, &url, &[], "")
        .await?;
    Ok(String::from_utf8(answer.body.to_vec())?)
}

async fn servers(gateway: &Gateway) -> Result<Value> {
    Ok(serde_json::from_str(&asked(gateway, "/servers").await?)?)
}

fn config() -> Result<String> {
    let fixture = fixture_on_stdio(BINARY, &["--name", "x"])?;
    let child = json!({
        "type": "command",
        "command": fixture.get("command"),
        "args": fixture.get("args"),
        "env": { "ANY": SECRET, "HOME_TOKEN": { "from_file": "gateway.yaml" } },
    });
    let gone = json!({
        "type": "remote",
        "endpoint": format!("http://127.0.0.1:1/mcp?key={SECRET}"),
        "headers": { "x-any": SECRET },
    });
    Ok(configuration(&[("child", child), ("gone", gone)]))
}

#[tokio::test]
async fn servers_tells_of_tools_and_of_the_last_error() -> Result<()> {
    let gateway = Gateway::builder(BINARY).config(config()?).start().await?;
    let is_settled = |said: &Value| {
        let row = |at| said.pointer(at).cloned().unwrap_or_default();
        row("/servers/0/state") == "ready" && row("/servers/1/state") == "down"
    };
    let said = wait::until_some("both servers", || async {
        servers(&gateway).await.ok().filter(is_settled)
    })
    .await?;
    let child = &said["servers"][0];
    assert_eq!(child["type"], "command", "{child}");
    assert_eq!(child["tools"]["count"], 6, "{child}");
    assert_eq!(child["tools"]["names"][0], "child__echo", "{child}");
    assert_eq!(child["last_error"], Value::Null);
    let gone = &said["servers"][1];
    assert_eq!(gone["tools"], Value::Null);
    assert_eq!(gone["last_error"]["reason"], gone["reason"]);
    let at = gone["last_error"]["at"].as_str().context("a time")?;
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn config_shows_what_is_in_force_without_its_secrets() -> Result<()> {
    let gateway = Gateway::builder(BINARY).config(config()?).start().await?;
    for path in ["/config", "/servers", "/metrics"] {
        let said = asked(&gateway, path).await?;
        assert!(!said.contains(SECRET), "{path}: {said}");
    }
    let said: Value = serde_json::from_str(&asked(&gateway, "/config").await?)?;
    assert_eq!(said["listeners"]["mcp"], gateway.address().to_string());
    assert_eq!(said["limits"]["request_timeout_seconds"], 300.0);
    let tenant = &said["tenants"][0];
    assert_eq!(
        (&tenant["tenant"], &tenant["revision"]),
        (&json!("default"), &json!(1))
    );
    let servers = &tenant["config"]["servers"];
    assert_eq!(
        servers["child"]["env"],
        json!({ "ANY": "(hidden)", "HOME_TOKEN": { "from_file": "gateway.yaml" } })
    );
    assert_eq!(
        servers["gone"]["endpoint"],
        "http://127.0.0.1:1/mcp?(hidden)"
    );
    assert_eq!(servers["gone"]["headers"], json!({ "x-any": "(hidden)" }));

    let since = tenant["in_force_since"].clone();
    gateway.apply_config("servers: {}\n").await?;
    let said: Value = serde_json::from_str(&asked(&gateway, "/config").await?)?;
    let tenant = &said["tenants"][0];
    assert_eq!(tenant["revision"], 2);
    assert!(
        tenant["in_force_since"].as_str() > since.as_str(),
        "{tenant}"
    );

    let url = gateway.operations_url("/config").await?;
    let foreign = [("origin", "http://evil.example")];
    let refused = RawClient::default()
        .send(Method::GET, &url, &foreign, "")
        .await?;
    assert_eq!(refused.status, 403);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn server_list_shows_how_the_servers_of_its_file_are() -> Result<()> {
    let gateway = Gateway::builder(BINARY).config(config()?).start().await?;
    let home = Home::new(BINARY)?;
    let (file, data) = (gateway.workspace.config(), gateway.workspace.data());
    let (file, data) = (
        file.to_str().context("text")?,
        data.to_str().context("text")?,
    );
    let list = |file: &str| -> Result<Vec<Value>> {
        let said = home.ok(&[
            "server",
            "list",
            "-o",
            "json",
            "--config",
            file,
            "--data-dir",
            data,
        ])?;
        Ok(serde_json::from_str(&said)?)
    };
    let rows = wait::until_some("both servers", || async {
        let rows = list(file).ok()?;
        let states: Vec<_> = rows.iter().map(|row| row["state"].clone()).collect();
        (states == ["ready", "failed"]).then_some(rows)
    })
    .await?;
    assert_eq!(rows[0]["tools"], 6);
    let reason = rows[1]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("cannot connect"), "{reason}");

    // Of another file only what is the same is known.
    let other = config()?.replace("127.0.0.1:1/mcp", "127.0.0.1:2/mcp");
    let other = home.write("other.yaml", &other)?;
    let other = other.to_str().context("text")?;
    let rows = list(other)?;
    assert_eq!(
        (&rows[0]["state"], &rows[1]["state"]),
        (&json!("ready"), &json!("-"))
    );

    gateway.stop().await?;
    assert_eq!(list(other)?[0]["state"], "not running");
    Ok(())
}
