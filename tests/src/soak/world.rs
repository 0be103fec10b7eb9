//! Where a soak takes place: the servers, the configuration as it is at the moment, and what clients know of both.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::phase::Phase;
use crate::fixture::{AnswerForm, Eras, HttpFixture, Options};
use crate::secrets::{ADA_HASH, BOB_HASH};
use crate::servers::{fixture_on_stdio, remote};

/// The tool of which only clients make calls that do not wait for the answer.
pub(super) const LEFT: &str = "slow";
/// The tool by which is seen whether a server is back.
pub(super) const PROBE: &str = "tool-0000";
/// The tool that a rule denies which comes and goes.
pub(super) const TOGGLED: &str = "whoami";
/// How the child is found that is killed.
pub(super) const MORTAL: &str = "--name mortal";

/// Servers that nobody kills.
pub(super) const STEADY: [&str; 3] = ["steady", "streaming", "child"];

/// What edits change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edited {
    /// Whether there is a profile `extra`.
    pub(super) has_profile: bool,
    pub(super) denies: bool,
}

/// What visitors know.
#[derive(Debug)]
pub(super) struct World {
    /// Without a path.
    pub(super) url: String,
    pub(super) operations: String,
    pub(super) edited: Phase<Edited>,
    /// The server that is killed and started again, and the child.
    pub(super) fragile: Phase<()>,
    pub(super) mortal: Phase<()>,
}

impl World {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// For a server that is killed now and then.
    pub(super) fn outages(&self, server: &str) -> Option<&Phase<()>> {
        match server {
            "fragile" => Some(&self.fragile),
            "mortal" => Some(&self.mortal),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Servers {
    entries: Value,
    _steady: HttpFixture,
    _streaming: HttpFixture,
}

/// The server that is killed; a legacy one, whose sessions are lost each time.
pub(super) fn fragile() -> Options {
    Options {
        era: Eras::Legacy,
        sessions: true,
        tools: 1,
        ..Options::default()
    }
}

impl Servers {
    /// Also the one that is killed.
    pub(super) async fn start(binary: &str) -> anyhow::Result<(Self, HttpFixture)> {
        let steady = HttpFixture::start(Options::default()).await?;
        let streaming = HttpFixture::start(Options {
            era: Eras::Legacy,
            answer: AnswerForm::Sse,
            ..Options::default()
        });
        let streaming = streaming.await?;
        let fragile = HttpFixture::start(fragile()).await?;
        let mut entries = json!({
            "steady": remote(&steady.url()),
            "streaming": remote(&streaming.url()),
            "fragile": remote(&fragile.url()),
            "child": fixture_on_stdio(binary, &[])?,
            "mortal": fixture_on_stdio(binary, &["--name", "mortal", "--tools", "1"])?,
            "owned": fixture_on_stdio(binary, &["--name", "owned"])?,
        });
        entries["owned"]["isolation"] = "per-session".into();
        // Sessions and children of clients that went away are to be seen to end.
        for server in ["fragile", "owned"] {
            entries[server]["idle_timeout"] = "2s".into();
        }
        let servers = Self {
            entries,
            _steady: steady,
            _streaming: streaming,
        };
        Ok((servers, fragile))
    }

    /// The configuration file.
    pub(super) fn configuration(&self, edited: Edited) -> String {
        let mut rules = vec![
            json!({ "effect": "allow", "roles": ["admin"] }),
            json!({ "effect": "allow", "groups": ["readers"], "servers": ["steady"] }),
        ];
        if edited.denies {
            rules.insert(
                0,
                json!({ "effect": "deny", "kinds": ["tool"], "names": [TOGGLED] }),
            );
        }
        let mut configuration = json!({ "plugins": plugins(&rules), "servers": self.entries });
        if edited.has_profile {
            configuration["profiles"] = json!({ "extra": { "servers": ["steady", "child"] } });
        }
        configuration.to_string()
    }

    /// The same with a mistake, which must be refused.
    pub(super) fn unsound(&self, edited: Edited) -> anyhow::Result<String> {
        let mut configuration: Value = serde_json::from_str(&self.configuration(edited))?;
        let servers = configuration["servers"].as_object_mut();
        servers.context("no servers")?.remove("child");
        configuration["profiles"] = json!({ "extra": { "servers": ["child"] } });
        Ok(configuration.to_string())
    }
}

fn plugins(rules: &[Value]) -> Value {
    let plugin = |name: &str, settings: Value| json!({ "provider": "in-memory", "implementation": name, "settings": settings });
    let keys = json!([
        { "id": "ada", "user_id": "ada", "roles": ["admin"], "hash": ADA_HASH },
        { "id": "bob", "user_id": "bob", "groups": ["readers"], "hash": BOB_HASH },
    ]);
    let audit = json!({ "path": "audit/log.jsonl", "max_bytes": 100_000, "keep": 100_000 });
    json!({
        "auth_provider": plugin("api-key", json!({ "keys": keys })),
        "policy_evaluator": plugin("rules", json!({ "rules": rules })),
        "audit_sink": plugin("file", audit),
        "telemetry": { "provider": "in-memory", "implementation": "prometheus" },
    })
}
