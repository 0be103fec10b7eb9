//! Identifiers as types, so that a tenant can never be passed where a server is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// A name that does not have the form its kind demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {rule}")]
pub struct InvalidName {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

/// Declares a checked name: a string newtype that can only be made by parsing. Shared, because
/// every request hands names on.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::try_from(value.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(value: String) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(&value) {
                    Ok(Self(value.into()))
                } else {
                    Err(InvalidName { kind: $kind, value, rule: $rule })
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// A tenant: the unit that owns plugins, servers and profiles, and that nothing crosses.
    TenantId,
    "tenant name",
    "use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
    is_label
);

checked_name!(
    /// The configured name of an MCP server. It has no underscore, so that `server__tool`
    /// splits in exactly one way.
    ServerName,
    "server name",
    "use 1 to 31 lower-case letters, digits and hyphens, beginning with a letter",
    is_short_name
);

checked_name!(
    /// The name of a profile: a named view of a tenant's servers.
    ProfileName,
    "profile name",
    "use 1 to 31 lower-case letters, digits and hyphens, beginning with a letter",
    is_short_name
);

checked_name!(
    /// Who acts, as the tenant's authentication plugin names them. Free text, but never empty,
    /// never longer than 256 bytes and without control characters, because it is logged.
    UserId,
    "user id",
    "use 1 to 256 bytes without control characters",
    |value| !value.is_empty() && value.len() <= 256 && !value.chars().any(char::is_control)
);

checked_name!(
    /// The name of a token that a control plane keeps. It has no slash, so that `TENANT/TOKEN` can be
    /// read in one way only.
    TokenName,
    "token name",
    "use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
    is_label
);

impl TenantId {
    /// The tenant of a document that names none, and of the endpoints without `/t/TENANT`.
    pub fn default_tenant() -> Self {
        static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| "default".into());
        Self(Arc::clone(&DEFAULT))
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self::default_tenant()
    }
}

/// The number of an accepted configuration of one tenant: 1, 2, 3 …, without gaps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_label(value: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&value.len())
        && value.bytes().all(inner)
        && !value.starts_with('-')
        && !value.ends_with('-')
}

fn is_short_name(value: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=31).contains(&value.len())
        && value.bytes().all(inner)
        && value.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_leave_no_room_for_the_separator() {
        for good in ["a", "files", "a-b-2", "x---"] {
            assert!(good.parse::<ServerName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "a_b", "a__b", "a/b", "ä", &"a".repeat(32)] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tenant_names_are_safe_in_paths_and_host_names() {
        for good in ["default", "acme", "7", "a-1"] {
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a.b",
            "..",
            "a/b",
            "A",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_invalid_name_says_what_it_should_look_like() {
        let error = "my_server".parse::<ServerName>().unwrap_err();
        insta::assert_snapshot!(error, @"`my_server` is not a valid server name: use 1 to 31 lower-case letters, digits and hyphens, beginning with a letter");
    }
}
