//! What a tenant, or somebody who wants to pass for one, may try against the others and the replica: each is refused, says
//! why, and is recorded where there is somebody to whose log it belongs.

#![expect(
    clippy::indexing_slicing,
    reason = "an index into a JSON value gives null where there is nothing, and tenants are counted"
)]

use std::fs;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::raw::{ACCEPT, Answer, RawClient};
use gateway_tests::secrets::{self, ADA_KEY};
use gateway_tests::tenants::{NAMES, Tenants, token_name};
use gateway_tests::{Era, Session};
use http::Method;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"q-0","result":{}}"#;
const BATCH: &str = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#;

/// The tenants of which one tries something against the other.
const OWN: usize = 1;
const OTHER: usize = 2;

/// How many events of a tenant say this.
fn recorded(tenants: &Tenants, tenant: usize, reason: &str) -> usize {
    let [lines, _] = tenants.data.process.written();
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = events.filter(|event| {
        let said = event["metadata"]["reason"].as_str().unwrap_or_default();
        event["tenant_id"] == NAMES[tenant] && said.contains(reason)
    });
    events.count()
}

async fn send(
    tenants: &Tenants,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    message: &str,
) -> Result<Answer> {
    let mut all = vec![("content-type", "application/json"), ACCEPT];
    all.extend(headers);
    let url = tenants.data.url(path);
    let client = RawClient::default();
    client
        .send(method.clone(), &url, &all, message.to_owned())
        .await
}

#[tokio::test]
async fn no_path_is_taken_for_another_tenants() -> Result<()> {
    let tenants = Tenants::start(BINARY).await?;
    let too_long = format!("/t/{}4/mcp", NAMES[3]);
    let paths = [
        "/t/../mcp",
        "/t/%2e%2e/mcp",
        "/t/./mcp",
        "/t//mcp",
        "/t/ACME/mcp",
        "/t/acme./mcp",
        "/t/acme%00/mcp",
        "/t/acme%2fmcp",
        "/t/acme%2f..%2fdefault/mcp",
        "/t/acme/../default/mcp",
        "/t/acme/t/default/mcp",
        "/t/acme//mcp",
        "/t/%61cme/mcp",
        "/t/%D0%B0cme/mcp",
        "/t/-acme/mcp",
        "/t/acme-/mcp",
        "/t/acme;default/mcp",
        "/t/acme,default/mcp",
        &too_long,
        // Well-formed, and nobody's.
        "/t/acm/mcp",
        "/t/acme-aa/mcp",
        "/t/acme/s/none/mcp",
        "/t/acme/p/none/mcp",
    ];
    for path in paths {
        let headers = [("x-api-key", ADA_KEY)];
        let message = gateway_tests::session::initialize_message("2025-11-25");
        let answer = send(&tenants, &Method::POST, path, &headers, &message).await?;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        let said = answer.text();
        let is_said = said.contains("nothing answers here") || said.contains("there is no ");
        assert!(is_said, "{path}: {said}");
    }
    tenants.stop().await
}

/// One thing that is tried at an endpoint of [`OWN`].
struct Attempt<'a> {
    what: &'a str,
    method: Method,
    headers: Vec<(&'a str, &'a str)>,
    message: &'a str,
    status: u16,
    /// What its own audit log says of it.
    reason: &'a str,
}

#[tokio::test]
async fn what_is_another_tenants_opens_nothing_and_is_recorded() -> Result<()> {
    let tenants = Tenants::start(BINARY).await?;
    // Ada is let in by the other one alone.
    let mut document = tenants.document(OWN);
    let keys = &mut document["plugins"]["auth_provider"]["settings"]["keys"];
    let keys = keys.as_array_mut().context("no keys")?;
    keys.retain(|key| key["id"] != "ada");
    tenants.apply(&document).await?;
    let ada = [("x-api-key", ADA_KEY)];
    let theirs = Session::open_with(Era::Legacy, &tenants.url(OTHER), &ada).await?;
    let id = theirs.id().context("no session")?;

    let in_session = vec![("mcp-session-id", id), ("x-api-key", secrets::BOB_KEY)];
    let attempt = |what, method, message| Attempt {
        what,
        method,
        headers: in_session.clone(),
        message,
        status: 404,
        reason: "session not found",
    };
    let attempts = [
        attempt("a request of their session", Method::POST, LIST),
        attempt("a notification", Method::POST, INITIALIZED),
        attempt("an answer to what their server asks", Method::POST, ANSWER),
        attempt("a batch", Method::POST, BATCH),
        attempt("their stream", Method::GET, ""),
        attempt("the end of their session", Method::DELETE, ""),
        Attempt {
            headers: vec![("x-api-key", ADA_KEY)],
            status: 401,
            reason: "not authenticated",
            ..attempt("their key", Method::POST, BATCH)
        },
    ];
    for attempt in attempts {
        let Attempt {
            what,
            method,
            headers,
            message,
            status,
            reason,
        } = attempt;
        let opening = gateway_tests::session::initialize_message("2025-11-25");
        let message = if status == 401 { &opening } else { message };
        let before = recorded(&tenants, OWN, reason);
        let path = Tenants::path(OWN);
        let answer = send(&tenants, &method, &path, &headers, message).await?;
        let said = answer.text();
        assert_eq!(answer.status, status, "{what}: {said}");
        assert!(said.contains(reason), "{what}: {said}");
        assert!(!said.contains(NAMES[OTHER]), "{what}: {said}");
        gateway_tests::wait::until(&format!("{what} to be recorded"), || async {
            recorded(&tenants, OWN, reason) == before + 1
        })
        .await?;
        assert_eq!(recorded(&tenants, OTHER, reason), 0, "{what}");
    }
    // Nothing of it has touched the session.
    theirs.request("tools/list", json!({})).await?.result()?;
    tenants.stop().await
}

#[tokio::test]
async fn headers_that_claim_a_tenant_change_nothing() -> Result<()> {
    let tenants = Tenants::start(BINARY).await?;
    let (url, ada) = (tenants.url(OWN), [("x-api-key", ADA_KEY)]);
    let plain = Session::open_with(Era::Modern, &url, &ada).await?;
    plain
        .wait_for_tool(&format!("shared__of-{}", token_name(OWN)))
        .await?;
    let names = plain.tool_names().await?;
    let path = Tenants::path(OTHER);
    for (name, value) in [
        ("x-tenant", NAMES[OTHER]),
        ("x-tenant-id", NAMES[OTHER]),
        ("x-mcp-gateway-tenant", NAMES[OTHER]),
        ("x-forwarded-host", "other.example"),
        ("forwarded", "host=other.example"),
        ("x-forwarded-prefix", "/t/acme-a"),
        ("x-original-url", &path),
        ("x-rewrite-url", &path),
    ] {
        let headers = [("x-api-key", ADA_KEY), (name, value)];
        let session = Session::open_with(Era::Modern, &tenants.url(OWN), &headers).await?;
        assert_eq!(session.tool_names().await?, names, "{name}");
    }
    tenants.stop().await
}

/// What is added to a document, and what is said of it.
fn changes(tenants: &Tenants) -> Vec<(Value, &'static str)> {
    let server = |spec: Value| json!({ "servers": { "two": spec } });
    let header = |reference: Value| {
        let url = tenants.shared.url();
        server(json!({ "type": "remote", "endpoint": url, "headers": { "x-key": reference } }))
    };
    let plugin = |kind: &str, name: &str| json!({ "plugins": { kind: { "provider": "in-memory", "implementation": name } } });
    let its_own_only = "no name of a secret";
    let for_desktops = "only a desktop can have it";
    vec![
        (
            server(json!({ "type": "command", "command": "sh" })),
            "--allow-command",
        ),
        (
            server(json!({ "type": "remote", "endpoint": "http://[::1]:6379/mcp" })),
            "--sidecar-port",
        ),
        (
            server(json!({ "type": "sidecar", "socket": "/run/docker.sock" })),
            "--socket-dir",
        ),
        (
            server(json!({ "type": "remote", "endpoint": "unix:///run/docker.sock" })),
            "--socket-dir",
        ),
        (
            server(json!({ "type": "remote", "endpoint": "http://169.254.169.254/mcp" })),
            "169.254.169.254",
        ),
        (
            server(json!({ "type": "remote", "endpoint": "http://10.0.0.1/mcp" })),
            "--allow-network",
        ),
        (
            header(json!({ "from_env": "MCP_GATEWAY_JOIN_TOKEN" })),
            "is not set",
        ),
        (header(json!({ "from_env": "A__TOKEN" })), its_own_only),
        (header(json!({ "from_env": "_A__TOKEN" })), its_own_only),
        (
            header(json!({ "from_file": format!("../{}/key", NAMES[OTHER]) })),
            its_own_only,
        ),
        (
            header(json!({ "from_file": "/etc/hostname" })),
            its_own_only,
        ),
        (header(json!({ "from_file": ".." })), its_own_only),
        (
            header(json!({ "from_file": "link" })),
            "a link that leads out of",
        ),
        (
            header(json!({ "from_credential": "key" })),
            "cannot be read",
        ),
        (plugin("audit_sink", "file"), for_desktops),
        (plugin("credential_storage", "encrypted-file"), for_desktops),
        (plugin("credential_storage", "keychain"), for_desktops),
    ]
}

#[tokio::test]
async fn a_configuration_reaches_nothing_of_others_or_of_the_replica() -> Result<()> {
    let tenants = Tenants::start(BINARY).await?;
    let folder = tenants.workspace.path().join("secrets");
    for name in NAMES {
        fs::create_dir_all(folder.join(name))?;
        fs::write(folder.join(name).join("key"), secrets::secret(name))?;
    }
    let target = folder.join(NAMES[OTHER]).join("key");
    std::os::unix::fs::symlink(target, folder.join(NAMES[OWN]).join("link"))?;

    for (change, says) in changes(&tenants) {
        let mut document = tenants.document(OWN);
        for (part, added) in change.as_object().into_iter().flatten() {
            for (name, value) in added.as_object().into_iter().flatten() {
                document[part][name] = value.clone();
            }
        }
        let exit = tenants.control.apply(&document.to_string()).await?;
        let said = exit.stderr.join("\n");
        ensure!(
            exit.code != Some(0) && said.contains(says),
            "{change}: {:?} {said}",
            exit.code
        );
    }
    // What was good before still is.
    let headers = [("x-api-key", ADA_KEY)];
    for tenant in [OWN, OTHER] {
        let session = Session::open_with(Era::Modern, &tenants.url(tenant), &headers).await?;
        session.wait_for_tool("own__echo").await?;
    }
    tenants.stop().await
}
