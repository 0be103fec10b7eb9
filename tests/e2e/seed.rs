//! The documented configuration for Kubernetes, each plugin in a process of its own: one says who calls, one decides, one
//! keeps credentials, one puts them into requests, and one records. Three of them are the examples, in both languages.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::examples::{Language, Served, home};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, join_token};
use gateway_tests::raw::RawClient;
use gateway_tests::secrets::secret;
use gateway_tests::servers::remote;
use gateway_tests::wait::until;
use gateway_tests::{Era, PluginServer, Session, Workspace};
use http::StatusCode;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SEED: &str = include_str!("../../plugins/tests/examples/kubernetes.yaml");

/// `plugin serve`, whose callers show the token that the examples ask for too.
async fn serve(
    workspace: &Workspace,
    implementation: &str,
    document: &Value,
    way: &[&str],
) -> Result<PluginServer> {
    let token = workspace.path().join("secrets/default/token");
    let token = token.to_str().context("a path")?;
    let flags = [way, &["--bearer-file", token]].concat();
    PluginServer::start(BINARY, workspace.path(), (implementation, document), &flags).await
}

/// The number of the port in a URL.
fn port(url: &str) -> Result<u16> {
    let (_, port) = url
        .trim_end_matches("/mcp")
        .rsplit_once(':')
        .context("no port")?;
    Ok(port.parse()?)
}

/// Stores a credential at a plugin, as whoever provisions users does.
async fn store(plugin: &PluginServer, user: &str, value: &str) -> Result<()> {
    let arguments = json!({
        "user_id": user,
        "tenant_id": "default",
        "mcp_server": "one",
        "credential_type": "bearer",
        "value": value,
    });
    let params = json!({ "name": "store_credential", "arguments": arguments });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let bearer = format!("Bearer {}", secret("plugin-token"));
    let headers = [("authorization", bearer.as_str())];
    let client = RawClient::default();
    let answer = client
        .post(plugin.url(), &headers, message.to_string())
        .await?;
    ensure!(answer.result()?["isError"] == false, "{}", answer.text());
    Ok(())
}

/// The seed's document, as far as each kind of plugin is over MCP there or stands beside it, with these servers instead.
fn seed(servers: &[(&str, Value)]) -> Result<Value> {
    let config = gateway_core::config::load_yaml(SEED)?;
    let mut document = json!({ "plugins": serde_json::to_value(&config.plugins)? });
    for (kind, server) in servers {
        let plugin = &mut document["plugins"][*kind];
        ensure!(plugin.is_object(), "the seed has no {kind}");
        *plugin = json!({ "provider": "mcp", "server": server });
    }
    Ok(document)
}

async fn has_recorded(folder: &Path, fits: impl Fn(&Value) -> bool) -> Result<()> {
    until("an event at the audit sink", || async {
        let events = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap_or_default();
        let mut events = events
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        events.any(|event: Value| fits(&event))
    })
    .await
}

#[tokio::test]
async fn one_lets_in_one_decides_one_injects_and_one_records() -> Result<()> {
    let (python, typescript) = (
        home(BINARY, Language::Python)?,
        home(BINARY, Language::TypeScript)?,
    );
    let rules = json!([
        { "effect": "deny", "tools": ["whoami"] },
        { "effect": "allow", "users": ["ada", "bob"], "servers": ["one"] },
    ]);
    typescript.write("rules.json", &json!({ "rules": rules }).to_string())?;
    let authentication = Served::start(&python, Language::Python, "api_key_provider")?;
    let policy = Served::start(&typescript, Language::TypeScript, "policy")?;
    let audit = Served::start(&python, Language::Python, "audit_sink")?;

    let workspace = Arc::new(Workspace::new("")?);
    let folder = workspace.path();
    for name in ["secrets/default", "sockets", "plugin-data"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    std::fs::write(folder.join("secrets/default/token"), secret("plugin-token"))?;
    let vault = json!({ "provider": "in-memory", "implementation": "encrypted-file" });
    let vault = json!({ "credential_storage": vault });
    let socket = folder.join("sockets/credentials.sock");
    let at_socket = ["--socket", socket.to_str().context("a path")?];
    let credentials = serve(&workspace, "credstore-encrypted-file", &vault, &at_socket).await?;
    // The proxy asks the storage, as the gateway would: over MCP.
    let auth = json!({ "bearer": { "from_file": folder.join("secrets/default/token") } });
    let storage = json!({ "type": "sidecar", "socket": socket, "auth": auth });
    let bearer = json!({
        "auth_proxy": { "provider": "in-memory", "implementation": "bearer" },
        "credential_storage": { "provider": "mcp", "server": storage },
    });
    let at_port = ["--listen", "127.0.0.1:0"];
    let injection = serve(&workspace, "authproxy-bearer", &bearer, &at_port).await?;

    let auth = json!({ "bearer": { "from_file": "token" } });
    let at = |url: &str| json!({ "type": "remote", "endpoint": url, "auth": auth });
    let proxy = json!({ "type": "sidecar", "port": port(injection.url())?, "auth": auth });
    let storage = json!({ "type": "sidecar", "socket": socket, "auth": auth });
    let mut document = seed(&[
        ("auth_provider", at(&authentication.url)),
        ("credential_storage", storage),
        ("auth_proxy", proxy),
        ("policy_evaluator", at(&policy.url)),
        ("audit_sink", at(&audit.url)),
    ])?;
    let server = HttpFixture::start(Options {
        bearers: vec![secret("of-ada")],
        ..Options::default()
    })
    .await?;
    let mut one = remote(&server.url());
    one["credentials"] = "required".into();
    document["servers"] = json!({ "one": one });

    let control = ControlPlane::start(BINARY, &workspace).await?;
    let flags = [
        "--secret-dir",
        "secrets",
        "--socket-dir",
        "sockets",
        "--audit-spool",
        "spool",
    ];
    let flags = [&LOOPBACK[..], &flags].concat();
    let data = DataPlane::start_with(BINARY, &control, &join_token(), &flags).await?;
    let exit = control.apply(&document.to_string()).await?;
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    data.wait_until_ready().await?;

    // Over the socket, which the test's client does not speak, ada's is stored by way of another one that has the same file.
    let elsewhere = serve(&workspace, "credstore-encrypted-file", &vault, &at_port).await?;
    store(&elsewhere, "ada", &secret("of-ada")).await?;

    let url = data.url("/mcp");
    for era in Era::BOTH {
        let ada = Session::open_with(era, &url, &[("x-api-key", &secret("ada"))]).await?;
        ada.wait_for_tool("echo").await?;
        ensure!(!ada.tool_names().await?.contains(&"whoami".to_owned()));
        let said = ada.call_text("echo", json!({ "message": "hello" })).await?;
        ensure!(said.contains("hello"), "{said}");
        let denied = ada.call("whoami", json!({})).await?;
        ensure!(denied.result().is_err(), "{}", denied.text());
        // Bob is let in and allowed, and has stored nothing.
        let bob = Session::open_with(era, &url, &[("x-api-key", &secret("bob"))]).await?;
        let without = bob.call("echo", json!({ "message": "hello" })).await?;
        ensure!(without.text().contains("credential"), "{}", without.text());
    }
    let eve = Session::open_with(Era::Modern, &url, &[("x-api-key", &secret("eve"))]).await?;
    let refused = eve.request("tools/list", json!({})).await?;
    ensure!(
        refused.status == StatusCode::UNAUTHORIZED,
        "{}",
        refused.text()
    );

    for (user, tool, result) in [
        ("ada", "echo", "ok"),
        ("ada", "whoami", "denied"),
        ("bob", "echo", "denied"),
    ] {
        let recorded = has_recorded(python.path(), |event| {
            event["user_id"] == user && event["tool"] == tool && event["result"] == result
        });
        recorded.await.with_context(|| format!("{user} {tool}"))?;
    }
    has_recorded(python.path(), |event| {
        event["event_type"] == "tool_list" && event["result"] == "denied"
    })
    .await?;
    let plugins = format!("http://{}/plugins", data.operations());
    let states = RawClient::default().get(&plugins).await?.text();
    ensure!(
        states.matches(r#""state":"ready""#).count() >= 4,
        "{states}"
    );

    data.process.stop().await?;
    control.process.stop().await?;
    for plugin in [credentials, injection, elsewhere] {
        plugin.stop().await?;
    }
    Ok(())
}
