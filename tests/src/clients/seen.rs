//! What an official client saw while it connected or took a step.

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One line of a client script.
#[derive(Debug, Deserialize)]
pub struct Seen {
    result: Option<Value>,
    error: Option<Value>,
    /// How far the step's own request said that it was.
    #[serde(default)]
    progress: Vec<f64>,
    #[serde(default)]
    logs: Vec<Value>,
    /// What the server asked the client.
    #[serde(default)]
    asked: Vec<Value>,
    /// The changes that the client was told of.
    #[serde(default)]
    heard: Vec<Value>,
}

impl Seen {
    pub fn result(&self) -> anyhow::Result<&Value> {
        self.result
            .as_ref()
            .with_context(|| format!("there is no result: {self:?}"))
    }

    /// The value at a JSON pointer into the result.
    pub fn has(&self, pointer: &str, value: &Value) -> anyhow::Result<()> {
        let found = self.result()?.pointer(pointer);
        ensure!(found == Some(value), "{pointer} is not {value}: {self:?}");
        Ok(())
    }

    /// The result is a list with this name in it.
    pub fn lists(&self, name: &str) -> anyhow::Result<()> {
        let is_listed = self.names()?.any(|listed| listed == name);
        ensure!(is_listed, "{name} is not listed: {self:?}");
        Ok(())
    }

    /// The result is a list in which no name has this in it.
    pub fn lists_nothing_with(&self, part: &str) -> anyhow::Result<()> {
        let found = self.names()?.find(|listed| listed.contains(part));
        ensure!(found.is_none(), "{found:?} is listed: {self:?}");
        Ok(())
    }

    /// The result is a list of so many names.
    pub fn lists_in_all(&self, count: usize) -> anyhow::Result<()> {
        let listed = self.names()?.count();
        ensure!(listed == count, "{listed} are listed: {self:?}");
        Ok(())
    }

    fn names(&self) -> anyhow::Result<impl Iterator<Item = &str>> {
        let names = self.result()?.as_array().context("it is no list")?;
        Ok(names.iter().filter_map(Value::as_str))
    }

    /// There is a result, and it does not say that it is an error.
    pub fn succeeded(&self) -> anyhow::Result<()> {
        self.result()?;
        ensure!(!self.is_failure(), "it failed: {self:?}");
        Ok(())
    }

    /// The result has this text in its contents, and is no failure.
    pub fn says(&self, text: &str) -> anyhow::Result<()> {
        self.succeeded()?;
        let said = texts(self.result()?);
        ensure!(said.contains(text), "{text:?} is not in {said:?}");
        Ok(())
    }

    /// It is an error, or a result that says so, and its words include one of these.
    pub fn fails_naming(&self, words: &[&str]) -> anyhow::Result<()> {
        let said = match (&self.error, &self.result) {
            (Some(error), _) => error.to_string(),
            (None, Some(result)) if self.is_failure() => texts(result),
            _ => anyhow::bail!("it did not fail: {self:?}"),
        };
        let said = said.to_lowercase();
        let named = words.iter().any(|word| said.contains(&word.to_lowercase()));
        ensure!(named, "none of {words:?} is in {said:?}");
        Ok(())
    }

    /// There is no result at all.
    pub fn failed(&self) -> anyhow::Result<()> {
        ensure!(self.error.is_some(), "it did not fail: {self:?}");
        Ok(())
    }

    pub fn fails_with(&self, code: i64) -> anyhow::Result<()> {
        let error = self.error.as_ref();
        let found = error.and_then(|error| error.get("code")?.as_i64());
        ensure!(found == Some(code), "the code is not {code}: {self:?}");
        Ok(())
    }

    pub fn progressed(&self, progress: &[f64]) -> anyhow::Result<()> {
        ensure!(
            self.progress == progress,
            "the progress is not {progress:?}: {self:?}"
        );
        Ok(())
    }

    /// So far, and then no more was heard.
    pub fn progressed_at_most(&self, progress: &[f64]) -> anyhow::Result<()> {
        ensure!(
            progress.starts_with(&self.progress),
            "the progress is not the beginning of {progress:?}: {self:?}"
        );
        Ok(())
    }

    /// These texts were logged, in this order, and nothing else.
    pub fn logged(&self, texts: &[&str]) -> anyhow::Result<()> {
        let logged = self
            .logs
            .iter()
            .map(|log| log.get("data").and_then(Value::as_str));
        let logged: Vec<_> = logged.map(Option::unwrap_or_default).collect();
        ensure!(logged == texts, "{texts:?} was not logged: {self:?}");
        Ok(())
    }

    pub fn was_asked(&self, method: &str, mode: Option<&str>) -> anyhow::Result<()> {
        let fits = |asked: &&Value| {
            asked["method"] == method && mode.is_none_or(|mode| asked["mode"] == mode)
        };
        let count = self.asked.iter().filter(fits).count();
        ensure!(count == 1, "{method} was asked {count} times: {self:?}");
        Ok(())
    }

    /// It was told that this resource has changed.
    pub fn was_told_of(&self, uri: &str) -> anyhow::Result<()> {
        let is_told = self.heard.iter().any(|heard| heard["uri"] == uri);
        ensure!(is_told, "it was not told of {uri}: {self:?}");
        Ok(())
    }

    fn is_failure(&self) -> bool {
        self.result
            .as_ref()
            .is_some_and(|result| result["isError"] == true)
    }
}

/// The texts of a tool's, a prompt's or a resource's contents, one after the other.
fn texts(result: &Value) -> String {
    let parts = ["content", "contents", "messages"].map(|kind| result.get(kind));
    let parts = parts.into_iter().flatten().filter_map(Value::as_array);
    let texts = parts.flatten().filter_map(|part| {
        let text = part.get("text").or_else(|| part.pointer("/content/text"));
        text?.as_str()
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(line: Value) -> Seen {
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn a_result_that_is_an_error_says_nothing() {
        let content = json!([{ "type": "text", "text": "sampling is missing" }]);
        let failed = seen(json!({ "result": { "isError": true, "content": content } }));
        assert!(failed.says("sampling").is_err());
        assert!(failed.fails_naming(&["Sampling"]).is_ok());
        assert!(failed.fails_naming(&["roots"]).is_err());
    }

    #[test]
    fn a_question_that_is_asked_twice_is_no_question_asked_once() {
        let question = json!({ "method": "elicitation/create", "mode": "form" });
        let twice = seen(json!({ "asked": [question, question] }));
        assert!(twice.was_asked("elicitation/create", None).is_err());
        let once = seen(json!({ "asked": [question] }));
        assert!(once.was_asked("elicitation/create", Some("form")).is_ok());
        assert!(once.was_asked("elicitation/create", Some("url")).is_err());
    }

    #[test]
    fn the_texts_of_every_kind_of_result_are_read() {
        for result in [
            json!({ "content": [{ "text": "x" }] }),
            json!({ "contents": [{ "uri": "a:b", "text": "x" }] }),
            json!({ "messages": [{ "role": "user", "content": { "text": "x" } }] }),
        ] {
            assert_eq!(texts(&result), "x");
        }
    }
}
