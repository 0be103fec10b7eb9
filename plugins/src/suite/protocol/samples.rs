//! What the contract has the gateway call each tool with.

use gateway_core::plugin::PluginKind;
use serde_json::{Value, json};

use crate::suite::probe::{SECRET, unique};

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
    let (user, tenant) = (unique("suite-user"), "default");
    match kind {
        PluginKind::AuthProvider => vec![
            sample(
                "validate_credential",
                json!({ "type": "api_key", "value": unique(SECRET) }),
                Due::Answered,
            )
            .with_secret("value"),
        ],
        PluginKind::CredentialStorage => {
            let key = json!({
                "user_id": user, "tenant_id": tenant,
                "mcp_server": "suite", "credential_type": "bearer",
            });
            let mut kept = key.clone();
            if let Some(kept) = kept.as_object_mut() {
                kept.insert("value".to_owned(), SECRET.into());
            }
            let whose = json!({ "user_id": user, "tenant_id": tenant });
            vec![
                sample("list_credentials", whose, Due::Done),
                sample("retrieve_credential", key.clone(), Due::Answered),
                sample("store_credential", kept, Due::Answered).with_secret("value"),
                sample("delete_credential", key, Due::Answered),
            ]
        }
        PluginKind::AuthProxy => vec![sample(
            "inject_credentials",
            json!({
                "user_id": user, "tenant_id": tenant, "mcp_server": "suite",
                "target_url": "https://suite.example/mcp", "method": "POST",
                "headers": { "accept": "application/json" },
                "body": r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            }),
            Due::Answered,
        )],
        PluginKind::AuditSink => {
            let event = || {
                json!({
                    "timestamp": "2026-01-01T00:00:00Z", "event_type": "tool_call",
                    "tenant_id": tenant, "user_id": user, "mcp_server": "suite", "tool": "probe",
                    "result": "ok",
                    "metadata": { "event_id": unique("suite"), "revision": 1 },
                })
            };
            let events = json!({ "events": [event(), event()] });
            vec![
                sample("log_event", event(), Due::Done),
                sample("log_events", events, Due::Done),
            ]
        }
        PluginKind::PolicyEvaluator => {
            let what = json!({
                "mcp_server": "suite", "tool": "probe", "kind": "tool", "method": "tools/call",
            });
            let who =
                json!({ "user_id": user, "tenant_id": tenant, "roles": [], "groups": ["suite"] });
            let mut one = who.clone();
            let mut several = who;
            if let (Some(one), Some(what)) = (one.as_object_mut(), what.as_object()) {
                one.extend(what.clone());
            }
            if let Some(several) = several.as_object_mut() {
                several.insert("actions".to_owned(), json!([what, what]));
            }
            vec![
                sample("check_access", one, Due::Done),
                sample("check_access_batch", several, Due::Done),
            ]
        }
        PluginKind::McpProvisioner => {
            let server = json!({
                "name": "suite",
                "spec": { "type": "remote", "endpoint": "https://suite.example" },
            });
            let provision = json!({ "server": server, "user_id": user, "tenant_id": tenant });
            let unknown = json!({ "server_id": unique("suite"), "tenant_id": tenant });
            let whose = json!({ "user_id": user, "tenant_id": tenant });
            vec![
                sample("list", whose, Due::Done),
                sample("deprovision", unknown, Due::Answered),
                sample("provision", provision, Due::Nothing),
            ]
        }
        PluginKind::Telemetry => {
            let measured = |name: &str, value: Value| {
                let attributes = json!({ "case": "protocol" });
                json!({ "name": name, "value": value, "attributes": attributes, "tenant_id": tenant })
            };
            vec![
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
            ]
        }
    }
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
