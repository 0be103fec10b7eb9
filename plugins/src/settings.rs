//! Reads the settings of an implementation, and names each field that is wrong by its whole path.

use gateway_core::config::{Settings, Violation};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads settings as an implementation's own type. The path of a violation is within them.
pub(crate) fn read<T: DeserializeOwned>(settings: &Settings) -> Result<T, Vec<Violation>> {
    let object = Value::Object(settings.as_map().clone());
    serde_path_to_error::deserialize(object).map_err(|error| {
        let path = error.path().to_string();
        // A path without steps is written as a dot.
        let path = path.trim_start_matches('.');
        vec![Violation::new(path, error.inner().to_string())]
    })
}

/// Gives violations of settings their paths within the document.
pub(crate) fn within(plugin: &str, violations: Vec<Violation>) -> Vec<Violation> {
    let placed = violations.into_iter().map(|violation| {
        let path = match violation.path.as_str() {
            "" => format!("{plugin}.settings"),
            path => format!("{plugin}.settings.{path}"),
        };
        Violation::new(path, violation.reason)
    });
    placed.collect()
}
