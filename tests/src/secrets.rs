//! The secrets that tests use, all of which can be recognised, and the search for them in everything that is seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem;
use tokio::sync::watch;

/// How every secret of a test begins; see [`secret`].
const MARK: &str = "zq-secret-";
/// The same as hexadecimal digits, as which it stands in API keys.
const MARK_IN_KEYS: &str = "7a712d7365637265742d";

/// The API keys of `ada` and `bob`, and what the configuration keeps of them.
pub const ADA_KEY: &str =
    "mgk_ada_7a712d7365637265742d3b8cfa09c01f3a8e6ee7f5c326500fd2a6dd9fa6b5a5";
pub const ADA_HASH: &str =
    "sha256:b21bae04d894f65e3d999d5d210bc51e6347fd02aa029670bf53477f04a81eb0";
pub const BOB_KEY: &str =
    "mgk_bob_7a712d7365637265742dd9a7c924f77b4736c730c68a34a05680e271b8fb0866";
pub const BOB_HASH: &str =
    "sha256:4ea4c294e9ba0dd3f48162d5ea86d79a7e181c730ca3533033271eab3c811980";
/// A key that a configuration may keep as one that has expired.
pub const OLD_KEY: &str =
    "mgk_old_7a712d7365637265742d70e29cdbfe975fc2786581536da8b3cb6d571f2a0be5";
pub const OLD_HASH: &str =
    "sha256:40978942d41322b1cac3cf5e8a03e00015cdaabf987e31fab5e8c40c929a87eb";

/// The key of the files in which tests find credentials stored.
pub const VAULT_KEY: &str = "v73wVO889/Xufn+FXtKkDqg1bGTLmvBvD1x2H87lAEA=";

/// The places below a folder where the gateway keeps secrets that can be read, for their owner alone.
const KEPT: [&str; 4] = ["credentials.key", "secrets", "admin-token", "join-token"];

/// Secrets that were made while the tests run, and how each may be written.
static MADE: LazyLock<watch::Sender<Vec<Written>>> = LazyLock::new(watch::Sender::default);
static MARKS: LazyLock<Vec<Written>> = LazyLock::new(|| {
    let mut written = ways(MARK);
    written.extend(ways(MARK_IN_KEYS));
    written.extend(ways(VAULT_KEY));
    written
});

/// One way to write a text.
#[derive(Debug)]
struct Written {
    how: &'static str,
    finder: memmem::Finder<'static>,
}

/// The secret of this name.
pub fn secret(name: &str) -> String {
    format!("{MARK}{name}")
}

/// The text with the names of its secrets in their place: as the fixture says what it was sent, so that it is known to
/// be the right one and still no secret is in any answer.
pub fn named(text: &str) -> String {
    text.replace(MARK, "secret:")
}

/// From now on, this must not be seen any more: a secret that the gateway has made and shown once.
pub fn made(secret: &str) {
    MADE.send_modify(|made| made.extend(ways(secret)));
}

/// Fails the test when there is a secret in what is seen at `place`, and says where, but not what.
#[expect(
    clippy::panic,
    reason = "a secret that is seen fails the test, whatever that waits for"
)]
pub fn search(place: &str, seen: &[u8]) {
    let Some((how, at)) = find(seen) else { return };
    // What is dropped because the test has failed already must not end the process.
    if !std::thread::panicking() {
        let line = 1 + memchr::memchr_iter(b'\n', seen.get(..at).unwrap_or_default()).count();
        panic!("{place} has a secret of the test, {how}, in line {line} at byte {at}");
    }
}

/// The same for every file below a folder but those that are there to hold secrets: the gateway's own, and `but`.
pub fn search_files(folder: &Path, but: &[PathBuf]) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_kept = KEPT.iter().any(|kept| entry.file_name() == *kept);
            if is_kept || but.contains(&path) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                // What can be gone by now, or is no file, says nothing.
                Ok(kind) if kind.is_file() => {
                    search(
                        &path.display().to_string(),
                        &fs::read(&path).unwrap_or_default(),
                    );
                }
                _ => {}
            }
        }
    }
}

/// How a secret is written there, and where.
fn find(seen: &[u8]) -> Option<(&'static str, usize)> {
    let first = |written: &[Written]| {
        let mut found = written
            .iter()
            .filter_map(|one| Some((one.how, one.finder.find(seen)?)));
        found.next()
    };
    first(&MARKS).or_else(|| first(&MADE.borrow()))
}

/// The ways in which a text may be written, as far as they keep together what belongs together.
fn ways(text: &str) -> Vec<Written> {
    let each = |write: &dyn Fn(u8) -> String| text.bytes().map(write).collect::<String>();
    let mut ways = vec![
        ("as it is", text.to_owned()),
        ("in hexadecimal", each(&|byte| format!("{byte:02x}"))),
        ("in hexadecimal", each(&|byte| format!("{byte:02X}"))),
        ("in percent signs", each(&|byte| format!("%{byte:02X}"))),
        ("in percent signs", each(&|byte| format!("%{byte:02x}"))),
        ("escaped for JSON", each(&|byte| format!("\\u{byte:04x}"))),
        ("escaped for JSON", each(&|byte| format!("\\u{byte:04X}"))),
        (
            "as numbers",
            each(&|byte| format!("{byte}, "))
                .trim_end_matches(", ")
                .to_owned(),
        ),
        (
            "as numbers",
            each(&|byte| format!("{byte},"))
                .trim_end_matches(',')
                .to_owned(),
        ),
    ];
    // What must be escaped somewhere stands there like this, and everything else as it is.
    ways.push((
        "escaped for URLs",
        text.replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D"),
    ));
    ways.push(("escaped for JSON", text.replace('/', "\\/")));
    for before in 0..3 {
        let standard = in_base64(text, before);
        ways.push(("in base64", standard.replace('+', "-").replace('/', "_")));
        ways.push(("in base64", standard));
    }
    ways.sort_by(|one, other| one.1.cmp(&other.1));
    ways.dedup_by(|one, other| one.1 == other.1);
    let written = ways.into_iter().map(|(how, text)| Written {
        how,
        finder: memmem::Finder::new(text.as_bytes()).into_owned(),
    });
    written.collect()
}

/// The digits that are the text's alone where it stands behind so many bytes of something else, of every three.
fn in_base64(text: &str, before: usize) -> String {
    let all = [&[0; 2][..before], text.as_bytes()].concat();
    let digits = STANDARD_NO_PAD.encode(&all);
    let own = (before * 8).div_ceil(6)..all.len() * 8 / 6;
    digits.get(own).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use base64::engine::general_purpose::URL_SAFE;
    use serde_json::json;

    use super::*;

    /// What is said of a secret that is found.
    fn said(seen: &[u8]) -> Option<String> {
        let searched = catch_unwind(AssertUnwindSafe(|| search("the place", seen)));
        let said = searched.err()?.downcast::<String>().unwrap();
        assert!(
            find(said.as_bytes()).is_none(),
            "the message has it too: {said}"
        );
        Some(*said)
    }

    fn percents(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        for secret in [secret("token"), ADA_KEY.to_owned(), VAULT_KEY.to_owned()] {
            let text = |text: &str| text.as_bytes().to_vec();
            let mut seen = vec![
                text(&format!("Bearer {secret}\n")),
                text(&json!({ "a": [secret] }).to_string()),
                text(&json!(json!({ "a": secret }).to_string()).to_string()),
                text(&format!("?token={}", percents(&secret))),
                text(&format!("{:?}", secret.as_bytes())),
                // Pages of a database, or of a process's memory.
                [&[0; 4096], secret.as_bytes(), &[0xff; 100]].concat(),
            ];
            for before in ["", "a", "ad", "ada:"] {
                seen.push(text(&STANDARD_NO_PAD.encode(format!("{before}{secret}"))));
                seen.push(text(&URL_SAFE.encode(format!("{before}{secret}"))));
            }
            for seen in seen {
                let shown = String::from_utf8_lossy(&seen).into_owned();
                let said = said(&seen).unwrap_or_else(|| panic!("not found: {shown}"));
                assert!(said.starts_with("the place has a secret"), "{said}");
            }
        }
        let escaped: String = MARK.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let said = said(format!("one\n\"{escaped}\"").as_bytes());
        let expected = "the place has a secret of the test, escaped for JSON, in line 2 at byte 5";
        assert_eq!(said.as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_secret_is_none() {
        for seen in [
            "",
            "zq-secre",
            ADA_HASH,
            &named(&secret("ada-1")),
            "mgk_ada_…",
        ] {
            assert_eq!(said(seen.as_bytes()), None);
        }
    }

    #[test]
    fn a_secret_that_was_made_counts_from_then_on() {
        let key = format!("mgk_new_{}", uuid::Uuid::new_v4().simple());
        assert_eq!(said(key.as_bytes()), None);
        made(&key);
        assert!(said(key.as_bytes()).is_some());
    }

    #[test]
    fn files_are_searched_but_those_that_hold_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("data/secrets")).unwrap();
        for name in ["data/credentials.key", "data/secrets/a", "mine"] {
            fs::write(path(name), secret("kept")).unwrap();
        }
        let search = |but: &[PathBuf]| {
            let searched = catch_unwind(|| search_files(folder.path(), but));
            searched
                .err()
                .map(|said| *said.downcast::<String>().unwrap())
        };
        assert_eq!(search(&[path("mine")]), None);
        assert!(search(&[]).unwrap().contains("/mine has a secret"));
        fs::write(
            path("data/store.db-wal"),
            [&[0; 99], secret("row").as_bytes()].concat(),
        )
        .unwrap();
        assert!(
            search(&[path("mine")])
                .unwrap()
                .contains("store.db-wal has a secret")
        );
    }
}
