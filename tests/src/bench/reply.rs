//! What must come back for a request, to the last character.

use std::borrow::Cow;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::session::Era;

/// How long the mark is by which each answer is known.
pub(super) const MARK: usize = 16;

#[derive(Deserialize)]
struct Reply<'a> {
    id: u64,
    #[serde(borrow)]
    result: Outcome<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(borrow)]
    result_type: Option<Cow<'a, str>>,
    #[serde(default)]
    is_error: bool,
    #[serde(borrow, default)]
    content: Vec<Content<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Tool<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// What stands behind the mark in a text of so many bytes: lines, as most results have them.
pub(super) fn tail(bytes: usize) -> String {
    let line = "the quick brown fox jumps over the lazy dog, and over it again\n";
    let mut tail = line.repeat(bytes / line.len() + 1);
    tail.truncate(bytes.saturating_sub(MARK));
    tail
}

/// What a request wants.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// A call whose result is a mark with this tail.
    Call { tail: String },
    /// A list of so many tools.
    List { tools: usize },
}

impl Work {
    pub(super) fn call(bytes: usize) -> Self {
        Self::Call { tail: tail(bytes) }
    }

    /// Fails unless the body is the whole answer to the request with this id and mark.
    pub(super) fn check(&self, era: Era, id: u64, mark: &str, body: &[u8]) -> anyhow::Result<()> {
        let checked = self.check_message(era, id, mark, message(body)?);
        checked.with_context(|| {
            let shown = body.get(..body.len().min(300)).unwrap_or_default();
            format!(
                "the answer to request {id}: {}",
                String::from_utf8_lossy(shown)
            )
        })
    }

    fn check_message(&self, era: Era, id: u64, mark: &str, message: &str) -> anyhow::Result<()> {
        let reply: Reply<'_> = serde_json::from_str(message)?;
        ensure!(reply.id == id, "it has the id {}", reply.id);
        ensure!(!reply.result.is_error, "the tool failed");
        let kind = reply.result.result_type.as_deref();
        ensure!(
            era == Era::Legacy || kind == Some("complete"),
            "its result type is {kind:?}"
        );
        match self {
            Self::Call { tail } => {
                let [content] = &*reply.result.content else {
                    anyhow::bail!("it has {} contents", reply.result.content.len());
                };
                let is_right = content.text.strip_prefix(mark) == Some(tail);
                ensure!(is_right, "its text is not the one that was asked for");
            }
            Self::List { tools } => {
                let found = reply.result.tools;
                ensure!(found.len() == *tools, "it has {} tools", found.len());
                let is_named = found.iter().all(|tool| !tool.name.is_empty());
                ensure!(is_named, "a tool has no name");
            }
        }
        Ok(())
    }
}

/// The last message of a body: all of it, or the last event of a stream.
fn message(body: &[u8]) -> anyhow::Result<&str> {
    let text = std::str::from_utf8(body)?;
    if text.starts_with('{') {
        return Ok(text);
    }
    let mut events = text
        .lines()
        .rev()
        .filter_map(|line| line.strip_prefix("data:"));
    let last = events.find(|data| !data.trim().is_empty());
    last.map(str::trim)
        .with_context(|| format!("there is no message in {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[{"type":"text","text":"0123456789abcdefthe quick"}]}}"#;

    fn check(body: &str, id: u64, mark: &str) -> anyhow::Result<()> {
        Work::call(25).check(Era::Modern, id, mark, body.as_bytes())
    }

    #[test]
    fn accepts_the_answer_as_a_body_and_as_an_event() {
        check(ANSWER, 7, "0123456789abcdef").unwrap();
        let event = format!("data:\n\nevent: message\ndata: {ANSWER}\n\n");
        check(&event, 7, "0123456789abcdef").unwrap();
    }

    #[test]
    fn refuses_an_answer_to_something_else() {
        assert!(check(ANSWER, 8, "0123456789abcdef").is_err());
        assert!(check(ANSWER, 7, "fedcba9876543210").is_err());
        assert!(check(&ANSWER.replace("quick", "quack"), 7, "0123456789abcdef").is_err());
        assert!(check(&ANSWER.replace("complete", "task"), 7, "0123456789abcdef").is_err());
        let failed = r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"no"}}"#;
        assert!(check(failed, 7, "0123456789abcdef").is_err());
        assert!(check("", 7, "").is_err());
    }

    #[test]
    fn counts_the_tools_of_a_list() {
        let list = r#"{"id":1,"result":{"tools":[{"name":"a"},{"name":"b"}]}}"#;
        let check = |tools| Work::List { tools }.check(Era::Legacy, 1, "", list.as_bytes());
        check(2).unwrap();
        assert!(check(3).is_err());
    }

    #[test]
    fn a_text_is_as_long_as_asked_for() {
        assert_eq!(tail(64).len(), 64 - MARK);
        assert_eq!(tail(65536).len(), 65536 - MARK);
    }
}
