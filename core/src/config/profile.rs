//! Profiles: named views of a tenant's servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ServerName;

/// A set of servers with filters and names of its own, on `/p/PROFILE/mcp`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// The servers that the profile shows, in this order.
    pub servers: Vec<ServerName>,
    /// Which of their tools it shows, and under which names.
    #[serde(default, skip_serializing_if = "ToolFilter::is_empty")]
    pub tools: ToolFilter,
}

/// Filters and renames. Patterns match `server__name` before renames; `*` matches any text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFilter {
    /// Shown only if one of these matches; empty: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Never shown if one of these matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// `server__name` to the name that the profile shows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
}

impl ToolFilter {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && self.rename.is_empty()
    }
}
