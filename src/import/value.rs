//! Values in which clients name environment variables, each in its own way.

/// What a value says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The value is an environment variable's.
    Variable(String),
    /// The value itself.
    Text(String),
}

/// Reads `${NAME}`, `${env:NAME}`, `$NAME`, or a text that names no variable.
pub(super) fn setting(text: &str) -> Result<Found, String> {
    let name = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .map(|name| name.strip_prefix("env:").unwrap_or(name))
        .or_else(|| text.strip_prefix('$'));
    if let Some(name) = name.filter(|name| is_variable(name)) {
        return Ok(Found::Variable(name.to_owned()));
    }
    plain_text(text).map(Found::Text)
}

/// A text that means itself.
pub(super) fn plain_text(text: &str) -> Result<String, String> {
    match text.find("${") {
        None => Ok(text.to_owned()),
        Some(at) => {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            Err(format!(
                "only the client knows what {} stands for: write the value",
                rest.get(..end).unwrap_or(rest)
            ))
        }
    }
}

/// Whether a variable or header of this name holds a secret, most likely.
pub(super) fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "CREDENTIAL",
        "AUTHORIZATION",
        "COOKIE",
    ];
    words.iter().any(|word| name.contains(word))
        || name
            .split(['_', '-'])
            .any(|word| matches!(word, "KEY" | "PAT" | "APIKEY" | "PWD"))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
