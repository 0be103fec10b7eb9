//! Which keys are accepted, when they stop, and what is said of wrong settings.

use gateway_core::SecretString;
use gateway_core::config::load_yaml;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A key and its hash as any other program would make them.
const KEY: &str = "mgk_ada_3b8cfa09c01f3a8e6ee7f5c326500fd2a6dd9fa6b5a51da04521e0e928ad2fd7";
const HASH: &str = "sha256:3e4c7261f3948fb2a188d5eb4a8228ecfab5585dac918531805c12749d61ba31";

fn settings(value: Value) -> Settings {
    serde_json::from_value(value).unwrap()
}

fn credential(text: &str) -> Credential {
    Credential {
        credential_type: "api_key".into(),
        value: SecretString::from(text),
    }
}

fn keys(entry: Value) -> ApiKeys {
    ApiKeys::new(&settings(json!({ "keys": [entry] }))).unwrap()
}

fn reason(keys: &ApiKeys, credential: &Credential, now: &str) -> String {
    match keys.judge(credential, now.parse().unwrap()) {
        Authentication::Accepted(principal) => format!("accepted as {}", principal.user_id),
        Authentication::Rejected { reason } => reason,
    }
}

#[test]
fn a_key_is_known_by_the_sha_256_of_its_text() {
    let keys = keys(
        json!({ "id": "ada", "hash": HASH, "user_id": "ada@example.com",
        "roles": ["admin"], "groups": ["staff"] }),
    );
    let judged = keys.judge(&credential(KEY), Timestamp::now());
    let Authentication::Accepted(principal) = judged else {
        panic!("{judged:?}");
    };
    assert_eq!(principal.user_id.as_str(), "ada@example.com");
    assert_eq!(
        (principal.roles, principal.groups),
        (vec!["admin".into()], vec!["staff".into()])
    );
    assert!(!format!("{keys:?}").contains(KEY));
}

#[test]
fn a_made_key_is_accepted_and_no_other_is() {
    let (one, two) = (new_key("one").unwrap(), new_key("one").unwrap());
    let keys = keys(json!({ "id": "one", "hash": one.hash, "user_id": "ada" }));
    let now = "2026-11-22T10:00:00Z";
    let said = |text: &str| reason(&keys, &credential(text), now);
    assert_eq!(said(one.text.expose_secret()), "accepted as ada");
    assert_eq!(
        said(two.text.expose_secret()),
        "not the secret of the key `one`"
    );
    assert_eq!(said(KEY), "there is no API key with this id");
    assert_eq!(
        said("hunter2"),
        "what was presented does not have the form of an API key"
    );
    assert_eq!(
        reason(&keys, &Credential::none(), now),
        "no API key was presented"
    );
    let token = Credential {
        credential_type: "jwt".into(),
        value: one.text,
    };
    assert_eq!(
        reason(&keys, &token, now),
        "what was presented is of another type than an API key"
    );
}

#[test]
fn a_key_stops_at_its_end() {
    let keys = keys(json!({ "id": "ada", "hash": HASH, "user_id": "ada",
        "expires_at": "2027-01-01T00:00:00+01:00" }));
    let said = |now: &str| reason(&keys, &credential(KEY), now);
    assert_eq!(said("2026-12-31T22:59:59Z"), "accepted as ada");
    assert_eq!(
        said("2026-12-31T23:00:00Z"),
        "the key `ada` expired at 2026-12-31T23:00:00Z"
    );
}

#[test]
fn without_keys_nobody_is_let_in() {
    let keys = ApiKeys::new(&Settings::default()).unwrap();
    assert_eq!(
        reason(&keys, &credential(KEY), "2026-11-22T10:00:00Z"),
        "there is no API key with this id"
    );
}

#[test]
fn ids_that_are_none_make_no_key() {
    for id in ["", "a_b", "Ada", "ä", &"a".repeat(33)] {
        assert_eq!(new_key(id).unwrap_err(), NewKeyError::Id(id.to_owned()));
    }
}

/// What is said of settings, as YAML has them.
fn said(settings: &str) -> String {
    let yaml = format!(
        "plugins: {{ auth_provider: {{ provider: in-memory, implementation: api-key, settings: {settings} }} }}"
    );
    let plugin = load_yaml(&yaml).unwrap().plugins.auth_provider.unwrap();
    let lines = ApiKeys::new(&plugin.settings).unwrap_err();
    let lines = lines.iter().map(|v| format!("{}: {}", v.path, v.reason));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_without_the_key() {
    let several = format!(
        "{{ keys: [{{ id: ada, hash: '{HASH}', user_id: ada }}, {{ id: ada, hash: '{KEY}', user_id: bob }}, {{ id: A, hash: 'sha256:+1', user_id: c }}] }}"
    );
    insta::assert_snapshot!(said(&several), @r"
    keys[1].id: `ada` is the id of an earlier key already
    keys[1].hash: must be `sha256:` and the 64 hexadecimal digits of the key's SHA-256
    keys[2].id: `A` is no id of a key: use 1 to 32 lower-case letters, digits and hyphens
    keys[2].hash: must be `sha256:` and the 64 hexadecimal digits of the key's SHA-256
    ");
    assert!(!said(&several).contains(KEY));
    insta::assert_snapshot!(said("{ kees: [] }"), @"kees: unknown field `kees`, expected `keys`");
    insta::assert_snapshot!(said("{ keys: [{ id: a, hash: x, user_id: '' }] }"), @"keys[0].user_id: `` is not a valid user id: use 1 to 256 bytes without control characters");
    insta::assert_snapshot!(said("{ keys: [{ id: a, hash: x, user_id: a, secret: s }] }"), @"keys[0].secret: unknown field `secret`, expected one of `id`, `hash`, `user_id`, `roles`, `groups`, `expires_at`");
    insta::assert_snapshot!(said("{ keys: [{ id: a, hash: x, user_id: a, expires_at: 2027-01-01 }] }"), @r"
    keys[0].expires_at: `2027-01-01` is no time: write it as 2027-01-01T00:00:00Z
    keys[0].hash: must be `sha256:` and the 64 hexadecimal digits of the key's SHA-256
    ");
    insta::assert_snapshot!(said("{ keys: [{ id: a, user_id: a }] }"), @"keys[0]: missing field `hash`");
}

proptest! {
    #[test]
    fn any_text_is_answered_without_being_repeated(text in "(mgk_)?[a-z_0-9]{0,80}|\\PC*") {
        let keys = keys(json!({ "id": "ada", "hash": HASH, "user_id": "ada" }));
        let said = reason(&keys, &credential(&text), "2026-11-22T10:00:00Z");
        prop_assert!(text.len() < 16 || !said.contains(&text));
        prop_assert!(!said.starts_with("accepted"));
    }

    #[test]
    fn a_hash_is_read_in_one_form_only(digits in "[0-9a-fA-F+ g]{60,66}") {
        let plain = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        prop_assert_eq!(KeyHash::parse(&format!("sha256:{digits}")).is_some(), plain);
    }
}
