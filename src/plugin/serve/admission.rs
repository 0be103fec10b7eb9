//! Who may call a plugin that is served over HTTP: who has one of its tokens, or a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::sync::watch;

use crate::exit::Failure;
use crate::kept::Kept;

/// What a caller has to show.
#[derive(Debug, Args)]
pub(super) struct AdmissionArgs {
    /// The tokens of which a caller has to send one, as `Authorization: Bearer TOKEN`, one a line. Read
    /// again when the file changes.
    #[arg(long, env = "MCP_GATEWAY_BEARER_FILE", value_name = "FILE")]
    bearer_file: Option<PathBuf>,

    /// The authorities of which one must have signed the caller's certificate, as PEM; with --tls-cert. Read again
    /// when the file changes.
    #[arg(
        long,
        env = "MCP_GATEWAY_TLS_CLIENT_CA",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    tls_client_ca: Option<PathBuf>,
}

/// What is asked of callers; where both are, both have to be shown.
pub(super) struct Admission {
    tokens: Option<Tokens>,
    certificate: bool,
}

struct Tokens {
    current: watch::Receiver<Arc<Hashes>>,
    /// Until somebody keeps it up.
    kept: Option<Kept<Hashes>>,
}

/// The SHA-256 of each token, so that how long a comparison takes says nothing of them.
type Hashes = Vec<Vec<u8>>;

/// What a caller lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lacks {
    #[error("send one of the plugin's tokens as `Authorization: Bearer TOKEN`")]
    Token,
    #[error("show a certificate that the plugin's authorities have signed")]
    Certificate,
}

impl AdmissionArgs {
    pub(super) fn client_ca(&self) -> Option<&Path> {
        self.tls_client_ca.as_deref()
    }

    pub(super) fn read(&self, is_tls: bool) -> Result<Admission, Failure> {
        let tokens = self.bearer_file.clone().map(|path| {
            let read = move || hashes(&path);
            let paths = self.bearer_file.iter().cloned().collect();
            let kept = Kept::new("the plugin's tokens", paths, read)?;
            let current = kept.current();
            let kept = Some(kept);
            anyhow::Ok(Tokens { current, kept })
        });
        Ok(Admission {
            tokens: tokens
                .transpose()
                .map_err(|error| Failure::invalid(format!("{error:#}")))?,
            certificate: is_tls && self.tls_client_ca.is_some(),
        })
    }
}

impl Admission {
    /// Whether anything is asked at all.
    pub(super) fn asks(&self) -> bool {
        self.tokens.is_some() || self.certificate
    }

    /// What has to be read again when it changes; the first call gets it.
    pub(super) fn tokens(&mut self) -> Option<Kept<Hashes>> {
        self.tokens.as_mut().and_then(|tokens| tokens.kept.take())
    }

    /// Lets a caller in, or says what is missing.
    pub(super) fn check(&self, headers: &HeaderMap, has_certificate: bool) -> Result<(), Lacks> {
        if self.certificate && !has_certificate {
            return Err(Lacks::Certificate);
        }
        match &self.tokens {
            Some(tokens) if !tokens.has(headers) => Err(Lacks::Token),
            _ => Ok(()),
        }
    }
}

impl Tokens {
    fn has(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(token), None) = (given.next().and_then(bearer), given.next()) else {
            return false;
        };
        let given = digest(&SHA256, token.as_bytes());
        let known = self.current.borrow();
        let mut found = false;
        for hash in known.iter() {
            found |= verify_slices_are_equal(hash, given.as_ref()).is_ok();
        }
        found
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// How short a token may be that cannot be guessed.
const SHORTEST: usize = 16;

fn hashes(path: &Path) -> anyhow::Result<Hashes> {
    let shown = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("--bearer-file {shown} cannot be read"))?;
    let mut hashes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() {
            continue;
        }
        let is_plain = |byte: u8| (b'!'..=b'~').contains(&byte);
        if token.len() < SHORTEST || !token.bytes().all(is_plain) {
            let number = number + 1;
            bail!(
                "--bearer-file {shown}, line {number}: a token is {SHORTEST} printable characters or more, without spaces"
            );
        }
        hashes.push(digest(&SHA256, token.as_bytes()).as_ref().to_vec());
    }
    if hashes.is_empty() {
        bail!(
            "--bearer-file {shown} has no token: write one in each line, such as that of `openssl rand -hex 32`"
        );
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn admission(text: &str) -> Result<Admission, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args = AdmissionArgs {
            bearer_file: Some(file.path().to_owned()),
            tls_client_ca: None,
        };
        let read = args.read(false);
        read.map_err(|failure| match failure {
            Failure::Invalid(lines) => lines.join("\n"),
            _ => String::new(),
        })
    }

    fn sent(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn any_of_the_tokens_lets_in_and_nothing_else() {
        let admission = admission(&format!("another-token-of-some\n\n  {TOKEN}\n")).unwrap();
        assert!(admission.asks());
        let check = |values: &[&str]| admission.check(&sent(values), false);
        assert_eq!(check(&[&format!("Bearer {TOKEN}")]), Ok(()));
        assert_eq!(check(&[&format!("bearer {TOKEN}")]), Ok(()));
        for refused in [
            &[][..],
            &[TOKEN],
            &["Bearer "],
            &["Bearer 0123456789abcdeF"],
            &[&format!("Basic {TOKEN}")],
            &[&format!("Bearer {TOKEN}"), &format!("Bearer {TOKEN}")],
        ] {
            assert_eq!(check(refused), Err(Lacks::Token), "{refused:?}");
        }
    }

    #[test]
    fn a_file_without_good_tokens_is_refused_by_its_line_and_not_its_content() {
        let refused = |text: &str| admission(text).err().unwrap_or_default();
        assert!(refused("\n").contains("has no token"));
        let short = refused(&format!("{TOKEN}\nhunter2\n"));
        assert!(
            short.contains("line 2") && !short.contains("hunter2"),
            "{short}"
        );
        assert!(refused("a token with some spaces").contains("line 1"));
    }
}
