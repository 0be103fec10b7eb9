//! Certificates in files that change.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;
use crate::kept::Kept;

struct Files {
    dir: TempDir,
    made: CertifiedKey<rcgen::KeyPair>,
}

impl Files {
    fn new() -> Self {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = Self { dir, made };
        files.write("cert", &files.made.cert.pem());
        files.write("key", &files.made.signing_key.serialize_pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn identity(&self) -> anyhow::Result<Identity> {
        identity(
            &Named::new("--tls-cert", &self.path("cert")),
            &Named::new("--tls-key", &self.path("key")),
        )
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name_and_flag() {
    let files = Files::new();
    assert_eq!(files.identity().unwrap().chain.len(), 1);
    let fails = |flag: &str, name: &str| {
        let error = format!("{:#}", files.identity().err().unwrap());
        let path = files.path(name).display().to_string();
        assert!(error.starts_with(&format!("{flag} {path}: ")), "{error}");
    };
    for text in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END"] {
        files.write("cert", text);
        fails("--tls-cert", "cert");
    }
    fs::remove_file(files.path("cert")).unwrap();
    fails("--tls-cert", "cert");
    files.write("cert", &files.made.cert.pem());
    for text in ["", &files.made.cert.pem()] {
        files.write("key", text);
        fails("--tls-key", "key");
    }
}

#[tokio::test]
async fn files_of_which_nothing_can_be_made_leave_what_there_was() {
    let files = Files::new();
    let path = files.path("text");
    files.write("text", "first");
    let read = path.clone();
    let kept = Kept::new("texts", vec![path], move || {
        let text = fs::read_to_string(&read)?;
        anyhow::ensure!(text != "broken", "the text is broken");
        Ok(text)
    });
    let kept = kept.unwrap();
    let current = kept.current();
    for (text, expected) in [("broken", "first"), ("second", "second")] {
        files.write("text", text);
        kept.make_anew().await;
        assert_eq!(**current.borrow(), expected);
    }
}
