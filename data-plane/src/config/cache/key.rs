//! By which keys what is kept is told from what others have put there.

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::session::{KEY_ID_LEN, SessionKeys};

/// Nothing that is authenticated for one purpose passes for another.
const PURPOSE: &[u8] = b"mcp-gateway configuration cache";
const STATE: &[u8] = b"state\n";
const DOCUMENTS: &[u8] = b"documents\n";

/// One key of its own for each session key: the first signs, all verify.
#[derive(Debug, Clone)]
pub(super) struct CacheKeys {
    first: CacheKey,
    older: Vec<CacheKey>,
}

#[derive(Debug, Clone)]
pub(super) struct CacheKey {
    id: [u8; KEY_ID_LEN],
    key: hmac::Key,
}

impl CacheKeys {
    /// `None` when they cannot be derived.
    pub(super) fn of(keys: &SessionKeys) -> Option<Self> {
        let derived = keys.derive_all(PURPOSE)?;
        let mut keys = derived.into_iter().map(|(id, secret)| CacheKey {
            id,
            key: hmac::Key::new(HMAC_SHA256, &secret),
        });
        Some(Self {
            first: keys.next()?,
            older: keys.collect(),
        })
    }

    pub(super) fn first(&self) -> &CacheKey {
        &self.first
    }

    pub(super) fn by_id(&self, id: &[u8]) -> Option<&CacheKey> {
        let mut all = std::iter::once(&self.first).chain(&self.older);
        all.find(|key| key.id == id)
    }
}

impl CacheKey {
    pub(super) fn id(&self) -> [u8; KEY_ID_LEN] {
        self.id
    }

    pub(super) fn sign_state(&self, line: &[u8]) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&self.key);
        signing.update(STATE);
        signing.update(line);
        signing.sign()
    }

    pub(super) fn verify_state(&self, line: &[u8], tag: &[u8]) -> bool {
        is_same(self.sign_state(line).as_ref(), tag)
    }

    /// Signs documents as they come.
    pub(super) fn sign_documents(&self) -> hmac::Context {
        let mut signing = hmac::Context::with_key(&self.key);
        signing.update(DOCUMENTS);
        signing
    }
}

pub(super) fn is_same(tag: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(tag, other).is_ok()
}
