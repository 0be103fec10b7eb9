//! Tenants that are as alike as tenants can be, on one data plane: the same users with the same keys, and servers of the
//! same names, one of which is the same server for all.

use std::sync::Arc;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::Workspace;
use crate::fixture::{AnswerForm, Eras, HttpFixture, Options};
use crate::planes::{ControlPlane, DataPlane, LOOPBACK, join_token};
use crate::secrets::{ADA_HASH, BOB_HASH, secret};
use crate::servers::remote;

/// The names: that of those who name none, two of which one begins with the other, and the longest.
pub const NAMES: [&str; 4] = [
    "default",
    "acme",
    "acme-a",
    "x23456789-123456789-123456789-123456789-123456789-123456789-123",
];

/// A control plane and a data plane with these tenants.
#[derive(Debug)]
pub struct Tenants {
    pub control: ControlPlane,
    pub data: DataPlane,
    pub workspace: Arc<Workspace>,
    /// Each tenant's own server, which says whose it is.
    pub own: Vec<HttpFixture>,
    /// The server that all have, each with a token of its own.
    pub shared: HttpFixture,
}

/// What the secret is called by which the shared server knows a tenant; it lists `of-` and this name.
pub fn token_name(tenant: usize) -> String {
    format!("token-{tenant}")
}

/// What only this tenant is allowed to call of its own server.
pub fn allowed_tool(tenant: usize) -> String {
    format!("tool-{tenant:04}")
}

/// What the tenant's own server says it is called.
pub fn own_name(tenant: usize) -> String {
    format!("server-of-{}", NAMES[tenant])
}

impl Tenants {
    pub async fn start(binary: &str) -> anyhow::Result<Self> {
        let workspace = Arc::new(Workspace::new("")?);
        let control = ControlPlane::start(binary, &workspace).await?;
        let mut own = Vec::new();
        for tenant in 0..NAMES.len() {
            let options = Options {
                name: own_name(tenant),
                era: Eras::Legacy,
                sessions: true,
                asking: true,
                answer: AnswerForm::Sse,
                tools: NAMES.len(),
                ..Options::default()
            };
            own.push(HttpFixture::start(options).await?);
        }
        let shared = HttpFixture::start(Options {
            names_tokens: true,
            ..Options::default()
        })
        .await?;
        let token = join_token();
        let secrets = NAMES.iter().enumerate();
        let secrets: Vec<_> = secrets
            .map(|(tenant, name)| (variable(name), secret(&token_name(tenant))))
            .collect();
        let mut variables = vec![
            ("MCP_GATEWAY_JOIN_TOKEN", token.as_str()),
            (
                "MCP_GATEWAY_LOG",
                "info,gateway_data_plane=trace,gateway_plugins=trace",
            ),
        ];
        variables.extend(secrets.iter().map(|(name, value)| (&**name, &**value)));
        let planes = [control.url()];
        let flags = [&LOOPBACK[..], &["--secret-dir", "secrets"]].concat();
        let data = DataPlane::start_at(binary, &workspace, &planes, &variables, &flags).await?;
        let tenants = Self {
            control,
            data,
            workspace,
            own,
            shared,
        };
        for tenant in 0..NAMES.len() {
            tenants.apply(&tenants.document(tenant)).await?;
        }
        tenants.data.wait_until_ready().await?;
        Ok(tenants)
    }

    /// A tenant's document, which names nothing of the others.
    pub fn document(&self, tenant: usize) -> Value {
        let key = |id: &str, hash: &str| json!({ "id": id, "user_id": format!("{id}@example.com"), "hash": hash });
        let keys = json!([key("ada", ADA_HASH), key("bob", BOB_HASH)]);
        let names = json!([
            "echo",
            "whoami",
            "ask",
            "wait",
            "of-*",
            allowed_tool(tenant)
        ]);
        let mut shared = remote(&self.shared.url());
        shared["auth"] = json!({ "bearer": { "from_env": "TOKEN" } });
        let plugin = |implementation: &str, settings: Value| {
            json!({ "provider": "in-memory", "implementation": implementation,
                    "settings": settings, "cache": { "ttl": "1h" } })
        };
        json!({
            "tenant": NAMES[tenant],
            "plugins": {
                "auth_provider": plugin("api-key", json!({ "keys": keys })),
                "policy_evaluator":
                    plugin("rules", json!({ "rules": [{ "effect": "allow", "names": names }] })),
                "telemetry": { "provider": "in-memory", "implementation": "prometheus" },
            },
            "servers": { "own": remote(&self.own[tenant].url()), "shared": shared },
            "profiles": { "dev": { "servers": ["own"] } },
        })
    }

    /// Puts a document in force.
    pub async fn apply(&self, document: &Value) -> anyhow::Result<()> {
        let exit = self.control.apply(&document.to_string()).await?;
        ensure!(exit.code == Some(0), "{:?}", exit.stderr);
        Ok(())
    }

    /// The path of a tenant's endpoint with all of its servers.
    pub fn path(tenant: usize) -> String {
        format!("/t/{}/mcp", NAMES[tenant])
    }

    pub fn url(&self, tenant: usize) -> String {
        self.data.url(&Self::path(tenant))
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.data.process.stop().await?;
        self.control.process.stop().await
    }
}

/// Where a data plane has the token of a tenant.
fn variable(tenant: &str) -> String {
    let tenant = tenant.to_uppercase().replace('-', "_");
    format!("MCP_GATEWAY_SECRET__{tenant}__TOKEN")
}
