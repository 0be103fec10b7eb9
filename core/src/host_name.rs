//! Host names that stand for tenants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How long a name and each of its labels may be, as in DNS.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A DNS name in its one form: lower case, without a port and without a dot at its end. No address,
/// no pattern, and no name that every machine gives to itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

/// A text that is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no host name: {reason}")]
pub struct InvalidHostName {
    name: String,
    reason: &'static str,
}

impl HostName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        match flaw(text) {
            None => Ok(Self(text.into())),
            Some(reason) => Err(InvalidHostName {
                name: text.to_owned(),
                reason,
            }),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong, with what to do.
fn flaw(text: &str) -> Option<&'static str> {
    if text.contains('*') {
        return Some("a name stands for itself alone: give each name, without `*`");
    }
    if !text.is_ascii() {
        return Some("write an international name as DNS has it, with xn--");
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("write it in lower case");
    }
    if text.contains([':', '[', '/', '@']) {
        return Some("give the name alone, without a scheme or a port; an IP address is no name");
    }
    if text.ends_with('.') {
        return Some("leave the dot at its end out");
    }
    if text.is_empty() || text.len() > LONGEST {
        return Some("a name has 1 to 253 characters");
    }
    let is_label = |label: &str| {
        let is_character = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(is_character)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !text.split('.').all(is_label) {
        return Some(
            "between its dots there are 1 to 63 letters, digits and hyphens, and no hyphen at either end",
        );
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // Clients take these for addresses.
    if is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("an IP address is no name");
    }
    if last == "localhost" {
        return Some("every machine has this name for itself");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_one_form() {
        for name in [
            "acme.example",
            "acme",
            "a-1.b2.example",
            "xn--bcher-kva.example",
            "1.example",
        ] {
            assert_eq!(name.parse::<HostName>().unwrap().as_str(), name);
        }
        let long = format!("{}.example", "a".repeat(64));
        let longer = "a.".repeat(127) + "a";
        for (name, reason) in [
            ("", "1 to 253"),
            (&*longer, "1 to 253"),
            ("Acme.example", "lower case"),
            ("acme.example.", "dot"),
            ("acme.example:443", "port"),
            ("https://acme.example", "scheme"),
            ("*.example", "*"),
            ("bücher.example", "xn--"),
            ("127.0.0.1", "IP address"),
            ("1.2.3.0x10", "IP address"),
            ("[::1]", "IP address"),
            ("localhost", "itself"),
            ("a.localhost", "itself"),
            ("a..example", "between"),
            ("-a.example", "hyphen"),
            ("a-.example", "hyphen"),
            ("a_b.example", "between"),
            ("a b.example", "between"),
            ("a@b.example", "alone"),
            (&*long, "1 to 63"),
        ] {
            let error = name.parse::<HostName>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
