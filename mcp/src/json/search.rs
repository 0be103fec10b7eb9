//! Looks for a key in a text without scanning it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The key by which a tool's result says that it is an error.
pub static IS_ERROR: LazyLock<KeySearch> = LazyLock::new(|| KeySearch::new("isError"));

/// Looks for a key, which is plain ASCII, long before a scan would find it.
#[derive(Debug)]
pub struct KeySearch {
    key: Finder<'static>,
    /// Only an escape can spell it otherwise.
    escape: Finder<'static>,
}

impl KeySearch {
    pub fn new(key: &'static str) -> Self {
        Self {
            key: Finder::new(key),
            escape: Finder::new(r"\u"),
        }
    }

    /// Whether an object somewhere in valid JSON may have the key. Says no only where that is
    /// certain.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        self.key.find(text).is_some() || self.escape.find(text).is_some()
    }
}
