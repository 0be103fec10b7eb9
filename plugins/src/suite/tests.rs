//! Every implementation passes its suite, and a suite finds what is wrong.

mod broken;
mod working;

use std::fs::{self, File};
use std::sync::Arc;

use gateway_core::config::ServerSpec;
use gateway_core::plugin::{CredentialStorage, ItemKind};
use gateway_core::{Credential, CredentialKey, ExposeSecret, Principal, SecretString, UserId};

use super::*;
use crate::in_memory::{
    self, AllMustAllow, AlwaysAllow, ApiKeys, DenyAll, DesktopImplicit, EverySink, JsonLines,
    LineWriter, Noop, NotConfigured,
};
use crate::{NewKey, new_key};

/// Holds a report to having found nothing, and to having judged all but `skipped` cases.
#[track_caller]
fn passed(report: &Report, skipped: usize) {
    assert!(report.failures().is_empty(), "{report}");
    let not_applicable = |finding: &&Finding| matches!(finding.verdict, Verdict::NotApplicable(_));
    let found = report.findings.iter().filter(not_applicable).count();
    assert_eq!(found, skipped, "{report}");
}

/// The failed cases, with what was found.
fn findings(report: &Report) -> String {
    let mut lines = Vec::new();
    for finding in report.failures() {
        if let Verdict::Failed(what) = &finding.verdict {
            lines.push(format!("{}: {what}", finding.case));
        }
    }
    lines.join("\n")
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn api_key(value: &str) -> Credential {
    Credential {
        credential_type: "api_key".into(),
        value: SecretString::from(value),
    }
}

fn accounts() -> Accounts {
    Accounts {
        accepted: vec![
            (api_key("key-of-ada"), user("ada")),
            (api_key("key-of-bob"), user("bob")),
        ],
        rejected: vec![api_key("key-of-nobody"), Credential::none()],
    }
}

fn access(name: &str) -> Access {
    Access {
        principal: Principal::named(user("ada")),
        server: "files".parse().unwrap(),
        method: "tools/call".into(),
        kind: ItemKind::Tool,
        name: name.into(),
    }
}

fn rules() -> Rules {
    Rules {
        allowed: vec![access("read"), access("walk")],
        denied: vec![access("write")],
    }
}

fn proxy_call(user_id: &str) -> ProxyCall {
    ProxyCall {
        user_id: user(user_id),
        server: "files".parse().unwrap(),
        target_url: "https://files.example/mcp".into(),
        method: "POST".into(),
        headers: vec![("accept".into(), "application/json".into())],
        body: r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.into(),
    }
}

fn injections(known: &[&str]) -> Injections {
    let due = |user: &&str| {
        let header = (
            "authorization".to_owned(),
            SecretString::from(format!("Bearer of {user}")),
        );
        (proxy_call(user), vec![header])
    };
    Injections {
        known: known.iter().map(due).collect(),
        unknown: proxy_call("mallory"),
    }
}

fn command() -> ServerSpec {
    ServerSpec::Command {
        command: "server".into(),
        args: Vec::new(),
        env: Default::default(),
        cwd: None,
    }
}

fn elsewhere() -> ServerSpec {
    ServerSpec::Remote {
        endpoint: "https://files.example".into(),
        headers: Default::default(),
        auth: None,
        tls: None,
    }
}

#[tokio::test]
async fn authentication_passes() {
    let anything = Accounts {
        accepted: vec![
            (Credential::none(), user("desktop-user")),
            (api_key("anything"), user("desktop-user")),
        ],
        rejected: Vec::new(),
    };
    passed(
        &auth_provider(Arc::new(DesktopImplicit::new()), anything).await,
        1,
    );
    let nothing = Accounts {
        accepted: Vec::new(),
        rejected: vec![Credential::none(), api_key("anything")],
    };
    passed(&auth_provider(Arc::new(DenyAll), nothing).await, 1);
    let (ada, bob, gone) = (new_key("ada"), new_key("bob"), new_key("gone"));
    let [ada, bob, gone] = [ada, bob, gone].map(Result::unwrap);
    let settings = serde_json::json!({ "keys": [
        { "id": "ada", "hash": ada.hash, "user_id": "ada" },
        { "id": "bob", "hash": bob.hash, "user_id": "bob" },
        { "id": "gone", "hash": gone.hash, "user_id": "eve", "expires_at": "2020-01-01T00:00:00Z" },
    ] });
    let keys = ApiKeys::new(&serde_json::from_value(settings).unwrap()).unwrap();
    let held = |key: &NewKey| api_key(key.text.expose_secret());
    let holders = Accounts {
        accepted: vec![(held(&ada), user("ada")), (held(&bob), user("bob"))],
        rejected: vec![
            held(&gone),
            held(&new_key("ada").unwrap()),
            Credential::none(),
        ],
    };
    passed(&auth_provider(Arc::new(keys), holders).await, 0);
    passed(
        &auth_provider(Arc::new(working::KeysOfUsers), accounts()).await,
        0,
    );
}

#[tokio::test]
async fn policy_passes() {
    let all = Rules {
        allowed: vec![access("read"), access("write")],
        denied: Vec::new(),
    };
    passed(
        &policy_evaluator(Arc::new(AlwaysAllow), all.clone()).await,
        0,
    );
    let none = Rules {
        allowed: Vec::new(),
        denied: all.allowed,
    };
    passed(&policy_evaluator(Arc::new(DenyAll), none).await, 0);
    let settings = serde_json::json!({ "rules": [
        { "effect": "deny", "names": ["write"] },
        { "effect": "allow", "users": ["ada"], "servers": ["files"], "kinds": ["tool"] },
    ] });
    let evaluator = in_memory::Rules::new(&serde_json::from_value(settings).unwrap()).unwrap();
    passed(&policy_evaluator(Arc::new(evaluator), rules()).await, 0);
    let both = AllMustAllow::new(vec![
        ("all".into(), Arc::new(AlwaysAllow)),
        ("some".into(), Arc::new(working::NoWrites)),
    ]);
    passed(&policy_evaluator(Arc::new(both), rules()).await, 0);
}

#[tokio::test]
async fn audit_passes() {
    let directory = tempfile::tempdir().unwrap();
    let sink = |name: &'static str| {
        let path = directory.path().join(name);
        let file = File::create(&path).unwrap();
        let sink = Arc::new(JsonLines::new(LineWriter::start(name, file).unwrap()));
        (
            sink,
            ReadBack::new(move || fs::read_to_string(&path).unwrap()),
        )
    };
    let (alone, read_back) = sink("alone");
    passed(&audit_sink(alone, Some(read_back)).await, 0);

    let (first, _) = sink("first");
    let (second, read_back) = sink("second");
    let both = Arc::new(EverySink::new(vec![
        ("first".into(), first),
        ("second".into(), second),
    ]));
    passed(&audit_sink(both, Some(read_back)).await, 0);
    let (first, second) = ("first", "second");
    let [first, second] =
        [first, second].map(|name| fs::read_to_string(directory.path().join(name)).unwrap());
    assert_eq!(first.lines().count(), second.lines().count());

    let path = directory.path().join("rotating");
    let settings = serde_json::json!({ "max_bytes": 100_000, "keep": 1000 });
    let settings = serde_json::from_value(settings).unwrap();
    let disk = Some(gateway_core::config::AuditDurability::Disk);
    let (_, limits) = in_memory::Limits::read(&settings, disk).unwrap();
    let writer = in_memory::Outputs::default().file(&path, limits).unwrap();
    let read_back = ReadBack::new(in_memory::audit_files(path));
    passed(
        &audit_sink(Arc::new(JsonLines::new(writer)), Some(read_back)).await,
        0,
    );

    let (unread, _) = sink("unread");
    passed(&audit_sink(unread, None).await, 1);
}

#[tokio::test]
async fn credential_storage_passes() {
    passed(
        &credential_storage(Arc::new(NotConfigured), Keeping::Nothing).await,
        5,
    );
    let memory = Arc::new(in_memory::Memory::default());
    passed(&credential_storage(memory, Keeping::Everything).await, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = in_memory::EncryptedFile::new(&Default::default(), folder.path()).unwrap();
    passed(
        &credential_storage(Arc::new(file), Keeping::Everything).await,
        1,
    );
    let kept = Arc::new(working::Kept::default());
    passed(
        &credential_storage(kept.clone(), Keeping::Everything).await,
        1,
    );
    assert!(kept.is_empty().await, "the suite leaves credentials behind");
}

#[tokio::test]
async fn auth_proxy_passes() {
    passed(
        &auth_proxy(Arc::new(NotConfigured), injections(&[])).await,
        4,
    );
    let storage = Arc::new(in_memory::Memory::default());
    for name in ["ada", "bob"] {
        let key = CredentialKey {
            user_id: user(name),
            server: "files".into(),
            credential_type: "bearer".into(),
        };
        let value = SecretString::from(format!("of {name}"));
        storage.store(&probe::context(), &key, value).await.unwrap();
    }
    let bearer = in_memory::Injecting::bearer(&Default::default()).unwrap();
    let bearer = in_memory::StoredCredential::new(bearer, storage);
    passed(
        &auth_proxy(Arc::new(bearer), injections(&["ada", "bob"])).await,
        0,
    );
    passed(
        &auth_proxy(Arc::new(working::BearerOf), injections(&["ada", "bob"])).await,
        0,
    );
}

#[tokio::test]
async fn provisioning_passes() {
    let nothing = Running {
        possible: None,
        impossible: Some(command()),
    };
    passed(&mcp_provisioner(Arc::new(NotConfigured), nothing).await, 4);
    let commands = Running {
        possible: Some(command()),
        impossible: Some(elsewhere()),
    };
    let started = Arc::new(working::Started::default());
    passed(&mcp_provisioner(started.clone(), commands).await, 0);
    assert!(started.is_empty().await, "the suite leaves servers behind");
}

#[tokio::test]
async fn telemetry_passes() {
    passed(&telemetry(Arc::new(Noop)).await, 0);
    let metrics = Arc::default();
    let prometheus = in_memory::Prometheus::new(&Default::default(), &metrics);
    passed(&telemetry(Arc::new(prometheus)).await, 0);
    metrics.render(&[]).unwrap();
}

#[tokio::test]
async fn finds_a_provider_that_repeats_credentials_and_one_that_hangs() {
    let report = auth_provider(Arc::new(broken::Talkative), accounts()).await;
    insta::assert_snapshot!(findings(&report), @r"
    rejects_bad_credentials_without_repeating_them: the reason repeats the credential
    answers_hostile_credentials: the reason repeats the credential
    keeps_callers_apart_who_ask_at_once: the reason repeats the credential
    is_usable_after_dropped_calls: the reason repeats the credential
    ");
    assert!(!report.to_string().contains("key-of-ada"), "{report}");
    let report = auth_provider(Arc::new(broken::HangsWhenLate), accounts()).await;
    insta::assert_snapshot!(findings(&report), @"returns_when_the_deadline_has_passed: had not returned 2s after the deadline");
}

#[tokio::test]
async fn finds_an_evaluator_that_leaves_out_what_it_denies() {
    let report = policy_evaluator(Arc::new(broken::AllowedOnly), rules()).await;
    insta::assert_snapshot!(findings(&report), @r"
    decides_each_known_case: 0 decisions on 1 actions
    gives_one_decision_for_each_action_in_order: 667 decisions on 1000 actions
    keeps_callers_apart_who_ask_at_once: 0 decisions on 1 actions
    is_usable_after_dropped_calls: 0 decisions on 1 actions
    ");
}

#[tokio::test]
async fn finds_a_sink_that_breaks_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit");
    let sink = Arc::new(broken::RawText::new(&path));
    let report = audit_sink(
        sink,
        Some(ReadBack::new(move || fs::read_to_string(&path).unwrap())),
    );
    let report = report.await;
    let cases: Vec<_> = report
        .failures()
        .iter()
        .map(|finding| finding.case)
        .collect();
    insta::assert_snapshot!(cases.join("\n"), @r"
    takes_events_of_any_text_and_size
    keeps_events_whole_that_come_at_once
    is_usable_after_dropped_calls
    stores_events_whole_and_once
    ");
}

#[tokio::test]
async fn finds_a_storage_that_forgets_the_tenant() {
    let storage = Arc::new(broken::OneTenant::default());
    let report = credential_storage(Arc::clone(&storage) as _, Keeping::Everything).await;
    insta::assert_snapshot!(findings(&report), @"keeps_tenants_and_users_apart: has a value for `bearer` of server `files` where there is none");
    // The case that failed did not come to removing what it had stored.
    assert!(storage.0.is_empty().await, "credentials are left behind");
}

#[tokio::test]
async fn finds_a_proxy_that_oversteps() {
    let report = auth_proxy(Arc::new(broken::Overstepping), injections(&["ada"])).await;
    insta::assert_snapshot!(findings(&report), @r"
    says_not_found_without_a_credential: failed with `permission_denied` where `not_found` is due: not allowed: no credential
    sets_no_header_of_the_gateways_own: sets `host`
    leaves_the_message_what_it_is: the new body has another `/method`
    is_usable_after_dropped_calls: failed with `permission_denied` where `not_found` is due: not allowed: no credential
    ");
}

#[tokio::test]
async fn finds_a_provisioner_that_starts_twice() {
    let running = Running {
        possible: Some(command()),
        impossible: None,
    };
    let report = mcp_provisioner(Arc::new(broken::StartsAgain::default()), running).await;
    let cases: Vec<_> = report
        .failures()
        .iter()
        .map(|finding| finding.case)
        .collect();
    insta::assert_snapshot!(cases.join("\n"), @r"
    runs_one_instance_until_it_is_stopped
    runs_one_instance_for_calls_at_once
    lists_by_name
    keeps_tenants_apart
    is_usable_after_dropped_calls
    ");
}

#[tokio::test]
async fn finds_telemetry_that_panics() {
    let report = telemetry(Arc::new(broken::Finite)).await;
    insta::assert_snapshot!(findings(&report), @r"
    takes_any_value: panicked
    takes_measurements_that_come_at_once: panicked when called by many at once
    bears_measurements_after_closing: panicked
    ");
}
