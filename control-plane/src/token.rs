//! The tokens by which administrators and replicas are let in. A token is compared by its hash, so
//! that nothing here holds one for longer than it takes to read it.

use std::fmt;
use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::rand;
use gateway_core::{ExposeSecret as _, SecretString};

mod role;
mod scope;

pub(crate) use role::TokenId;
pub use role::{InvalidRole, Role};
pub use scope::Scope;

/// 256 random bits. With so many, a plain and fast hash cannot be turned back.
const SECRET_BYTES: usize = 32;

/// What is shorter could be guessed, and is more likely a mistake than a token.
const SHORTEST: usize = 16;
const LONGEST: usize = 512;

/// What a token is for. None is of any use for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// To change and to read every tenant's configuration.
    Administration,
    /// To read one tenant's configuration, and maybe to change it.
    Tenant,
    /// To be a replica of the data plane.
    Join,
}

impl TokenUse {
    /// How new tokens begin, so that people and scanners know what they have found.
    fn prefix(self) -> &'static str {
        match self {
            Self::Administration => "mga_",
            Self::Tenant => "mgt_",
            Self::Join => "mgj_",
        }
    }
}

/// The first tokens of a control plane, as hashes.
#[derive(Debug)]
pub struct Tokens {
    /// The administrator's.
    pub administrator: TokenHash,
    /// That of replicas.
    pub join: TokenHash,
}

/// The SHA-256 of a token.
#[derive(Clone)]
pub struct TokenHash(Digest);

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no token: use {SHORTEST} to {LONGEST} printable ASCII characters without spaces")]
pub struct InvalidToken;

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random numbers to make a token of")]
pub struct NoRandomness;

impl TokenHash {
    /// Hashes a token that somebody chose.
    ///
    /// # Errors
    /// It cannot be sent in a header, or is too short to be a secret.
    pub fn of(token: &SecretString) -> Result<Self, InvalidToken> {
        let text = token.expose_secret();
        let fits = (SHORTEST..=LONGEST).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        Ok(Self::of_presented(text.as_bytes()))
    }

    /// Of what somebody presents, whatever that is.
    pub(crate) fn of_presented(token: &[u8]) -> Self {
        Self(digest(&SHA256, token))
    }

    /// As it is kept.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// Whether it is this token's. Takes the same time for every other token.
    pub(crate) fn is_of(&self, token: &[u8]) -> bool {
        let presented = Self::of_presented(token);
        verify_slices_are_equal(self.as_bytes(), presented.as_bytes()).is_ok()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Makes a token.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_token(of: TokenUse) -> Result<SecretString, NoRandomness> {
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut secret).map_err(|_| NoRandomness)?;
    let mut text = of.prefix().to_owned();
    for byte in secret {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Result<TokenHash, InvalidToken> {
        TokenHash::of(&SecretString::from(text))
    }

    #[test]
    fn a_hash_is_of_its_token_and_of_no_other() {
        let token = new_token(TokenUse::Join).unwrap();
        let text = token.expose_secret();
        let of = TokenHash::of(&token).unwrap();
        assert!(text.starts_with("mgj_") && text.len() == 68);
        assert!(of.is_of(text.as_bytes()));
        let shorter = &text.as_bytes()[..67];
        for other in [shorter, b"", new_token_text().as_bytes()] {
            assert!(!of.is_of(other));
        }
        assert_eq!(format!("{of:?}"), "TokenHash(…)");
    }

    fn new_token_text() -> String {
        let token = new_token(TokenUse::Administration).unwrap();
        token.expose_secret().to_owned()
    }

    #[test]
    fn a_word_is_no_token() {
        for text in [
            "",
            "secret",
            "with a space in the middle",
            "0123456789abcdef\n",
        ] {
            assert_eq!(hash(text).unwrap_err(), InvalidToken, "{text:?}");
        }
        assert!(hash(&"x".repeat(513)).is_err());
        assert!(hash("0123456789abcdef").is_ok());
    }
}
