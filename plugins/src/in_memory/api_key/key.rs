//! The text of an API key, `mgk_ID_SECRET`, and the hash that is kept of it.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use gateway_core::SecretString;

const PREFIX: &str = "mgk_";

/// 256 random bits, written as hexadecimal digits. With so many, a plain and fast hash cannot be
/// turned back; a slow one would only let strangers keep the gateway busy.
const SECRET_BYTES: usize = 32;

/// How a hash begins in the configuration: the function, so that another can follow one day.
const HASH_PREFIX: &str = "sha256:";

pub(super) const ID_RULE: &str =
    "is no id of a key: use 1 to 32 lower-case letters, digits and hyphens";

/// A key that was just made. Its text is nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// What its holder presents, `mgk_ID_SECRET`.
    pub text: SecretString,
    /// What the configuration keeps, `sha256:…`. It is no secret.
    pub hash: String,
}

/// Why no key was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewKeyError {
    /// The id does not have the form of one.
    #[error("`{0}` {ID_RULE}")]
    Id(String),
    /// The system gives no random numbers.
    #[error("the system gave no random numbers to make a key of")]
    Random,
}

/// Makes a key with this id.
///
/// # Errors
/// The id is not one, or the system gives no random numbers.
pub fn new_key(id: &str) -> Result<NewKey, NewKeyError> {
    if !is_id(id) {
        return Err(NewKeyError::Id(id.to_owned()));
    }
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut secret).map_err(|_| NewKeyError::Random)?;
    let text = format!("{PREFIX}{id}_{}", hex(&secret));
    let hash = KeyHash::of(&text);
    Ok(NewKey {
        hash: format!("{HASH_PREFIX}{}", hex(&hash.0)),
        text: SecretString::from(text),
    })
}

/// The SHA-256 of a key's whole text, so that the hash of one id is of no use for another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(super) fn of(text: &str) -> Self {
        let mut hash = Self::default();
        // Both are 32 bytes long.
        for (to, from) in hash
            .0
            .iter_mut()
            .zip(digest(&SHA256, text.as_bytes()).as_ref())
        {
            *to = *from;
        }
        hash
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(HASH_PREFIX)?;
        if digits.len() != 64 {
            return None;
        }
        let mut hash = Self::default();
        for (byte, pair) in hash.0.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(hash)
    }
}

impl AsRef<[u8]> for KeyHash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The id in the text of a key; `None` for any text that no key has. What is shorter than the
/// secrets that [`new_key`] makes is refused here, so that no key is a word that can be guessed.
pub(super) fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_secret = secret.len() == 2 * SECRET_BYTES
        && secret
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_id(id) && is_secret).then_some(id)
}

pub(super) fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
