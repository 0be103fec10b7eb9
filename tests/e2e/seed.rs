//! The documented configuration for Kubernetes, each plugin in a process of its own: one says who calls, one decides, one
//! keeps credentials, one puts them into requests, and one records. Three of them are the examples, in both languages.

#![expect(
    clippy::indexing_slicing,
    reason = "documents are made here, and an index into an answer gives null where there is nothing"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::examples::{Language, Served, home};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::home::Home;
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

/// Every plugin in a process of its own.
struct Stage {
    workspace: Arc<Workspace>,
    /// Where the audit sink writes.
    recorded: Home,
    examples: Vec<(&'static str, Served)>,
    served: Vec<PluginServer>,
    socket: PathBuf,
}

impl Stage {
    async fn start() -> Result<Self> {
        let python = home(BINARY, Language::Python)?;
        let typescript = home(BINARY, Language::TypeScript)?;
        let rules = json!([
            { "effect": "deny", "tools": ["whoami"] },
            { "effect": "allow", "users": ["ada", "bob"], "servers": ["one"] },
        ]);
        typescript.write("rules.json", &json!({ "rules": rules }).to_string())?;
        let python_serves = |example| Served::start(&python, Language::Python, example);
        let policy = Served::start(&typescript, Language::TypeScript, "policy")?;
        let examples = vec![
            ("auth_provider", python_serves("api_key_provider")?),
            ("policy_evaluator", policy),
            ("audit_sink", python_serves("audit_sink")?),
        ];
        let workspace = Arc::new(Workspace::new("")?);
        for name in ["secrets/default", "sockets", "plugin-data"] {
            std::fs::create_dir_all(workspace.path().join(name))?;
        }
        let token = workspace.path().join("secrets/default/token");
        std::fs::write(&token, secret("plugin-token"))?;
        let mut stage = Self {
            socket: workspace.path().join("sockets/credentials.sock"),
            workspace,
            recorded: python,
            examples,
            served: Vec::new(),
        };
        stage.serve_credentials().await?;
        Ok(stage)
    }

    /// The storage at a socket, and the proxy at a port, which asks it as the gateway would: over MCP. Over the socket,
    /// which the test's client does not speak, nothing is stored: another one has the same file.
    async fn serve_credentials(&mut self) -> Result<()> {
        let vault = json!({ "provider": "in-memory", "implementation": "encrypted-file" });
        let vault = json!({ "credential_storage": vault });
        let at_socket = ["--socket", self.socket.to_str().context("a path")?];
        let at_port = ["--listen", "127.0.0.1:0"];
        let name = "credstore-encrypted-file";
        let storage = serve(&self.workspace, name, &vault, &at_socket).await?;
        let elsewhere = serve(&self.workspace, name, &vault, &at_port).await?;
        store(&elsewhere, "ada", &secret("of-ada")).await?;
        let token = self.workspace.path().join("secrets/default/token");
        let auth = json!({ "bearer": { "from_file": token } });
        let server = json!({ "type": "sidecar", "socket": self.socket, "auth": auth });
        let bearer = json!({
            "auth_proxy": { "provider": "in-memory", "implementation": "bearer" },
            "credential_storage": { "provider": "mcp", "server": server },
        });
        let proxy = serve(&self.workspace, "authproxy-bearer", &bearer, &at_port).await?;
        self.served = vec![proxy, storage, elsewhere];
        Ok(())
    }

    /// The seed's document with these plugins, in front of this server.
    fn document(&self, server: &HttpFixture) -> Result<Value> {
        let auth = json!({ "bearer": { "from_file": "token" } });
        let examples = self.examples.iter().map(|(kind, example)| {
            let server = json!({ "type": "remote", "endpoint": example.url, "auth": auth });
            (*kind, server)
        });
        let mut servers: Vec<_> = examples.collect();
        let proxy = self.served.first().context("no proxy")?;
        let proxy = json!({ "type": "sidecar", "port": port(proxy.url())?, "auth": auth });
        servers.push(("auth_proxy", proxy));
        let storage = json!({ "type": "sidecar", "socket": self.socket, "auth": auth });
        servers.push(("credential_storage", storage));
        let mut document = seed(&servers)?;
        let mut one = remote(&server.url());
        one["credentials"] = "required".into();
        document["servers"] = json!({ "one": one });
        Ok(document)
    }

    async fn stop(self) -> Result<()> {
        for plugin in self.served {
            plugin.stop().await?;
        }
        Ok(())
    }
}

/// What each of three people is let do.
async fn use_it(url: &str) -> Result<()> {
    for era in Era::BOTH {
        let ada = Session::open_with(era, url, &[("x-api-key", &secret("ada"))]).await?;
        ada.wait_for_tool("echo").await?;
        ensure!(!ada.tool_names().await?.contains(&"whoami".to_owned()));
        let said = ada.call_text("echo", json!({ "message": "hello" })).await?;
        ensure!(said.contains("hello"), "{said}");
        let denied = ada.call("whoami", json!({})).await?;
        ensure!(denied.result().is_err(), "{}", denied.text());
        // Bob is let in and allowed, and has stored nothing.
        let bob = Session::open_with(era, url, &[("x-api-key", &secret("bob"))]).await?;
        let without = bob.call("echo", json!({ "message": "hello" })).await?;
        ensure!(without.text().contains("credential"), "{}", without.text());
    }
    let eve = Session::open_with(Era::Modern, url, &[("x-api-key", &secret("eve"))]).await?;
    let refused = eve.request("tools/list", json!({})).await?;
    ensure!(
        refused.status == StatusCode::UNAUTHORIZED,
        "{}",
        refused.text()
    );
    Ok(())
}

#[tokio::test]
async fn one_lets_in_one_decides_one_injects_and_one_records() -> Result<()> {
    let stage = Stage::start().await?;
    let server = HttpFixture::start(Options {
        bearers: vec![secret("of-ada")],
        ..Options::default()
    })
    .await?;
    let control = ControlPlane::start(BINARY, &stage.workspace).await?;
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
    let exit = control.apply(&stage.document(&server)?.to_string()).await?;
    ensure!(exit.code == Some(0), "{:?}", exit.stderr);
    data.wait_until_ready().await?;

    use_it(&data.url("/mcp")).await?;

    let folder = stage.recorded.path();
    for (user, tool, result) in [
        ("ada", "echo", "ok"),
        ("ada", "whoami", "denied"),
        ("bob", "echo", "denied"),
    ] {
        let recorded = has_recorded(folder, |event| {
            event["user_id"] == user && event["tool"] == tool && event["result"] == result
        });
        recorded.await.with_context(|| format!("{user} {tool}"))?;
    }
    let is_of_eve =
        |event: &Value| event["event_type"] == "tool_list" && event["result"] == "denied";
    has_recorded(folder, is_of_eve).await?;
    let plugins = format!("http://{}/plugins", data.operations());
    let states = RawClient::default().get(&plugins).await?.text();
    ensure!(
        states.matches(r#""state":"ready""#).count() >= 4,
        "{states}"
    );

    data.process.stop().await?;
    control.process.stop().await?;
    stage.stop().await
}
