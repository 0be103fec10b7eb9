//! What a plugin's server answers to the call of a tool.

use gateway_core::{ErrorKind, PluginError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// How much of what a plugin says of its failure is kept.
const MAX_REASON_CHARS: usize = 300;

/// The answer, read as far as MCP goes.
#[derive(Debug)]
pub(super) enum Answer {
    /// The tool has done what it was asked.
    Given(Given),
    /// The tool says that it failed.
    Failed(Refusal),
}

/// What a tool gave, which is read by who needs it: some only have to be done.
#[derive(Debug)]
pub(super) struct Given {
    structured: Option<Box<RawValue>>,
    text: Option<String>,
}

/// What a tool says that failed. A plugin may say of which kind that is, in
/// `{"error": {"kind": …, "message": …}}` as its structured content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: Option<ErrorKind>,
    pub(super) reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallToolResult {
    #[serde(default)]
    content: Vec<Content>,
    #[serde(default)]
    structured_content: Option<Box<RawValue>>,
    #[serde(default)]
    is_error: bool,
    /// Left out by legacy servers.
    #[serde(default)]
    result_type: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Answer {
    /// Reads a raw result; what cannot be read is said in words that hold nothing of it, because it may
    /// hold secrets.
    pub(super) fn read(result: &str) -> Result<Self, String> {
        let result: CallToolResult =
            serde_json::from_str(result).map_err(|error| at("the result", &error))?;
        if result.result_type.is_some_and(|kind| kind != "complete") {
            // What a plugin is asked it has to answer by itself.
            return Err("the result is not `complete`".to_owned());
        }
        let text = || {
            let mut texts = result.content.iter().filter(|part| part.kind == "text");
            texts.find_map(|part| part.text.as_deref())
        };
        if result.is_error {
            let structured = result.structured_content.as_deref().map(RawValue::get);
            return Ok(Self::Failed(Refusal::read(structured, text())));
        }
        let text = text().map(str::to_owned);
        Ok(Self::Given(Given {
            text,
            structured: result.structured_content,
        }))
    }
}

impl Given {
    /// Reads it, whatever else is beside what is wanted.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let (what, json) = match (&self.structured, &self.text) {
            (Some(structured), _) => ("the structured content", structured.get()),
            (None, Some(text)) => ("the text", text.as_str()),
            (None, None) => {
                return Err("the result has neither structured content nor text".to_owned());
            }
        };
        serde_json::from_str(json).map_err(|error| at(what, &error))
    }

    /// The same where it may be an object with one member, or what that holds.
    pub(super) fn read_within<T: DeserializeOwned>(&self, member: &str) -> Result<T, String> {
        let value = match self.read()? {
            Value::Object(mut object) => object.remove(member).unwrap_or_default(),
            other => other,
        };
        let read = serde_json::from_value(value);
        read.map_err(|_| format!("`{member}` is missing, or not of the form that it must have"))
    }
}

impl Refusal {
    fn read(structured: Option<&str>, text: Option<&str>) -> Self {
        let failure = |text: &str| serde_json::from_str::<Failure>(text).ok();
        let said = structured
            .and_then(failure)
            .or_else(|| text.and_then(failure));
        let kind = said.as_ref().and_then(|said| said.error.kind.as_deref());
        let kind = ErrorKind::ALL
            .into_iter()
            .find(|known| Some(known.as_str()) == kind);
        let reason = said.and_then(|said| said.error.message);
        let reason = reason
            .or_else(|| text.map(str::to_owned))
            .unwrap_or_default();
        let printable = reason.chars().filter(|char| !char.is_control());
        Self {
            kind,
            reason: printable.take(MAX_REASON_CHARS).collect(),
        }
    }

    /// The same without these secrets: a plugin may repeat what it was given.
    pub(super) fn without(mut self, secrets: &[&str]) -> Self {
        self.reason = hidden(self.reason, secrets);
        self
    }

    /// As an error of the plugin's call.
    pub(super) fn into_error(self, plugin: &str) -> PluginError {
        let kind = self.kind.unwrap_or(ErrorKind::Unavailable);
        PluginError::with_cause(kind, format!("the plugin {plugin} failed"), self.reason)
    }
}

/// A text without the secrets that it repeats.
pub(super) fn hidden(mut text: String, secrets: &[&str]) -> String {
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, "…");
        }
    }
    text
}

/// Only where it is wrong: an error's own words may quote what was read.
fn at(what: &str, error: &serde_json::Error) -> String {
    format!(
        "{what} cannot be read at line {}, column {}",
        error.line(),
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn given(result: &str) -> String {
        match Answer::read(result) {
            Ok(Answer::Given(given)) => given.read::<Value>().unwrap().to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn failed(result: &str) -> (Option<ErrorKind>, String) {
        match Answer::read(result) {
            Ok(Answer::Failed(refusal)) => (refusal.kind, refusal.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn structured_content_comes_before_text() {
        let both =
            r#"{"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"a":2}}"#;
        assert_eq!(given(both), r#"{"a":2}"#);
        let text = r#"{"content":[{"type":"image","data":""},{"type":"text","text":"[1]"}]}"#;
        assert_eq!(given(text), "[1]");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_without_what_it_holds() {
        for result in [
            "{}",
            r#"{"content":[]}"#,
            r#"{"content":[{"type":"text","text":"hunter2"}]}"#,
            r#"{"content":[{"type":"text"}]}"#,
            r#"{"content":"hunter2"}"#,
            r#"{"isError":"hunter2"}"#,
            r#"{"resultType":"input_required","structuredContent":{}}"#,
            "hunter2",
        ] {
            let read = Answer::read(result).and_then(|answer| match answer {
                Answer::Given(given) => given.read::<BTreeMap<String, u8>>(),
                Answer::Failed(refusal) => Err(refusal.reason),
            });
            let error = read.unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_failure_may_say_of_which_kind_it_is() {
        let plain = r#"{"isError":true,"content":[{"type":"text","text":"no\nsuch key"}]}"#;
        assert_eq!(failed(plain), (None, "nosuch key".to_owned()));
        let kind = r#"{"isError":true,"structuredContent":{"error":{"kind":"not_found","message":"none"}}}"#;
        assert_eq!(failed(kind), (Some(ErrorKind::NotFound), "none".to_owned()));
        let unknown =
            r#"{"isError":true,"structuredContent":{"error":{"kind":"odd"}},"content":[]}"#;
        assert_eq!(failed(unknown), (None, String::new()));
        let text = r#"{"isError":true,"content":[{"type":"text","text":"{\"error\":{\"kind\":\"conflict\"}}"}]}"#;
        assert_eq!(failed(text).0, Some(ErrorKind::Conflict));
    }

    #[test]
    fn a_member_may_stand_alone() {
        let read = |text: &str| {
            let given = Given {
                structured: None,
                text: Some(text.to_owned()),
            };
            given.read_within::<Vec<u8>>("list")
        };
        assert_eq!(read(r#"{"list":[1],"more":2}"#), Ok(vec![1]));
        assert_eq!(read("[1,2]"), Ok(vec![1, 2]));
        assert!(read("{}").is_err());
        assert!(read("7").is_err());
    }
}
