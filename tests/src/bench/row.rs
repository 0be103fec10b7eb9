//! The rows of the table: what is asked for, and how the gateway is set up for it.

use std::net::SocketAddr;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use super::reply::Work;
use super::site::{NAMES, TOOLS, path};
use crate::session::Era;

/// The key that the gateway asks for in `guarded`; nothing else is behind it.
pub(super) const KEY: &str =
    "mgk_ada_3b8cfa09c01f3a8e6ee7f5c326500fd2a6dd9fa6b5a51da04521e0e928ad2fd7";
const KEY_HASH: &str = "sha256:3e4c7261f3948fb2a188d5eb4a8228ecfab5585dac918531805c12749d61ba31";
pub(super) const USER: &str = "ada";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Row {
    /// tools/call of one server.
    Call,
    /// tools/call of five servers behind one endpoint, in turn.
    Five,
    /// tools/call with API key, rules, a stored bearer token, audit in a file, and metrics.
    Guarded,
    /// tools/call with a result of 64 KiB.
    Large,
    /// tools/list of five servers with 50 tools each.
    List,
}

impl Row {
    pub(super) const ALL: [Self; 5] = [
        Self::Call,
        Self::Five,
        Self::Guarded,
        Self::Large,
        Self::List,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Call => "`tools/call`, one server",
            Self::Five => "five servers aggregated",
            Self::Guarded => "API key, rules, bearer, audit file, metrics",
            Self::Large => "64 KiB result",
            Self::List => "`tools/list` of 5 × 50 tools",
        }
    }

    /// How much of nginx's processor time a call may take.
    pub(super) fn aim(self) -> f64 {
        match self {
            Self::Call => 1.6,
            Self::Five => 1.8,
            Self::Guarded => 2.2,
            Self::Large => 1.4,
            Self::List => 3.0,
        }
    }

    pub(super) fn work(self) -> Work {
        match self {
            Self::Call | Self::Five | Self::Guarded => Work::call(64),
            Self::Large => Work::call(64 * 1024),
            Self::List => Work::List {
                tools: NAMES.len() * TOOLS,
            },
        }
    }

    /// Where a client without a gateway finds the same: the same bytes, whatever the row.
    pub(super) fn direct_path(self, era: Era) -> String {
        path(era, if self == Self::List { "all" } else { "1" })
    }

    /// The tools as the gateway shows them.
    pub(super) fn tools(self) -> Vec<String> {
        match self {
            Self::Five | Self::List => NAMES.map(|name| format!("{name}__echo")).to_vec(),
            Self::Call | Self::Guarded | Self::Large => vec!["echo".to_owned()],
        }
    }

    pub(super) fn key(self) -> Option<&'static str> {
        (self == Self::Guarded).then_some(KEY)
    }

    /// The gateway's configuration; the paths keep servers at one address apart.
    pub(super) fn configuration(self, era: Era, server: SocketAddr) -> Value {
        let remote = |kind: &str| {
            let endpoint = format!("http://{server}{}", path(era, kind));
            json!({ "type": "remote", "endpoint": endpoint })
        };
        let several = |tools: usize| {
            let servers = NAMES.map(|name| (name.to_owned(), remote(&format!("{tools}/{name}"))));
            Value::Object(servers.into_iter().collect())
        };
        match self {
            Self::Call | Self::Large => json!({ "servers": { "one": remote("1") } }),
            Self::Five => json!({ "servers": several(1) }),
            Self::List => json!({ "servers": several(TOOLS) }),
            Self::Guarded => {
                let mut one = remote("1/bearer");
                if let Some(one) = one.as_object_mut() {
                    one.insert("credentials".to_owned(), "required".into());
                }
                json!({ "plugins": guards(), "servers": { "one": one } })
            }
        }
    }
}

fn guards() -> Value {
    let plugin = |name: &str, settings: Value| {
        json!({
            "provider": "in-memory", "implementation": name, "settings": settings,
        })
    };
    let key = json!({ "id": "ada", "user_id": USER, "roles": ["developer"], "hash": KEY_HASH });
    let rules = json!([
        { "effect": "deny", "kinds": ["tool"], "names": ["delete_*"] },
        { "effect": "allow", "roles": ["admin"] },
        { "effect": "allow", "roles": ["developer"], "servers": ["o*"], "kinds": ["tool"] },
    ]);
    json!({
        "auth_provider": plugin("api-key", json!({ "keys": [key] })),
        "policy_evaluator": plugin("rules", json!({ "rules": rules })),
        "credential_storage": plugin("encrypted-file", json!({})),
        "auth_proxy": plugin("bearer", json!({})),
        "audit_sink": {
            "provider": "in-memory", "implementation": "file", "durability": "process",
            "settings": { "path": "audit.jsonl", "keep": 1 },
        },
        "telemetry": { "provider": "in-memory", "implementation": "prometheus" },
    })
}
