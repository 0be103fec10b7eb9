//! The protocol's versions, and which of them the gateway serves.

use std::fmt;

/// How a version of the protocol begins a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Era {
    /// Up to 2025-11-25: an `initialize` handshake opens a session.
    Legacy,
    /// From 2026-07-28 on: every request says what it needs in its `_meta`.
    Modern,
}

/// A released version of the protocol; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

impl Version {
    pub const LATEST_LEGACY: Version = Version::V2025_11_25;
    pub const LATEST_MODERN: Version = Version::V2026_07_28;

    /// Every version this crate can tell apart, oldest first.
    pub const KNOWN: &[Version] = &[
        Version::V2024_11_05,
        Version::V2025_03_26,
        Version::V2025_06_18,
        Version::V2025_11_25,
        Version::V2026_07_28,
    ];

    /// The versions the gateway's listener speaks with clients, oldest first.
    pub const SERVED: &[Version] = &[
        Version::V2025_03_26,
        Version::V2025_06_18,
        Version::V2025_11_25,
        Version::V2026_07_28,
    ];

    /// The version as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::V2024_11_05 => "2024-11-05",
            Version::V2025_03_26 => "2025-03-26",
            Version::V2025_06_18 => "2025-06-18",
            Version::V2025_11_25 => "2025-11-25",
            Version::V2026_07_28 => "2026-07-28",
        }
    }

    /// Reads a version as it stands on the wire; `None` if it is not a known one.
    pub fn parse(text: &str) -> Option<Version> {
        Version::KNOWN
            .iter()
            .copied()
            .find(|version| version.as_str() == text)
    }

    pub const fn era(self) -> Era {
        match self {
            Version::V2024_11_05
            | Version::V2025_03_26
            | Version::V2025_06_18
            | Version::V2025_11_25 => Era::Legacy,
            Version::V2026_07_28 => Era::Modern,
        }
    }

    /// Whether several messages may be sent at once, as one JSON array.
    pub fn has_batches(self) -> bool {
        self == Version::V2025_03_26
    }

    /// Whether servers may ask clients for what only their users can say.
    pub fn has_elicitation(self) -> bool {
        self >= Version::V2025_06_18
    }

    pub fn is_served(self) -> bool {
        Version::SERVED.contains(&self)
    }

    /// Answers the version an `initialize` request asks for: that one if the gateway serves it
    /// to legacy clients, else the latest legacy one, which the client may then refuse.
    pub fn negotiate_legacy(requested: &str) -> Version {
        Version::parse(requested)
            .filter(|version| version.is_served() && version.era() == Era::Legacy)
            .unwrap_or(Version::LATEST_LEGACY)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for version in Version::KNOWN {
            assert_eq!(Version::parse(version.as_str()), Some(*version));
        }
        assert_eq!(Version::parse("2025-06-18 "), None);
    }

    #[test]
    fn orders_versions_by_date() {
        assert!(Version::KNOWN.is_sorted_by(|a, b| a < b && a.as_str() < b.as_str()));
    }

    #[test]
    fn grants_a_served_legacy_version_and_offers_the_latest_otherwise() {
        for served in [
            Version::V2025_03_26,
            Version::V2025_06_18,
            Version::V2025_11_25,
        ] {
            assert_eq!(Version::negotiate_legacy(served.as_str()), served);
        }
        for other in ["2024-11-05", "2026-07-28", "1.0", ""] {
            assert_eq!(Version::negotiate_legacy(other), Version::LATEST_LEGACY);
        }
    }
}
