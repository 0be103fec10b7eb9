//! A real GNOME Keyring in a D-Bus session of its own.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::{env, fs};

use super::*;
use crate::in_memory::EncryptedFile;
use crate::suite::{Keeping, credential_storage};

const FOLDER: &str = "GATEWAY_PLUGINS_TEST_KEYCHAIN";

/// What the test below runs within the session.
#[tokio::test]
async fn the_suite_within_a_session() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let keychain = Arc::new(Keychain::new(Path::new(&folder)));
    let report = credential_storage(keychain, Keeping::Everything).await;
    assert!(report.failures().is_empty(), "{report}");

    let settings = serde_json::json!({ "key_in_keychain": true });
    let settings = serde_json::from_value(settings).unwrap();
    for _ in 0..2 {
        let file = EncryptedFile::new(&settings, Path::new(&folder)).unwrap();
        let report = credential_storage(Arc::new(file), Keeping::Everything).await;
        assert!(report.failures().is_empty(), "{report}");
    }
    assert!(!Path::new(&folder).join("credentials.key").exists());
    writeln!(io::stdout(), "the suite has run").unwrap();
}

/// What the test below runs where there is no session.
#[tokio::test]
async fn a_call_without_a_session() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let keychain = Keychain::new(Path::new(&folder));
    let deadline = Deadline::after(Duration::from_secs(20));
    let request = gateway_core::RequestId::new("r1");
    let context = CallContext::new(TenantId::default(), deadline, request);
    let key = CredentialKey {
        user_id: "ada".parse().unwrap(),
        server: "github".into(),
        credential_type: "bearer".into(),
    };
    let error = keychain.retrieve(&context, &key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    writeln!(io::stdout(), "it was refused").unwrap();
}

/// Runs one of the tests above in an environment of its own, below `start`; `None` when what
/// starts it is not installed.
fn run(start: &[&str], test: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&runtime, mode).unwrap();
    let (program, arguments) = start.split_first().unwrap();
    let child = Command::new(program)
        .args(arguments)
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test])
        .env(FOLDER, folder.path())
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .stdin(Stdio::null())
        .output();
    let output = match child {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn the_secret_service_keeps_what_it_is_given() {
    let keyring = "command -v gnome-keyring-daemon >/dev/null || { echo missing; exit; }; \
                   printf 'test\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null; \
                   exec \"$0\" \"$@\"";
    let start = ["dbus-run-session", "--", "sh", "-c", keyring];
    let said = run(
        &start,
        "in_memory::keychain::tests::the_suite_within_a_session",
    );
    match said.as_deref() {
        None | Some("missing\n") => {
            let needs = "gnome-keyring and dbus-daemon";
            writeln!(
                io::stderr(),
                "\n!!! NOT TESTED: the keychain, which needs {needs}\n"
            )
            .unwrap();
        }
        Some(said) => assert!(said.contains("the suite has run"), "{said}"),
    }
}

#[test]
fn without_a_service_a_credential_is_not_missing_but_unknown() {
    let said = run(
        &["env"],
        "in_memory::keychain::tests::a_call_without_a_session",
    )
    .unwrap();
    assert!(said.contains("it was refused"), "{said}");
}
