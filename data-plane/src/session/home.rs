//! Where a session is at home: the short name of a replica that session ids carry.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

const LEN: usize = size_of::<u64>();

/// A replica by its name, in a few bytes, because it travels with every request of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaTag(u64);

impl ReplicaTag {
    pub(crate) fn of(replica: &str) -> Self {
        let hash = digest(&SHA256, replica.as_bytes());
        let start = hash.as_ref().first_chunk().copied();
        Self::from_bytes(start.unwrap_or_default())
    }

    pub(crate) fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        self.0.to_be_bytes()
    }

    pub(crate) fn to_u64(self) -> u64 {
        self.0
    }

    /// As it is displayed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 2 * LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16));
        number?.ok().map(Self)
    }
}

impl fmt::Display for ReplicaTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ReplicaTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_is_written() {
        let tag = ReplicaTag::of("west-1");
        assert_eq!(ReplicaTag::parse(&tag.to_string()), Some(tag));
        assert_eq!(ReplicaTag::from_bytes(tag.to_bytes()), tag);
        for text in ["", "7", "+123456789abcdef", "0123456789abcdeg"] {
            assert_eq!(ReplicaTag::parse(text), None, "{text}");
        }
    }
}
