//! Reading and writing documents as YAML, with errors that say where.

use std::fmt;

use super::check::check;
use super::locate::locate;
use super::{TenantConfig, Violation};

/// A document that cannot be accepted: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// The field, where it is known.
    pub path: Option<String>,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Gives violations that were found in a parsed document their places in its text.
    pub fn locate(text: &str, violations: Vec<Violation>) -> Self {
        let problems = violations.into_iter().map(|violation| {
            let (line, column) = locate(text, &violation.path).unwrap_or((1, 1));
            Problem {
                line,
                column,
                path: Some(violation.path),
                reason: violation.reason,
            }
        });
        Self {
            problems: problems.collect(),
        }
    }
}

/// Reads a document and checks it. The only way from YAML to a configuration.
///
/// # Errors
/// Everything that is wrong, each with line and column. A text that is not well formed has one
/// problem: reading stops there.
pub fn load_yaml(text: &str) -> Result<TenantConfig, ConfigError> {
    // A file with nothing but comments is an empty document.
    let blank = text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return Ok(TenantConfig::default());
    }
    let config: TenantConfig = serde_yaml::from_str(text).map_err(|error| ConfigError {
        problems: vec![problem(&error)],
    })?;
    let violations = check(&config);
    if violations.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError::locate(text, violations))
    }
}

/// Writes a document; what it writes, [`load_yaml`] reads as the same document.
///
/// # Errors
/// None for a checked document; the serializer's own otherwise.
pub fn to_yaml(config: &TenantConfig) -> Result<String, serde_yaml::ser::Error> {
    serde_yaml::to_string(config)
}

fn problem(error: &serde_yaml::Error) -> Problem {
    let location = error.location();
    let (line, column) = location.map_or((1, 1), |place| (place.line(), place.column()));
    let mut reason = error.without_snippet().to_string();
    // The place is printed in front; the parser repeats it at the end.
    if let Some(at) = reason.rfind(" at line ") {
        reason.truncate(at);
    }
    // A hint for programmers who call the parser, of no use to who wrote the text.
    if let Some(at) = reason.find(", set DuplicateKeyPolicy") {
        reason.truncate(at);
    }
    Problem {
        line,
        column,
        path: None,
        reason,
    }
}

#[cfg(test)]
mod tests;
