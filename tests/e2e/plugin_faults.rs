//! Plugins that hang, break off, flood, lie, end and come back: what that costs their own tenant, and that it costs nobody
//! else anything.

#![expect(
    clippy::indexing_slicing,
    reason = "documents are made here, and an index into an answer gives null where there is nothing"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_core::plugin::PluginKind;
use gateway_tests::faulty_way::{Fault, FaultyWay};
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::planes::{ControlPlane, DataPlane, LOOPBACK, join_token};
use gateway_tests::raw::{Answer, RawClient};
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, secret};
use gateway_tests::servers::remote;
use gateway_tests::{Era, PluginServer, Session, Workspace, wait};
use serde_json::{Value, json};
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The longest that a plugin is given for a call.
const TIMEOUT: Duration = Duration::from_millis(800);

/// How long a request may take whose plugin does not answer: each of those that it needs may take its time. Far beyond
/// what it does take, since machines that run tests are busy, and far below the time for a request.
const WITHIN: Duration = Duration::from_secs(10);

/// The kinds of plugins, each of which is served in a process of its own, behind a way that can be faulty.
const KINDS: [PluginKind; 5] = [
    PluginKind::AuthProvider,
    PluginKind::CredentialStorage,
    PluginKind::AuthProxy,
    PluginKind::PolicyEvaluator,
    PluginKind::Telemetry,
];

/// A tenant all of whose plugins are MCP servers, and one beside it that has none.
struct Stage {
    control: ControlPlane,
    data: DataPlane,
    server: HttpFixture,
    /// Of the tenant that has no such plugins.
    beside: HttpFixture,
    workspace: Arc<Workspace>,
    ways: Vec<(PluginKind, FaultyWay, PluginServer)>,
}

/// What the gateway's own token for plugins is called.
const TOKEN: &str = "of-the-plugins";

/// An implementation of a kind, and the document that it is served with.
fn served(kind: PluginKind) -> (&'static str, Value) {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let in_memory = |implementation: &str, settings: Value| json!({ "provider": "in-memory", "implementation": implementation, "settings": settings });
    let vault = in_memory("encrypted-file", json!({}));
    match kind {
        PluginKind::AuthProvider => (
            "api-key",
            json!({ "auth_provider": in_memory("api-key", json!({ "keys": keys })) }),
        ),
        PluginKind::CredentialStorage => (
            "credstore-encrypted-file",
            json!({ "credential_storage": vault }),
        ),
        PluginKind::AuthProxy => (
            "authproxy-bearer",
            json!({ "auth_proxy": in_memory("bearer", json!({})), "credential_storage": vault }),
        ),
        PluginKind::PolicyEvaluator => {
            let rules = json!([{ "effect": "allow", "names": ["echo"] }]);
            let rules = in_memory("rules", json!({ "rules": rules }));
            ("rules", json!({ "policy_evaluator": rules }))
        }
        _ => ("telemetry-noop", json!({})),
    }
}

impl Stage {
    async fn start() -> Result<Self> {
        let workspace = Arc::new(Workspace::new("")?);
        let folder = workspace.path();
        std::fs::create_dir_all(folder.join("plugin-data"))?;
        for tenant in ["acme", "vault"] {
            let secrets = folder.join("secrets").join(tenant);
            std::fs::create_dir_all(&secrets)?;
            std::fs::write(secrets.join("token"), secret(TOKEN))?;
        }
        let server = HttpFixture::start(Options {
            bearers: vec![secret("of-ada")],
            ..Options::default()
        })
        .await?;
        let mut ways = Vec::new();
        for kind in KINDS {
            let plugin = start_plugin(folder, kind, "127.0.0.1:0").await?;
            if kind == PluginKind::CredentialStorage {
                store(&plugin).await?;
            }
            ways.push((kind, FaultyWay::to(plugin.url()).await?, plugin));
        }
        let control = ControlPlane::start(BINARY, &workspace).await?;
        let token = join_token();
        let variables = [("MCP_GATEWAY_JOIN_TOKEN", token.as_str())];
        let flags = [&LOOPBACK[..], &["--secret-dir", "secrets"]].concat();
        let planes = [control.url()];
        let data = DataPlane::start_at(BINARY, &workspace, &planes, &variables, &flags).await?;
        let stage = Self {
            control,
            data,
            server,
            beside: HttpFixture::start(Options::default()).await?,
            workspace,
            ways,
        };
        let urls: Vec<_> = stage
            .ways
            .iter()
            .map(|(kind, way, _)| (*kind, way.url()))
            .collect();
        stage.configure(&urls).await?;
        stage.data.wait_until_ready().await?;
        Ok(stage)
    }

    /// Has the tenants' plugins be at these addresses.
    async fn configure(&self, urls: &[(PluginKind, String)]) -> Result<()> {
        let mut plugins = serde_json::Map::new();
        for (kind, url) in urls {
            let auth = json!({ "bearer": { "from_file": "token" } });
            let server = json!({ "type": "remote", "endpoint": url, "auth": auth });
            let timeout = format!("{}ms", TIMEOUT.as_millis());
            let plugin = json!({ "provider": "mcp", "server": server, "timeout": timeout });
            plugins.insert(kind.as_str().to_owned(), plugin);
        }
        let mut one = remote(&self.server.url());
        one["credentials"] = "required".into();
        // The proxy over MCP has a storage of its own.
        let mut vault = gateway_tests::planes::acme(&self.server);
        vault["tenant"] = "vault".into();
        vault["servers"]["one"] = one.clone();
        let storage = PluginKind::CredentialStorage.as_str();
        vault["plugins"][storage] = plugins.remove(storage).context("no storage")?;
        vault["plugins"]["auth_proxy"] =
            json!({ "provider": "in-memory", "implementation": "bearer" });
        let acme = json!({ "tenant": "acme", "plugins": plugins, "servers": { "one": one } });
        for document in [acme, vault, gateway_tests::planes::acme(&self.beside)] {
            let mut document = document;
            if document["servers"]["one"].get("credentials").is_none() {
                document["tenant"] = "beside".into();
            }
            self.apply(&document).await?;
        }
        Ok(())
    }

    async fn apply(&self, document: &Value) -> Result<()> {
        let exit = self.control.apply(&document.to_string()).await?;
        ensure!(exit.code == Some(0), "{:?}", exit.stderr);
        Ok(())
    }

    fn way(&self, kind: PluginKind) -> Result<&FaultyWay> {
        let found = self.ways.iter().find(|(known, ..)| *known == kind);
        Ok(&found.context("no such way")?.1)
    }

    async fn session(&self, tenant: &str) -> Result<Session> {
        let url = self.data.url(&format!("/t/{tenant}/mcp"));
        Session::open_with(Era::Modern, &url, &[("x-api-key", ADA_KEY)]).await
    }

    /// Calls until it goes well again.
    async fn recovers(&self, session: &Session) -> Result<()> {
        wait::until("the tenant to be served again", || async {
            session
                .call_text("echo", json!({ "text": "again" }))
                .await
                .is_ok()
        })
        .await
    }

    /// The plugins' states, as operators see them.
    async fn state(&self, kind: PluginKind) -> Result<String> {
        let url = format!("http://{}/plugins", self.data.operations());
        let plugins: Value = serde_json::from_slice(&RawClient::default().get(&url).await?.body)?;
        let rows = plugins["plugins"].as_array().context("no rows")?.iter();
        let wanted = format!("plugins.{kind}");
        let mut rows = rows.filter(|row| row["plugin"] == wanted.as_str());
        let row = rows.next().context("no such plugin")?;
        Ok(format!("{} {}", row["state"], row["reason"]))
    }

    async fn stop(self) -> Result<()> {
        self.data.process.stop().await?;
        self.control.process.stop().await?;
        for (_, _, plugin) in self.ways {
            plugin.stop().await?;
        }
        drop(self.workspace);
        Ok(())
    }
}

async fn start_plugin(folder: &Path, kind: PluginKind, listen: &str) -> Result<PluginServer> {
    let (implementation, document) = served(kind);
    let token = folder.join("secrets/acme/token");
    let token = token.to_str().context("a path")?;
    let flags = ["--listen", listen, "--bearer-file", token];
    PluginServer::start(BINARY, folder, (implementation, &document), &flags).await
}

/// Stores Ada's credential for the server where the plugins find it, as the gateway would for these tenants.
async fn store(plugin: &PluginServer) -> Result<()> {
    let bearer = format!("Bearer {}", secret(TOKEN));
    for tenant in ["acme", "vault"] {
        let arguments = json!({
            "user_id": "ada@example.com",
            "tenant_id": tenant,
            "mcp_server": "one",
            "credential_type": "bearer",
            "value": secret("of-ada"),
        });
        let params = json!({ "name": "store_credential", "arguments": arguments });
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let headers = [("authorization", bearer.as_str())];
        let client = RawClient::default();
        let answer = client
            .post(plugin.url(), &headers, message.to_string())
            .await?;
        ensure!(answer.result()?["isError"] == false, "{}", answer.text());
    }
    Ok(())
}

/// Somebody of the other tenant, who calls all the time.
struct Bystander {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Bystander {
    async fn start(stage: &Stage) -> Result<Self> {
        let session = stage.session("beside").await?;
        session.wait_for_tool("echo").await?;
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                session
                    .call_text("echo", json!({ "text": "beside" }))
                    .await?;
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        Ok(Self { stop, calls, task })
    }

    /// All its calls went well.
    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await??;
        Ok(self.calls.load(Ordering::SeqCst))
    }
}

/// Whose plugin it is.
fn tenant_of(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::CredentialStorage => "vault",
        _ => "acme",
    }
}

/// Whether a call with this fault on this plugin's way is refused. What only records is never waited for.
fn is_felt(kind: PluginKind, fault: Fault) -> bool {
    match kind {
        PluginKind::Telemetry => false,
        _ => fault != Fault::Nothing,
    }
}

async fn call(session: &Session) -> Result<(Answer, Duration)> {
    let began = Instant::now();
    let answer = session.call("echo", json!({ "text": "x" })).await?;
    Ok((answer, began.elapsed()))
}

/// Every kind of plugin with every fault.
#[tokio::test]
async fn each_fault_of_each_plugin_costs_its_own_tenant_a_clear_error_and_nobody_else_anything()
-> Result<()> {
    let stage = Stage::start().await?;
    let bystander = Bystander::start(&stage).await?;
    for kind in KINDS {
        let session = stage.session(tenant_of(kind)).await?;
        stage.recovers(&session).await?;
        for fault in Fault::ALL {
            stage.way(kind)?.set(fault);
            let calls = stage.server.calls();
            let (answer, took) = call(&session).await?;
            let said = answer.text();
            ensure!(took < WITHIN, "{kind} {fault:?} took {took:?}: {said}");
            let is_well = said.contains("\"isError\":false") || said.contains("x\"");
            if is_felt(kind, fault) {
                let message = answer.message()?;
                let error = message["error"]["message"].as_str();
                let error = error.with_context(|| format!("{kind} {fault:?}: {said}"))?;
                let names_it = error.contains(&format!("plugins.{kind}"));
                // Of two that give up at the same time, either may be the first to say so.
                ensure!(
                    names_it || error.contains("did not answer in time"),
                    "{error}"
                );
                ensure!(
                    stage.server.calls() == calls,
                    "{kind} {fault:?}: the server was asked"
                );
            } else {
                ensure!(is_well, "{kind} {fault:?}: {said}");
            }
            stage.way(kind)?.set(Fault::Nothing);
            stage.recovers(&session).await?;
        }
    }
    let calls = bystander.stop().await?;
    ensure!(calls > 0, "the bystander has not called");
    stage.stop().await
}

/// What a client says of its trace is told to each plugin, and nothing else of its request is in there.
#[tokio::test]
async fn plugins_are_told_of_the_trace() -> Result<()> {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let stage = Stage::start().await?;
    let url = stage.data.url("/t/acme/mcp");
    let headers = [("x-api-key", ADA_KEY), ("traceparent", TRACE)];
    let session = Session::open_with(Era::Modern, &url, &headers).await?;
    stage.recovers(&session).await?;
    for kind in [
        PluginKind::AuthProvider,
        PluginKind::AuthProxy,
        PluginKind::PolicyEvaluator,
    ] {
        let heard = stage.way(kind)?.heard();
        ensure!(
            heard["params"]["_meta"]["traceparent"] == TRACE,
            "{kind}: {}",
            heard["method"]
        );
    }
    stage.stop().await
}

/// As its process is killed, hangs, or is given another token.
#[tokio::test]
async fn each_plugin_is_down_until_it_is_back() -> Result<()> {
    let mut stage = Stage::start().await?;
    // To them directly.
    let urls = stage.ways.iter();
    let urls: Vec<_> = urls
        .map(|(kind, _, plugin)| (*kind, plugin.url().to_owned()))
        .collect();
    stage.configure(&urls).await?;
    for (kind, url) in urls {
        if kind != PluginKind::Telemetry {
            stage.ends_and_comes_back(kind, &url).await?;
        }
    }
    stage.stop().await
}

impl Stage {
    async fn ends_and_comes_back(&mut self, kind: PluginKind, url: &str) -> Result<()> {
        let session = self.session(tenant_of(kind)).await?;
        self.recovers(&session).await?;
        ensure!(self.state(kind).await?.contains("ready"), "{kind}");

        let place = self.ways.iter().position(|(known, ..)| *known == kind);
        let (_, way, plugin) = self.ways.remove(place.context("no such plugin")?);
        plugin.kill().await?;
        self.is_refused(&session, kind).await?;
        let state = self.state(kind).await?;
        ensure!(
            state.contains("down") && state.contains("cannot connect"),
            "{kind}: {state}"
        );
        // Nor is anything listed of which a policy, or who calls, is not known.
        let listed = session.request("tools/list", json!({})).await?;
        let is_needed = matches!(kind, PluginKind::AuthProvider | PluginKind::PolicyEvaluator);
        ensure!(
            !is_needed || !listed.text().contains("echo"),
            "{kind}: {}",
            listed.text()
        );

        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        let plugin = start_plugin(self.workspace.path(), kind, address).await?;
        self.recovers(&session).await?;
        ensure!(self.state(kind).await?.contains("ready"), "{kind}");

        plugin.freeze()?;
        self.is_refused(&session, kind).await?;
        plugin.thaw()?;
        self.recovers(&session).await?;

        // The plugin reads the tokens again once the file has settled, the gateway when it is refused.
        for tenant in ["acme", "vault"] {
            let token = self
                .workspace
                .path()
                .join("secrets")
                .join(tenant)
                .join("token");
            std::fs::write(token, secret(&format!("of-the-plugins-after-{kind}")))?;
        }
        plugin.stderr.wait(&["are read anew"]).await?;
        self.recovers(&session).await?;
        self.ways.push((kind, way, plugin));
        Ok(())
    }

    async fn is_refused(&self, session: &Session, kind: PluginKind) -> Result<()> {
        let (answer, took) = call(session).await?;
        let message = answer.message()?;
        let error = message["error"]["message"].as_str();
        let error = error.with_context(|| format!("{kind}: {}", answer.text()))?;
        let names_it = error.contains(&format!("plugins.{kind}"));
        ensure!(
            names_it || error.contains("did not answer in time"),
            "{kind}: {error}"
        );
        ensure!(took < WITHIN, "{kind}: {took:?}");
        Ok(())
    }
}
