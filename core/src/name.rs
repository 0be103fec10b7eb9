//! How a server's tool is called on an endpoint that shows several servers.

use sha2::{Digest as _, Sha256};

use crate::ServerName;

/// What stands between a server's configured name and its tool's name.
pub const SEPARATOR: &str = "__";

/// The longest name that clients in the field accept for a tool.
pub const MAX_EXPOSED_LENGTH: usize = 64;

const HASH_DIGITS: usize = 10;

/// A tool's (or prompt's) name as a client of an aggregating endpoint sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedName(String);

impl ExposedName {
    /// `server__name`; where that would be longer than [`MAX_EXPOSED_LENGTH`], its beginning and
    /// a hash of the whole, so that the same tool has the same name on every replica and after
    /// every restart.
    pub fn of(server: &ServerName, name: &str) -> Self {
        let full = format!("{server}{SEPARATOR}{name}");
        if full.chars().count() <= MAX_EXPOSED_LENGTH {
            return Self(full);
        }
        let hash = Sha256::digest(full.as_bytes());
        let digits: String = hash
            .iter()
            .take(HASH_DIGITS / 2)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let kept: String = full
            .chars()
            .take(MAX_EXPOSED_LENGTH - HASH_DIGITS - 1)
            .collect();
        Self(format!("{kept}_{digits}"))
    }

    /// Splits an exposed name at its first separator into the server and the rest. The rest is
    /// the original name unless the exposed name was shortened. `None`: no server can be meant.
    pub fn split(exposed: &str) -> Option<(ServerName, &str)> {
        let (server, rest) = exposed.split_once(SEPARATOR)?;
        Some((server.parse().ok()?, rest))
    }

    /// Whether `exposed` can be the shortened form of some longer name.
    pub fn may_be_shortened(exposed: &str) -> bool {
        exposed.chars().count() == MAX_EXPOSED_LENGTH
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an owned text.
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(name: &str) -> ServerName {
        name.parse().unwrap()
    }

    #[test]
    fn a_tool_name_with_separators_of_its_own_splits_at_the_first() {
        let exposed = ExposedName::of(&server("files"), "read__all");
        assert_eq!(exposed.as_str(), "files__read__all");
        assert_eq!(
            ExposedName::split(exposed.as_str()),
            Some((server("files"), "read__all"))
        );
    }

    #[test]
    fn a_name_without_a_valid_server_belongs_to_nobody() {
        for name in ["read", "_read", "__read", "Files__read", "a_b__c"] {
            assert_eq!(ExposedName::split(name), None, "{name}");
        }
    }

    #[test]
    fn a_leading_underscore_of_a_tool_stays_with_the_tool() {
        let exposed = ExposedName::of(&server("a"), "_b");
        assert_eq!(exposed.as_str(), "a___b");
        assert_eq!(ExposedName::split("a___b"), Some((server("a"), "_b")));
    }

    #[test]
    fn a_long_name_is_shortened_to_the_limit_and_keeps_its_server() {
        let long = "x".repeat(128);
        let exposed = ExposedName::of(&server("files"), &long);
        assert_eq!(exposed.as_str().len(), MAX_EXPOSED_LENGTH);
        assert!(ExposedName::may_be_shortened(exposed.as_str()));
        assert_eq!(
            ExposedName::split(exposed.as_str()).unwrap().0,
            server("files")
        );
    }

    proptest! {
        #[test]
        fn no_two_tools_share_an_exposed_name(a in "[a-zA-Z0-9_.-]{1,128}", b in "[a-zA-Z0-9_.-]{1,128}") {
            let (one, other) = (ExposedName::of(&server("s"), &a), ExposedName::of(&server("s"), &b));
            prop_assert_eq!(one == other, a == b);
        }

        #[test]
        fn splitting_gives_back_the_server_and_the_name(s in "[a-z][a-z0-9-]{0,30}", n in "[a-zA-Z0-9_.-]{1,20}") {
            let exposed = ExposedName::of(&server(&s), &n);
            let (found, rest) = ExposedName::split(exposed.as_str()).unwrap();
            prop_assert_eq!(found.as_str(), s);
            prop_assert_eq!(rest, n);
        }
    }
}
