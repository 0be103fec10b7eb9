//! Each trait's suite, run against implementations that `plugin serve` serves, by every way that there is. What is
//! found has to be what is found in memory.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "documents are made here, and names are spelt out"
)]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use gateway_core::config::{ServerSpec, Violation, load_yaml};
use gateway_core::plugin::{ItemKind, PluginKind, Plugins};
use gateway_core::{
    CallContext, Credential, Deadline, Principal, RequestId, SecretString, TenantId,
};
use gateway_data_plane::{Commands, Limits, Permits};
use gateway_mcp::client::{ClientError, ClientHello, Connector, HttpEndpoint, NetworkPolicy, Peer};
use gateway_mcp::version::{Era, Version};
use gateway_plugins::suite::{
    self, Access, Accounts, Finding, Injections, Keeping, ProxyCall, ReadBack, Report, Rules,
    Running, Verdict,
};
use gateway_plugins::{Dial, PluginServers, Registry, Role, SecretResolver, SpoolOptions};
use gateway_tests::plugin_server::{PluginServer, arguments};
use gateway_tests::secrets::{ADA_HASH, ADA_KEY, secret};
use gateway_tests::{Workspace, tls};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The ways to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    InMemory,
    /// With a token, in this era.
    Http(Era),
    Socket,
    Stdio,
}

const WAYS: [Way; 5] = [
    Way::InMemory,
    Way::Http(Era::Modern),
    Way::Http(Era::Legacy),
    Way::Socket,
    Way::Stdio,
];

fn permits(folder: &Path) -> Result<Permits> {
    let role = Role::Desktop {
        loopback_only: true,
    };
    Ok(Permits {
        registry: Registry::new(role)
            .with_data_dir(folder.join("plugin-data"))
            .with_audit_spool(SpoolOptions::in_folder(folder.join("spool"))),
        secrets: SecretResolver::desktop(),
        connector: Connector::new(NetworkPolicy::desktop())?,
        commands: Commands::Any,
        max_message_bytes: Limits::default().max_body_bytes,
        connects_at_once: true,
    })
}

/// Speaks to a plugin in one era only.
struct InEra {
    era: Era,
    endpoint: Arc<HttpEndpoint>,
}

#[async_trait]
impl Dial for InEra {
    async fn dial(&self, deadline: Deadline) -> Result<Peer, ClientError> {
        let hello = ClientHello {
            name: "tests".to_owned(),
            version: "1".to_owned(),
            capabilities: "{}".to_owned(),
            legacy_version: Version::LATEST_LEGACY,
        };
        Peer::connect_http(Arc::clone(&self.endpoint), hello, Some(self.era), deadline).await
    }
}

impl PluginServers for InEra {
    fn find(&self, _: &TenantId, _: &str, _: &ServerSpec) -> Result<Arc<dyn Dial>, Vec<Violation>> {
        Ok(Arc::new(Self {
            era: self.era,
            endpoint: Arc::clone(&self.endpoint),
        }))
    }
}

/// One implementation of one kind, with the document that it is served with.
struct Subject<'a> {
    kind: PluginKind,
    implementation: &'a str,
    /// Of several kinds that have one of this name, with the kind before it.
    served_as: &'a str,
    document: Value,
}

/// Plugins of which one is the subject, reached in one way, and what has to be kept meanwhile.
struct Reached {
    plugins: Plugins,
    /// With it its spools end.
    _registry: Registry,
    _server: Option<PluginServer>,
}

impl Subject<'_> {
    async fn reach(&self, way: Way, folder: &Path) -> Result<Reached> {
        let served = (self.served_as, &self.document);
        let permits = permits(folder)?;
        match way {
            Way::InMemory => {
                let mut document = self.document.clone();
                if document.get(self.kind.as_str()).is_none() {
                    document[self.kind.as_str()] =
                        json!({ "provider": "in-memory", "implementation": self.implementation });
                }
                build(folder, &permits, &document, None)
            }
            Way::Http(era) => {
                let token = folder.join("secrets/token");
                std::fs::create_dir_all(folder.join("secrets"))?;
                std::fs::write(&token, secret("of-the-plugin"))?;
                let flags = ["--listen", "127.0.0.1:0", "--bearer-file"];
                let token = token.to_str().context("a path")?;
                let flags = [&flags[..], &[token]].concat();
                let server = PluginServer::start(BINARY, folder, served, &flags).await?;
                let mut headers = HeaderMap::new();
                let mut bearer =
                    HeaderValue::try_from(format!("Bearer {}", secret("of-the-plugin")))?;
                bearer.set_sensitive(true);
                headers.insert(http::header::AUTHORIZATION, bearer);
                let (connector, limit) = (&permits.connector, permits.max_message_bytes);
                let endpoint = HttpEndpoint::new(server.url(), connector, headers, limit)?;
                let endpoint = Arc::new(endpoint);
                let servers = InEra { era, endpoint };
                let document = self.over_mcp(&json!(server.url()));
                build(folder, &servers, &document, Some(server))
            }
            Way::Socket => {
                let socket = folder.join("plugin.sock");
                let flags = ["--socket", socket.to_str().context("a path")?];
                let server = PluginServer::start(BINARY, folder, served, &flags).await?;
                let document = self.over_mcp(&json!({ "type": "sidecar", "socket": socket }));
                build(folder, &permits, &document, Some(server))
            }
            Way::Stdio => {
                let mut args = arguments(folder, self.served_as, &self.document)?;
                args.push("--stdio".into());
                let server = json!({ "type": "command", "command": BINARY, "args": args });
                build(folder, &permits, &self.over_mcp(&server), None)
            }
        }
    }

    fn over_mcp(&self, server: &Value) -> Value {
        let mut plugin = json!({ "provider": "mcp", "server": server, "timeout": "20s" });
        if self.kind == PluginKind::AuditSink {
            // When a call returns, the event is there.
            plugin["durability"] = "sink".into();
        }
        json!({ self.kind.as_str(): plugin })
    }
}

fn build(
    folder: &Path,
    servers: &dyn PluginServers,
    plugins: &Value,
    server: Option<PluginServer>,
) -> Result<Reached> {
    let config = load_yaml(&json!({ "plugins": plugins }).to_string())?;
    let registry = permits(folder)?.registry;
    let built = registry.build(&TenantId::default(), &config.plugins, servers);
    Ok(Reached {
        _registry: registry,
        plugins: built.map_err(|violations| anyhow::anyhow!("{violations:?}"))?,
        _server: server,
    })
}

/// Runs a suite by every way, each in a folder of its own, which `prepare` fills.
async fn by_every_way<F>(
    subject: Subject<'_>,
    prepare: impl AsyncFn(&Path) -> Result<()>,
    suite: impl Fn(Plugins, &Path) -> F,
) -> Result<()>
where
    F: Future<Output = Report>,
{
    let mut in_memory: Option<Vec<(&str, Verdict)>> = None;
    for way in WAYS {
        let workspace = Workspace::new("")?;
        std::fs::create_dir_all(workspace.path().join("plugin-data"))?;
        prepare(workspace.path()).await?;
        let reached = subject.reach(way, workspace.path()).await;
        let reached = reached.with_context(|| format!("by way of {way:?}"))?;
        let report = suite(reached.plugins.clone(), workspace.path()).await;
        ensure!(report.failures().is_empty(), "{way:?}:\n{report}");
        let found = report.findings.into_iter();
        let found: Vec<_> = found
            .map(|Finding { case, verdict, .. }| (case, verdict))
            .collect();
        let before = in_memory.get_or_insert_with(|| found.clone());
        assert_eq!(*before, found, "by way of {way:?}");
    }
    Ok(())
}

async fn nothing(_: &Path) -> Result<()> {
    Ok(())
}

/// By certificates: the gateway trusts the plugin's authority alone, and shows one of its own.
#[tokio::test]
async fn certificates_are_asked_for_and_shown() -> Result<()> {
    let workspace = Workspace::new("")?;
    let folder = workspace.path();
    let signer = tls::Signer::new(folder)?;
    signer.server()?;
    signer.client("gateway", "spiffe://example/gateway")?;
    let path = |name: &str| folder.join(name);
    let text = |name: &str| path(name).display().to_string();
    let (cert, key, ca) = (text("server.pem"), text("server.key"), text("ca.pem"));
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let flags = [&flags[..], &["--tls-client-ca", &ca]].concat();
    let served = ("credstore-memory", &json!({}));
    let server = PluginServer::start(BINARY, folder, served, &flags).await?;
    ensure!(server.url().starts_with("https://"), "{}", server.url());

    let permits = permits(folder)?;
    let reached = |tls: &Value| {
        let endpoint = server.url();
        let server = json!({ "type": "remote", "endpoint": endpoint, "tls": tls });
        let plugin = json!({ "provider": "mcp", "server": server });
        build(
            folder,
            &permits,
            &json!({ "credential_storage": plugin }),
            None,
        )
    };
    let of = |name: &str| json!({ "from_file": path(name) });
    let mutual = json!({ "ca": of("ca.pem"), "cert": of("gateway.pem"), "key": of("gateway.key") });
    let storage = reached(&mutual)?.plugins.credential_storage;
    let report = suite::credential_storage(storage, Keeping::Everything).await;
    ensure!(report.failures().is_empty(), "{report}");

    for (tls, why) in [
        (json!({ "ca": of("ca.pem") }), "show a certificate"),
        (json!({}), "UnknownIssuer"),
    ] {
        let storage = reached(&tls)?.plugins.credential_storage;
        let context = CallContext::new(
            TenantId::default(),
            Deadline::after(std::time::Duration::from_secs(20)),
            RequestId::new("r1"),
        );
        let error = storage.list(&context, &"ada".parse()?).await.unwrap_err();
        let said = format!("{:#}", anyhow::Error::new(error));
        ensure!(said.contains(why), "{said}");
    }
    // By the kit, as its author would.
    let checked = Command::new(BINARY)
        .args(["plugin", "check", "--calls", "5", "--url", server.url()])
        .args([
            "--ca",
            &ca,
            "--cert",
            &text("gateway.pem"),
            "--key",
            &text("gateway.key"),
        ])
        .output()
        .await?;
    let said = String::from_utf8_lossy(&checked.stderr);
    ensure!(checked.status.success(), "{said}");
    let other = json!({ "cert": of("server.pem"), "key": of("gateway.key") });
    let error = reached(&other).err().context("it is taken")?.to_string();
    ensure!(
        error.contains("server.tls.key") && error.contains("is not the key"),
        "{error}"
    );
    server.stop().await
}

fn api_key(value: &str) -> Credential {
    Credential {
        credential_type: "api_key".to_owned(),
        value: SecretString::from(value),
    }
}

#[tokio::test]
async fn authentication_is_the_same_by_every_way() -> Result<()> {
    let keys = json!([{ "id": "ada", "user_id": "ada@example.com", "hash": ADA_HASH }]);
    let subject = Subject {
        kind: PluginKind::AuthProvider,
        implementation: "api-key",
        served_as: "api-key",
        document: json!({ "auth_provider": {
            "provider": "in-memory", "implementation": "api-key", "settings": { "keys": keys },
        } }),
    };
    by_every_way(subject, nothing, |plugins, _| async move {
        let accounts = Accounts {
            accepted: vec![(api_key(ADA_KEY), "ada@example.com".parse().unwrap())],
            rejected: vec![api_key("key-of-nobody"), Credential::none()],
        };
        suite::auth_provider(plugins.auth_provider, accounts).await
    })
    .await
}

#[tokio::test]
async fn credential_storage_is_the_same_by_every_way() -> Result<()> {
    for implementation in ["memory", "encrypted-file"] {
        let subject = Subject {
            kind: PluginKind::CredentialStorage,
            implementation,
            served_as: implementation,
            document: json!({}),
        };
        by_every_way(subject, nothing, |plugins, _| async move {
            suite::credential_storage(plugins.credential_storage, Keeping::Everything).await
        })
        .await?;
    }
    let subject = Subject {
        kind: PluginKind::CredentialStorage,
        implementation: "none",
        served_as: "credstore-none",
        document: json!({}),
    };
    by_every_way(subject, nothing, |plugins, _| async move {
        suite::credential_storage(plugins.credential_storage, Keeping::Nothing).await
    })
    .await
}

/// A real GNOME Keyring, in a D-Bus session of its own that ends with the plugin.
#[tokio::test]
async fn the_keychain_is_the_same_as_a_command() -> Result<()> {
    let installed = Command::new("sh")
        .args([
            "-c",
            "command -v gnome-keyring-daemon && command -v dbus-run-session",
        ])
        .stdout(Stdio::null())
        .status();
    if !installed.await?.success() {
        let needs = "gnome-keyring and dbus-daemon";
        eprintln!("\n!!! NOT TESTED: the keychain as a plugin, which needs {needs}\n");
        return Ok(());
    }
    let workspace = Workspace::new("")?;
    let runtime = workspace.folder("runtime")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&runtime, mode)?;
    // What the keyring writes to standard output is no message.
    let keyring = "printf 'test\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null; \
                   exec \"$0\" \"$@\"";
    let mut args = ["--", "sh", "-c", keyring, BINARY].map(Into::into).to_vec();
    args.extend(arguments(
        workspace.path(),
        "credstore-keychain",
        &json!({}),
    )?);
    args.push("--stdio".into());
    let home = workspace.path();
    let server = json!({
        "type": "command",
        "command": "dbus-run-session",
        "args": args,
        "env": { "HOME": home, "XDG_DATA_HOME": home, "XDG_RUNTIME_DIR": runtime },
    });
    let plugin = json!({ "provider": "mcp", "server": server, "timeout": "30s" });
    let folder = workspace.path();
    let permits = permits(folder)?;
    let plugins = json!({ "credential_storage": plugin });
    let reached = build(folder, &permits, &plugins, None)?;
    let storage = reached.plugins.credential_storage;
    let report = suite::credential_storage(storage, Keeping::Everything).await;
    ensure!(report.failures().is_empty(), "{report}");
    Ok(())
}

fn proxy_call(user: &str) -> ProxyCall {
    ProxyCall {
        user_id: user.parse().unwrap(),
        server: "files".parse().unwrap(),
        target_url: "https://files.example/mcp".to_owned(),
        method: "POST".to_owned(),
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(),
    }
}

/// Stores a credential as its user does.
async fn store(folder: &Path, user: &str) -> Result<()> {
    let config = folder.join("gateway.yaml");
    let storage = json!({ "provider": "in-memory", "implementation": "encrypted-file" });
    let proxy = json!({ "provider": "in-memory", "implementation": "bearer" });
    let server =
        json!({ "type": "remote", "endpoint": "https://files.example", "credentials": "required" });
    let document = json!({
        "plugins": { "credential_storage": storage, "auth_proxy": proxy },
        "servers": { "files": server },
    });
    std::fs::write(&config, document.to_string())?;
    let mut child = Command::new(BINARY)
        .args(["credential", "set", "files", "--user", user, "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(folder.join("plugin-data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(secret(user).as_bytes()).await?;
    drop(input);
    ensure!(
        child.wait().await?.success(),
        "the credential is not stored"
    );
    Ok(())
}

/// With its `credential_storage` named in the document that it is served with.
#[tokio::test]
async fn bearer_is_the_same_by_every_way() -> Result<()> {
    let subject = Subject {
        kind: PluginKind::AuthProxy,
        implementation: "bearer",
        served_as: "authproxy-bearer",
        document: json!({
            "auth_proxy": { "provider": "in-memory", "implementation": "bearer" },
            "credential_storage": { "provider": "in-memory", "implementation": "encrypted-file" },
        }),
    };
    let both = async |folder: &Path| {
        store(folder, "ada").await?;
        store(folder, "bob").await
    };
    by_every_way(subject, both, |plugins, _| async move {
        let known = ["ada", "bob"].map(|user| {
            let value = SecretString::from(format!("Bearer {}", secret(user)));
            (proxy_call(user), vec![("authorization".to_owned(), value)])
        });
        let injections = Injections {
            known: known.into(),
            unknown: proxy_call("mallory"),
        };
        suite::auth_proxy(plugins.auth_proxy, injections).await
    })
    .await
}

#[tokio::test]
async fn audit_is_the_same_by_every_way() -> Result<()> {
    let subject = Subject {
        kind: PluginKind::AuditSink,
        implementation: "file",
        served_as: "audit-file",
        document: json!({ "audit_sink": { "provider": "in-memory", "implementation": "file" } }),
    };
    by_every_way(subject, nothing, |plugins, folder| {
        let file = folder.join("plugin-data/audit.jsonl");
        async move {
            let read = ReadBack::new(move || std::fs::read_to_string(&file).unwrap_or_default());
            suite::audit_sink(plugins.audit_sink, Some(read)).await
        }
    })
    .await
}

#[tokio::test]
async fn policy_is_the_same_by_every_way() -> Result<()> {
    let rules = json!([{ "effect": "deny", "names": ["write"] }, { "effect": "allow" }]);
    let subject = Subject {
        kind: PluginKind::PolicyEvaluator,
        implementation: "rules",
        served_as: "rules",
        document: json!({ "policy_evaluator": {
            "provider": "in-memory", "implementation": "rules", "settings": { "rules": rules },
        } }),
    };
    let access = |name: &str| Access {
        principal: Principal::named("ada".parse().unwrap()),
        server: "files".parse().unwrap(),
        method: "tools/call".to_owned(),
        kind: ItemKind::Tool,
        name: name.to_owned(),
    };
    by_every_way(subject, nothing, |plugins, _| async move {
        let rules = Rules {
            allowed: vec![access("read"), access("walk")],
            denied: vec![access("write")],
        };
        suite::policy_evaluator(plugins.policy_evaluator, rules).await
    })
    .await
}

#[tokio::test]
async fn provisioning_is_the_same_by_every_way() -> Result<()> {
    let subject = Subject {
        kind: PluginKind::McpProvisioner,
        implementation: "none",
        served_as: "provisioner-none",
        document: json!({}),
    };
    by_every_way(subject, nothing, |plugins, _| async move {
        let running = Running {
            possible: None,
            impossible: Some(ServerSpec::Command {
                command: "server".to_owned(),
                args: Vec::new(),
                env: Default::default(),
                cwd: None,
            }),
        };
        suite::mcp_provisioner(plugins.mcp_provisioner, running).await
    })
    .await
}

#[tokio::test]
async fn telemetry_is_the_same_by_every_way() -> Result<()> {
    for (implementation, served_as) in [("noop", "telemetry-noop"), ("prometheus", "prometheus")] {
        let subject = Subject {
            kind: PluginKind::Telemetry,
            implementation,
            served_as,
            document: json!({}),
        };
        by_every_way(subject, nothing, |plugins, _| async move {
            suite::telemetry(plugins.telemetry).await
        })
        .await?;
    }
    Ok(())
}
