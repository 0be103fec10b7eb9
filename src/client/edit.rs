//! Edits of a client's configuration that touch one entry and leave every other byte alone.

mod json;
mod toml;

use serde_json::Value;

use super::known::{Dialect, Syntax};
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) use json::JSON;

/// Why a text cannot be edited.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    #[error("is not valid: {0}")]
    Unreadable(String),
    #[error("has a `{0}` that does not hold servers by name")]
    OtherForm(String),
}

/// Where the entry is: the section, and the name in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) dialect: &'a Dialect,
    pub(super) name: &'a str,
}

/// The entry, if there is one.
pub(super) fn find(text: &str, place: Place<'_>) -> Result<Option<Value>, EditError> {
    match place.dialect.syntax {
        Syntax::Json => json::find(text, place),
        Syntax::Toml => toml::find(text, place),
    }
}

/// Adds the entry, or replaces what stands there.
pub(super) fn insert(text: &str, place: Place<'_>, entry: &Value) -> Result<String, EditError> {
    match place.dialect.syntax {
        Syntax::Json => json::insert(text, place, entry),
        Syntax::Toml => toml::insert(text, place, entry),
    }
}

/// Removes the entry, and the section if nothing else was in it.
pub(super) fn remove(text: &str, place: Place<'_>) -> Result<String, EditError> {
    match place.dialect.syntax {
        Syntax::Json => json::remove(text, place),
        Syntax::Toml => toml::remove(text, place),
    }
}

/// Whether a text says nothing.
pub(super) fn is_empty(text: &str) -> bool {
    matches!(text.trim(), "" | "{}")
}
