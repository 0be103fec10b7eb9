//! Two users with API keys, and the credentials that a gateway stored for them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::fixture::TOKEN_VARIABLE;
use crate::secrets::{ADA_HASH, ADA_KEY, BOB_HASH, BOB_KEY, VAULT_KEY};
use crate::{Era, Gateway, Session, Workspace};

/// The keys of the users `ada` and `bob`, as headers of a client.
pub const ADA: (&str, &str) = ("x-api-key", ADA_KEY);
pub const BOB: (&str, &str) = ("x-api-key", BOB_KEY);

/// What a gateway wrote under [`VAULT_KEY`] for the servers `web` and `child`.
const STORED: [Stored; 10] = [
    Stored(
        "ada",
        "web",
        "ada-1",
        "2026-11-26T16:19:24.523828054Z",
        "xfsgDjf+5WXSSRtvkZPnpbrzGRebtHluC/rxWNHmGOCsJrba/dkdm0/TCw==",
    ),
    Stored(
        "ada",
        "child",
        "ada-1",
        "2026-11-26T16:19:24.863871388Z",
        "HdyMpMtZjTqEHzRTyGLtVSXjTC5DIfqJiV62BavWnERQiMAwCt3pWXpBBg==",
    ),
    Stored(
        "ada",
        "web",
        "ada-2",
        "2026-11-26T16:19:25.113434062Z",
        "QTGBBSCou4kQuOaZLmkALZaAxXCwvtAB3DefgfFlJYzjSwmUXYlxYCIEzg==",
    ),
    Stored(
        "ada",
        "child",
        "ada-2",
        "2026-11-26T16:19:25.360290096Z",
        "xdFD6HnTpcX1rLeVDO27XgjolJ3HENFpKNm1U8/rYgDU5YyxMgmTWOwphg==",
    ),
    Stored(
        "bob",
        "web",
        "bob-1",
        "2026-11-26T16:19:25.774058115Z",
        "SqPvXna8xXj3WrdbE6bE/qs/hsFzZbyLejAuP0AjozJ9dpvnMAcxJkU7Tg==",
    ),
    Stored(
        "bob",
        "child",
        "bob-1",
        "2026-11-26T16:19:26.010760804Z",
        "TKPdb+sKhvq86znTxnVAKzV5yjiNWT+I0YWhQoDcrQz8HIiEev434ODDnQ==",
    ),
    Stored(
        "ada",
        "web",
        "team",
        "2026-11-26T16:19:26.214489258Z",
        "MBNmleERvfnXyjrz9XvzDqnSfc1sHbPDiKGklmI44b6K+VbTflg0HgVY",
    ),
    Stored(
        "ada",
        "child",
        "team",
        "2026-11-26T16:19:26.395765114Z",
        "SveRqC/LlE3tNT9XgMOOw8p94gn5yE6t/g4UOUkqAe8o9sVaGflBrcS1",
    ),
    Stored(
        "bob",
        "web",
        "team",
        "2026-11-26T16:19:26.743968842Z",
        "+0CIgIUaXw99z6m3RnC4y59nV+M/rNcKpsFuppaeDwQ93Whcgumsued+",
    ),
    Stored(
        "bob",
        "child",
        "team",
        "2026-11-26T16:19:27.023875669Z",
        "SK5MSAkbUY+CeRgGKpDKzTeaC5xpY/NkdbBOi9wA3WfwSUHmMgsKFQ9V",
    ),
];

/// User, server, the secret's name, when it was stored, and how it looks then.
struct Stored(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// The configuration of a gateway that knows both users and keeps their credentials in a file, with these servers.
pub fn config(servers: Value) -> String {
    let plugin = |name: &str, settings: Value| json!({ "provider": "in-memory", "implementation": name, "settings": settings });
    let keys = json!([
        { "id": "ada", "user_id": "ada",
          "hash": ADA_HASH },
        { "id": "bob", "user_id": "bob",
          "hash": BOB_HASH },
    ]);
    let variables = json!({ "child": TOKEN_VARIABLE });
    let plugins = json!({
        "auth_provider": plugin("api-key", json!({ "keys": keys })),
        "credential_storage": plugin("encrypted-file", json!({})),
        "auth_proxy": plugin("bearer", json!({ "variables": variables })),
    });
    json!({ "plugins": plugins, "servers": servers }).to_string()
}

/// A gateway with one server of this name, `web` or `child`, and these secrets, by their names, stored.
pub async fn start(
    binary: &str,
    name: &str,
    server: Value,
    stored: &[(&str, &str)],
) -> anyhow::Result<Gateway> {
    let workspace = Workspace::new(&config(json!({ name: server })))?;
    store(&workspace, stored)?;
    let gateway = Gateway::builder(binary)
        .workspace(&Arc::new(workspace))
        .variable("MCP_GATEWAY_LOG", "trace");
    gateway.start().await
}

/// A session of one of the users.
pub async fn open(gateway: &Gateway, era: Era, user: (&str, &str)) -> anyhow::Result<Session> {
    Session::open_with(era, &gateway.url("/mcp"), &[user]).await
}

/// Stores these secrets, by their names, for both servers, and nothing else, as another process of the gateway does: what runs on the
/// workspace sees it at its next look.
pub fn store(workspace: &Workspace, credentials: &[(&str, &str)]) -> anyhow::Result<()> {
    let data = workspace.folder("data")?;
    let key = data.join("credentials.key");
    fs::write(&key, format!("{VAULT_KEY}\n"))?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let mut text = format!("mcp-gateway-credentials 1 {}\n", uuid::Uuid::new_v4());
    let mut stored: Vec<&Stored> = STORED
        .iter()
        .filter(|Stored(user, _, name, ..)| credentials.contains(&(user, name)))
        .collect();
    stored.sort_by_key(|Stored(user, server, ..)| (*user, *server));
    for Stored(user, server, _, created_at, sealed) in stored {
        let line = json!({
            "tenant": "default", "user": user, "server": server, "type": "bearer",
            "created_at": created_at, "sealed": sealed,
        });
        text.push_str(&format!("{line}\n"));
    }
    let aside = data.join(".credentials.new");
    fs::write(&aside, text)?;
    fs::rename(aside, data.join("credentials")).context("putting the credentials in place")
}
