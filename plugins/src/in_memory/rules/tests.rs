//! Which rule decides, and what is said of wrong ones.

use gateway_core::config::load_yaml;
use gateway_core::{Deadline, RequestId, ServerName, TenantId};
use proptest::prelude::*;

use super::*;

fn settings(rules: &str) -> Settings {
    let yaml = format!(
        "plugins: {{ policy_evaluator: {{ provider: in-memory, implementation: rules, settings: {{ rules: {rules} }} }} }}"
    );
    load_yaml(&yaml)
        .unwrap()
        .plugins
        .policy_evaluator
        .remove(0)
        .settings
}

fn rules(text: &str) -> Rules {
    Rules::new(&settings(text)).unwrap()
}

fn caller(user: &str, roles: &[&str], groups: &[&str]) -> Principal {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Principal {
        roles: texts(roles),
        groups: texts(groups),
        ..Principal::named(user.parse().unwrap())
    }
}

/// `allowed`, or the reason.
fn said(rules: &Rules, caller: &Principal, server: &str, kind: ItemKind, name: &str) -> String {
    let server: ServerName = server.parse().unwrap();
    let action = Action {
        server: &server,
        method: "x",
        kind,
        name,
    };
    let deadline = Deadline::after(std::time::Duration::from_secs(60));
    let context = CallContext::new(TenantId::default(), deadline, RequestId::new("r1"));
    let checked = rules.check_access(&context, caller, std::slice::from_ref(&action));
    let mut decisions = futures_util::FutureExt::now_or_never(checked)
        .unwrap()
        .unwrap();
    match decisions.remove(0) {
        Decision::Allow => "allowed".to_owned(),
        Decision::Deny { reason } | Decision::Undecided { reason } => reason,
    }
}

const COMPANY: &str = "[
    { name: no-deletes, effect: deny, kinds: [tool], names: ['delete_*', '*_purge'] },
    { effect: allow, roles: [admin] },
    { name: readers, effect: allow, groups: ['eng-*', ops], servers: [files, 'git*'], kinds: [tool, resource], names: ['read_*', 'file:///pub/*'] },
    { effect: deny, users: ['*@contractor.example'] },
    { effect: allow, users: ['eve*'], servers: [wiki] },
]";

#[test]
fn the_first_rule_that_fits_decides() {
    use ItemKind::{Prompt, Resource, Tool};
    let rules = rules(COMPANY);
    let admin = caller("root", &["staff", "admin"], &[]);
    let reader = caller("ada", &[], &["eng-core"]);
    let eve = caller("eve@contractor.example", &[], &["ops"]);
    for (who, server, kind, name, expected) in [
        (
            &admin,
            "files",
            Tool,
            "delete_all",
            "rule `no-deletes` denies it",
        ),
        (
            &admin,
            "files",
            Tool,
            "cache_purge",
            "rule `no-deletes` denies it",
        ),
        (&admin, "files", Prompt, "delete_all", "allowed"),
        (&admin, "mail", Tool, "send", "allowed"),
        (&reader, "files", Tool, "read_file", "allowed"),
        (&reader, "gitlab", Tool, "read_file", "allowed"),
        (&reader, "files", Resource, "file:///pub/a", "allowed"),
        (
            &reader,
            "files",
            Resource,
            "file:///etc/passwd",
            "no rule allows it",
        ),
        (&reader, "files", Prompt, "read_me", "no rule allows it"),
        (&reader, "mail", Tool, "read_mail", "no rule allows it"),
        (&eve, "files", Tool, "read_file", "allowed"),
        (&eve, "wiki", Tool, "edit", "rules[3] denies it"),
    ] {
        assert_eq!(
            said(&rules, who, server, kind, name),
            expected,
            "{} {server} {name}",
            who.user_id
        );
    }
    let eve = caller("eve", &[], &[]);
    assert_eq!(said(&rules, &eve, "wiki", Tool, "edit"), "allowed");
}

#[test]
fn without_rules_everything_is_denied() {
    let rules = Rules::new(&Settings::default()).unwrap();
    let ada = caller("ada", &["admin"], &[]);
    assert_eq!(
        said(&rules, &ada, "files", ItemKind::Tool, "read"),
        "no rule allows it"
    );
}

#[test]
fn a_condition_on_roles_is_not_met_by_somebody_without_any() {
    let rules = rules("[{ effect: allow, roles: ['*'] }]");
    assert_eq!(
        said(
            &rules,
            &caller("ada", &[], &["admin"]),
            "files",
            ItemKind::Tool,
            "read"
        ),
        "no rule allows it"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said = |text: &str| {
        let violations = Rules::new(&settings(text)).unwrap_err().into_iter();
        let lines = violations.map(|v| format!("{}: {}", v.path, v.reason));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(said("[{ effect: allow, roles: [], kinds: [] }, { effect: deny, names: [] }]"), @r"
    rules[0].roles: is empty, so that the rule would never apply: list something, or leave it out for everything
    rules[0].kinds: is empty, so that the rule would never apply: list something, or leave it out for everything
    rules[1].names: is empty, so that the rule would never apply: list something, or leave it out for everything
    ");
    insta::assert_snapshot!(said("[{ effect: permit }]"), @"rules[0].effect: unknown variant `permit`, expected `allow` or `deny`");
    insta::assert_snapshot!(said("[{ effect: allow, kinds: [tools] }]"), @"rules[0].kinds[0]: unknown variant `tools`, expected one of `tool`, `prompt`, `resource`, `resource_template`, `task`");
    insta::assert_snapshot!(said("[{ effect: allow, role: [a] }]"), @"rules[0].role: unknown field `role`, expected one of `name`, `effect`, `users`, `roles`, `groups`, `servers`, `kinds`, `names`");
    insta::assert_snapshot!(said("[{ roles: [a] }]"), @"rules[0]: missing field `effect`");
    insta::assert_snapshot!(said("[{ effect: allow, roles: a }]"), @r#"rules[0].roles: invalid type: string "a", expected a sequence"#);
}

proptest! {
    /// Adding rules at the end never takes an allowance away, nor a rule's denial.
    #[test]
    fn later_rules_change_nothing_that_is_decided(
        effects in proptest::collection::vec((any::<bool>(), "[ab*]{1,3}"), 1..6),
        name in "[ab]{0,4}",
    ) {
        let written = |count: usize| {
            let rules = effects.iter().take(count).map(|(allow, name)| {
                let effect = if *allow { "allow" } else { "deny" };
                format!("{{ effect: {effect}, names: ['{name}'] }}")
            });
            rules.collect::<Vec<_>>().join(", ")
        };
        let ada = caller("ada", &[], &[]);
        let decided = |count| said(&rules(&format!("[{}]", written(count))), &ada, "files", ItemKind::Tool, &name);
        for count in 1..effects.len() {
            let (before, after) = (decided(count), decided(count + 1));
            prop_assert!(before == after || before == "no rule allows it");
        }
    }
}
