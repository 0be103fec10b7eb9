//! What the contract has the gateway call each tool with.

use gateway_core::plugin::PluginKind;
use serde_json::{Map, Value, json};

use crate::suite::probe::{SECRET, unique};

const TENANT: &str = "default";

/// What a call has to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It is done.
    Done,
    /// Done, or refused with `isError`.
    Answered,
    /// Not called: it would leave something behind.
    Nothing,
}

/// One tool of the contract.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) tool: &'static str,
    /// As the gateway sends them, with users and names that nobody else has.
    pub(super) arguments: Value,
    pub(super) due: Due,
    /// The argument that holds a secret.
    pub(super) secret: Option<&'static str>,
}

fn sample(tool: &'static str, arguments: Value, due: Due) -> Sample {
    Sample {
        tool,
        arguments,
        due,
        secret: None,
    }
}

impl Sample {
    fn with_secret(self, secret: &'static str) -> Self {
        Self {
            secret: Some(secret),
            ..self
        }
    }
}

/// The tools of a kind, in an order in which they may be called; what one makes a later one removes.
pub(super) fn samples(kind: PluginKind) -> Vec<Sample> {
    let user = unique("suite-user");
    match kind {
        PluginKind::AuthProvider => vec![
            sample(
                "validate_credential",
                json!({ "type": "api_key", "value": unique(SECRET) }),
                Due::Answered,
            )
            .with_secret("value"),
        ],
        PluginKind::CredentialStorage => credential_storage(&user),
        PluginKind::AuthProxy => vec![sample(
            "inject_credentials",
            json!({
                "user_id": user, "tenant_id": TENANT, "mcp_server": "suite",
                "target_url": "https://suite.example/mcp", "method": "POST",
                "headers": { "accept": "application/json" },
                "body": r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            }),
            Due::Answered,
        )],
        PluginKind::AuditSink => {
            let events = json!({ "events": [event(&user), event(&user)] });
            vec![
                sample("log_event", event(&user), Due::Done),
                sample("log_events", events, Due::Done),
            ]
        }
        PluginKind::PolicyEvaluator => policy_evaluator(&user),
        PluginKind::McpProvisioner => mcp_provisioner(&user),
        PluginKind::Telemetry => vec![
            sample(
                "record-counter",
                measured("suite_calls_total", json!(1)),
                Due::Done,
            ),
            sample(
                "record-histogram",
                measured("suite_duration_seconds", json!(0.5)),
                Due::Done,
            ),
            sample("record-gauge", measured("suite_open", json!(-1)), Due::Done),
        ],
    }
}

fn credential_storage(user: &str) -> Vec<Sample> {
    let key = json!({
        "user_id": user, "tenant_id": TENANT, "mcp_server": "suite", "credential_type": "bearer",
    });
    let kept = with(&key, "value", SECRET.into());
    let whose = json!({ "user_id": user, "tenant_id": TENANT });
    vec![
        sample("list_credentials", whose, Due::Done),
        sample("retrieve_credential", key.clone(), Due::Answered),
        sample("store_credential", kept, Due::Answered).with_secret("value"),
        sample("delete_credential", key, Due::Answered),
    ]
}

fn event(user: &str) -> Value {
    json!({
        "timestamp": "2026-01-01T00:00:00Z", "event_type": "tool_call", "tenant_id": TENANT,
        "user_id": user, "mcp_server": "suite", "tool": "probe", "result": "ok",
        "metadata": { "event_id": unique("suite"), "revision": 1 },
    })
}

fn policy_evaluator(user: &str) -> Vec<Sample> {
    let who = json!({ "user_id": user, "tenant_id": TENANT, "roles": [], "groups": ["suite"] });
    let what = [
        ("mcp_server", "suite"),
        ("tool", "probe"),
        ("kind", "tool"),
        ("method", "tools/call"),
    ];
    let action: Map<_, _> = what
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into_iter()
        .collect();
    let mut one = who.clone();
    for (name, value) in &action {
        one = with(&one, name, value.clone());
    }
    let several = with(&who, "actions", json!([action, action]));
    vec![
        sample("check_access", one, Due::Done),
        sample("check_access_batch", several, Due::Done),
    ]
}

fn mcp_provisioner(user: &str) -> Vec<Sample> {
    let spec = json!({ "type": "remote", "endpoint": "https://suite.example" });
    let provision = json!({
        "server": { "name": "suite", "spec": spec }, "user_id": user, "tenant_id": TENANT,
    });
    let unknown = json!({ "server_id": unique("suite"), "tenant_id": TENANT });
    let whose = json!({ "user_id": user, "tenant_id": TENANT });
    vec![
        sample("list", whose, Due::Done),
        sample("deprovision", unknown, Due::Answered),
        sample("provision", provision, Due::Nothing),
    ]
}

fn measured(name: &str, value: Value) -> Value {
    let attributes = json!({ "case": "protocol" });
    json!({ "name": name, "value": value, "attributes": attributes, "tenant_id": TENANT })
}

/// An object with one member more.
fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut members = object.as_object().cloned().unwrap_or_default();
    members.insert(name.to_owned(), value);
    Value::Object(members)
}

/// The same arguments with nothing as it should be: texts, numbers and lists in each other's place.
pub(super) fn of_wrong_types(arguments: &Value) -> Value {
    let members = arguments.as_object().into_iter().flatten();
    let wrong = members.map(|(name, value)| {
        let wrong = match value {
            Value::String(_) => json!([{ "no": "such" }]),
            _ => json!("no such"),
        };
        (name.clone(), wrong)
    });
    Value::Object(wrong.collect())
}
