//! What the file shows and what is refused.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use gateway_core::{Deadline, ExposeSecret, RequestId, TenantId};
use serde_json::json;

use super::*;

/// The files of a first version.
const KEY_FILE: &str = "v73wVO889/Xufn+FXtKkDqg1bGTLmvBvD1x2H87lAEA=\n";
const VAULT_FILE: &str = r#"mcp-gateway-credentials 1 eb1db0ec-f1bc-4988-9f54-60321adcb55c
{"tenant":"default","user":"ada","server":"one","type":"bearer","created_at":"2026-11-22T21:00:43.557443087Z","sealed":"MeJP0FUsM7rRdgD7WYXLi+mz29es3yvAsfawYOcyEfagEd4mV4yTdQ=="}
{"tenant":"default","user":"bob","server":"one","type":"bearer","created_at":"2026-11-22T21:00:43.568466297Z","sealed":"ZtQufzCyewSM+YqJmZrcK2VlVf97abxDH6eIDTewNglcNR9S7obl5A=="}
"#;

pub(super) fn context() -> CallContext {
    let deadline = Deadline::after(Duration::from_secs(60));
    CallContext::new(TenantId::default(), deadline, RequestId::new("r1"))
}

pub(super) fn storage(folder: &Path) -> EncryptedFile {
    EncryptedFile::new(&Settings::default(), folder).unwrap()
}

pub(super) fn key(server: &str) -> CredentialKey {
    CredentialKey {
        user_id: "ada".parse().unwrap(),
        server: server.to_owned(),
        credential_type: "bearer".to_owned(),
    }
}

pub(super) async fn put(storage: &EncryptedFile, server: &str, value: &str) {
    let value = SecretString::from(value);
    storage
        .store(&context(), &key(server), value)
        .await
        .unwrap();
}

pub(super) async fn get(storage: &EncryptedFile, server: &str) -> Option<String> {
    let found = storage.retrieve(&context(), &key(server)).await.unwrap();
    found.map(|value| value.expose_secret().to_owned())
}

/// Every cause of the refusal to read a credential.
async fn refusal(storage: &EncryptedFile, server: &str) -> String {
    let error = storage
        .retrieve(&context(), &key(server))
        .await
        .unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    format!("{error}: {cause}")
}

#[tokio::test]
async fn another_process_reads_what_one_wrote_and_the_files_show_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (storage(folder.path()), storage(folder.path()));
    put(&one, "github", "hunter2").await;
    assert_eq!(get(&other, "github").await.as_deref(), Some("hunter2"));
    put(&other, "github", "hunter3").await;
    assert_eq!(get(&one, "github").await.as_deref(), Some("hunter3"));
    one.delete(&context(), &key("github")).await.unwrap();
    assert_eq!(get(&other, "github").await, None);
    put(&one, "github", "hunter2").await;
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!fs::read_to_string(file.path()).unwrap().contains("hunter"));
    }
}

#[tokio::test]
async fn a_value_is_good_in_its_own_place_only() {
    let folder = tempfile::tempdir().unwrap();
    let writer = storage(folder.path());
    put(&writer, "github", "hunter2").await;
    let path = folder.path().join("credentials");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"github\"", "\"gitlab\""),
        ("\"ada\"", "\"bob\""),
        ("\"default\"", "\"acme\""),
        ("\"bearer\"", "\"api_key\""),
        ("\"created_at\":\"2", "\"created_at\":\"1"),
    ] {
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let key = CredentialKey {
            user_id: if from == "\"ada\"" { "bob" } else { "ada" }
                .parse()
                .unwrap(),
            server: if from == "\"github\"" {
                "gitlab"
            } else {
                "github"
            }
            .into(),
            credential_type: if from == "\"bearer\"" {
                "api_key"
            } else {
                "bearer"
            }
            .into(),
        };
        let mut context = context();
        if from == "\"default\"" {
            context.tenant = "acme".parse().unwrap();
        }
        let error = storage(folder.path())
            .retrieve(&context, &key)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{from}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_to_the_operator_and_not_to_the_client() {
    let folder = tempfile::tempdir().unwrap();
    put(&storage(folder.path()), "github", "hunter2").await;
    let path = folder.path().join("credentials");
    let key = folder.path().join("credentials.key");
    let said = async |what: &str| {
        let said = refusal(&storage(folder.path()), "github").await;
        assert!(said.contains(what), "{said}");
        let (public, _) = said.split_once(": ").unwrap();
        assert_eq!(public, "the credential storage cannot be used");
    };
    let good = fs::read(&key).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        said("can be read by others: chmod 600 it").await;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(&key, "c2hvcnQ=\n").unwrap();
    said("holds no key").await;
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    said("was sealed with another key").await;
    fs::remove_file(&key).unwrap();
    said("is missing, without which nothing").await;
    fs::write(&key, good).unwrap();
    fs::write(&path, "anything\n").unwrap();
    said("is no credential").await;
}

#[tokio::test]
async fn reads_what_an_earlier_version_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let mut file = crate::files::private();
        let file = file
            .write(true)
            .create_new(true)
            .open(folder.path().join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    };
    put("credentials.key", KEY_FILE);
    put("credentials", VAULT_FILE);
    let storage = storage(folder.path());
    assert_eq!(get(&storage, "one").await.as_deref(), Some("token-of-ada"));
}

#[test]
fn wrong_settings_are_named() {
    let said = |settings: serde_json::Value| {
        let violations = EncryptedFile::validate(&serde_json::from_value(settings).unwrap());
        let lines = violations
            .iter()
            .map(|v| format!("{}: {}", v.path, v.reason));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(said(json!({ "path": "", "key_file": "/" })), @r"
    path: names no file
    key_file: names no file
    ");
    insta::assert_snapshot!(said(json!({ "key_file": "k", "key_in_keychain": true })), @"key_in_keychain: says another place for the key than `key_file`: keep one of the two");
    insta::assert_snapshot!(said(json!({ "key": "x" })), @"key: unknown field `key`, expected one of `path`, `key_file`, `key_in_keychain`");
    let same: Settings = serde_json::from_value(json!({ "path": "a", "key_file": "a" })).unwrap();
    let violations = EncryptedFile::new(&same, Path::new("")).err().unwrap();
    insta::assert_snapshot!(violations[0].reason, @"is the file of the credentials itself: name another");
}

#[tokio::test]
async fn processes_that_write_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let writers = (0..4).map(|writer| {
        let storage = storage(folder.path());
        async move {
            for count in 0..25 {
                put(&storage, &format!("s{writer}-{count}"), "x").await;
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let user = "ada".parse().unwrap();
    let listed = storage(folder.path())
        .list(&context(), &user)
        .await
        .unwrap();
    assert_eq!(listed.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_is_not_read_again_until_the_file_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, other) = (storage(folder.path()), storage(folder.path()));
    put(&other, "one", "first").await;
    let known = || {
        let found = storage
            .vault
            .retrieve_known(&TenantId::default(), &key("one"));
        found.map(|found| found.unwrap().map(|value| value.expose_secret().to_owned()))
    };
    assert_eq!(known(), None, "nothing has been read");
    assert_eq!(get(&storage, "one").await.as_deref(), Some("first"));
    assert_eq!(known(), Some(Some("first".to_owned())));
    for value in ["second", "third", "other"] {
        put(&other, "one", value).await;
        assert_eq!(known(), None, "the file is another one");
        assert_eq!(get(&storage, "one").await.as_deref(), Some(value));
        assert_eq!(known(), Some(Some(value.to_owned())));
    }
    let removed = other.delete(&context(), &key("one")).await;
    removed.unwrap();
    assert_eq!(get(&storage, "one").await, None);
    assert_eq!(known(), Some(None));
    fs::remove_file(folder.path().join("credentials")).unwrap();
    assert_eq!(known(), None);
    assert_eq!(get(&storage, "one").await, None);
}
