//! One thing that an official client does, and what it must see while it does so.

use serde_json::{Value, json};

use super::Seen;

type Check = Box<dyn Fn(&Seen) -> anyhow::Result<()>>;

/// What a client script is asked to do, with everything that is expected of it.
pub struct Step {
    request: Value,
    checks: Vec<Check>,
}

impl Step {
    /// All pages of `tools`, `prompts`, `resources` or `resourceTemplates`.
    pub fn list(what: &str) -> Self {
        Self::new(json!({ "do": "list", "what": what }))
    }

    pub fn call(tool: &str, arguments: Value) -> Self {
        Self::new(json!({ "do": "call", "name": tool, "arguments": arguments }))
    }

    /// Calls a tool and takes the call back once it reports progress.
    pub fn cancel(tool: &str, arguments: Value) -> Self {
        Self::new(json!({ "do": "cancel", "name": tool, "arguments": arguments }))
            .expect(Seen::failed)
    }

    pub fn get(prompt: &str, arguments: Value) -> Self {
        Self::new(json!({ "do": "get", "name": prompt, "arguments": arguments }))
    }

    pub fn read(uri: &str) -> Self {
        Self::new(json!({ "do": "read", "uri": uri }))
    }

    /// Asks what an argument may be. `reference` is that of `completion/complete`.
    pub fn complete(reference: Value, argument: &str, typed: &str) -> Self {
        let argument = json!({ "name": argument, "value": typed });
        Self::new(json!({ "do": "complete", "ref": reference, "argument": argument }))
    }

    /// Listens to what `filter` names, as `subscriptions/listen` has it, calls a tool, and goes on
    /// listening until the notification `change` has come.
    pub fn listen(filter: Value, tool: &str, arguments: Value, change: &str) -> Self {
        let cause = json!({ "name": tool, "arguments": arguments });
        Self::new(json!({ "do": "listen", "filter": filter, "cause": cause, "change": change }))
    }

    /// The least level of logs, from now on.
    pub fn level(level: &str) -> Self {
        Self::new(json!({ "do": "level", "level": level }))
    }

    fn new(request: Value) -> Self {
        Self {
            request,
            checks: Vec::new(),
        }
    }

    /// With the arguments that are already chosen, for a completion.
    pub fn given(mut self, arguments: Value) -> Self {
        self.request["context"] = json!({ "arguments": arguments });
        self
    }

    /// Every form that the server asks for is filled in from these values, as far as it has the fields.
    pub fn filling_in(mut self, form: Value) -> Self {
        self.request["answers"]["form"] = form;
        self
    }

    /// Every sample that the server asks for is this text.
    pub fn sampling(mut self, text: &str) -> Self {
        self.request["answers"]["text"] = json!(text);
        self
    }

    /// Lasts until there are so many logs, where they may come after the answer.
    pub fn until_logs(mut self, count: usize) -> Self {
        self.request["logs"] = json!(count);
        self
    }

    /// What must hold of what the client sees.
    pub fn expect(mut self, check: impl Fn(&Seen) -> anyhow::Result<()> + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    pub fn has(self, pointer: &'static str, value: Value) -> Self {
        self.expect(move |seen| seen.has(pointer, &value))
    }

    pub fn lists(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.expect(move |seen| seen.lists(&name))
    }

    pub fn lists_in_all(self, count: usize) -> Self {
        self.expect(move |seen| seen.lists_in_all(count))
    }

    /// No name in the list has this in it.
    pub fn lists_nothing_with(self, part: impl Into<String>) -> Self {
        let part = part.into();
        self.expect(move |seen| seen.lists_nothing_with(&part))
    }

    pub fn succeeds(self) -> Self {
        self.expect(Seen::succeeded)
    }

    pub fn says(self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.expect(move |seen| seen.says(&text))
    }

    pub fn fails_naming(self, words: &'static [&'static str]) -> Self {
        self.expect(|seen| seen.fails_naming(words))
    }

    pub fn fails_with(self, code: i64) -> Self {
        self.expect(move |seen| seen.fails_with(code))
    }

    pub fn progresses(self, progress: &'static [f64]) -> Self {
        self.expect(|seen| seen.progressed(progress))
    }

    /// The same for a client that may lose the end of it.
    pub fn progresses_at_most(self, progress: &'static [f64]) -> Self {
        self.expect(|seen| seen.progressed_at_most(progress))
    }

    pub fn logs(self, texts: &'static [&'static str]) -> Self {
        self.expect(|seen| seen.logged(texts))
    }

    pub fn is_asked(self, method: &'static str, mode: Option<&'static str>) -> Self {
        self.expect(move |seen| seen.was_asked(method, mode))
    }

    /// Is told that this resource has changed.
    pub fn is_told_of(self, uri: String) -> Self {
        self.expect(move |seen| seen.was_told_of(&uri))
    }

    /// The step as a client script reads it.
    pub fn request(&self) -> &Value {
        &self.request
    }

    pub(super) fn check(&self, seen: &Seen) -> anyhow::Result<()> {
        self.checks.iter().try_for_each(|check| check(seen))
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.request)
    }
}
