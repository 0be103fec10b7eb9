//! Two users with API keys, and the credentials that a gateway stored for them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::fixture::TOKEN_VARIABLE;
use crate::{Era, Gateway, Session, Workspace};

/// The keys of the users `ada` and `bob`, as headers of a client.
pub const ADA: (&str, &str) = (
    "x-api-key",
    "mgk_ada_3b8cfa09c01f3a8e6ee7f5c326500fd2a6dd9fa6b5a51da04521e0e928ad2fd7",
);
pub const BOB: (&str, &str) = (
    "x-api-key",
    "mgk_bob_d9a7c924f77b4736c730c68a34a05680e271b8fb08669a68dd3097b810bcf695",
);

/// The file's key, and what a gateway wrote under it for the servers `web` and `child`.
const KEY_FILE: &str = "v73wVO889/Xufn+FXtKkDqg1bGTLmvBvD1x2H87lAEA=\n";
const STORED: [Stored; 10] = [
    Stored(
        "ada",
        "web",
        "ada-1",
        "2026-11-22T21:11:29.496078099Z",
        "wB/pWipE7F8MLtx4zZgL5OCY+Zm4zjpLc1OPj/0ImD9a",
    ),
    Stored(
        "ada",
        "child",
        "ada-1",
        "2026-11-22T21:11:29.560075864Z",
        "ChVknyF46Av6iS9bjO6gSYextkPdlSFMxpvwO01vFmkZ",
    ),
    Stored(
        "ada",
        "web",
        "ada-2",
        "2026-11-22T21:11:29.569151254Z",
        "MTOrhm/aCGQiUmeSkLiwfPYzxtnSfDELkQr1ZqZBe0hg",
    ),
    Stored(
        "ada",
        "child",
        "ada-2",
        "2026-11-22T21:11:29.585108917Z",
        "/1mhNhzjlR7xsy1IgrSBaMeJLasylUZzU57DXU2LBBeN",
    ),
    Stored(
        "bob",
        "web",
        "bob-1",
        "2026-11-22T21:11:29.605862381Z",
        "VqUSvTkruExYFcCwUZUSbejKlW/ZL/L5LuUDdT8RwoNP",
    ),
    Stored(
        "bob",
        "child",
        "bob-1",
        "2026-11-22T21:11:29.620081037Z",
        "U94FZvL5AagF+SnlTk6it0zIu7q99KyrIxH3BCNWV5h5",
    ),
    Stored(
        "ada",
        "web",
        "team",
        "2026-11-22T21:11:29.640180498Z",
        "19EVzGGM1sbB+RhAUld973rEzQ5H6YDA6D+ZX9xyNVs=",
    ),
    Stored(
        "ada",
        "child",
        "team",
        "2026-11-22T21:11:29.664177956Z",
        "O1CMgB0XzxIfh+qQIT0xZqvkmtRiCX6mW6wg0ygHuhs=",
    ),
    Stored(
        "bob",
        "web",
        "team",
        "2026-11-22T21:11:29.685432954Z",
        "5IOhgV60k0q0J2Tl4EUOwKi3MF+FAEo/PC0Of2xPc4o=",
    ),
    Stored(
        "bob",
        "child",
        "team",
        "2026-11-22T21:11:29.704701993Z",
        "w84oo6QYKzvsC1yHwZLqIqlv/dvGNUoIz+/Vw/pBbcM=",
    ),
];

/// User, server, value, when it was stored, and how it looks then.
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
          "hash": "sha256:3e4c7261f3948fb2a188d5eb4a8228ecfab5585dac918531805c12749d61ba31" },
        { "id": "bob", "user_id": "bob",
          "hash": "sha256:208649187f3eaa842933f255bfc759b9015125443bfb8dbbe55a8b5a54d4a11d" },
    ]);
    let variables = json!({ "child": TOKEN_VARIABLE });
    let plugins = json!({
        "auth_provider": plugin("api-key", json!({ "keys": keys })),
        "credential_storage": plugin("encrypted-file", json!({})),
        "auth_proxy": plugin("bearer", json!({ "variables": variables })),
    });
    json!({ "plugins": plugins, "servers": servers }).to_string()
}

/// A gateway with one server of this name, `web` or `child`, and these values stored.
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

/// Stores these values, for both servers, and nothing else, as another process of the gateway does: what runs on the
/// workspace sees it at its next look.
pub fn store(workspace: &Workspace, credentials: &[(&str, &str)]) -> anyhow::Result<()> {
    let data = workspace.folder("data")?;
    let key = data.join("credentials.key");
    fs::write(&key, KEY_FILE)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let mut text = format!("mcp-gateway-credentials 1 {}\n", uuid::Uuid::new_v4());
    let mut stored: Vec<&Stored> = STORED
        .iter()
        .filter(|Stored(user, _, value, ..)| credentials.contains(&(user, value)))
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
