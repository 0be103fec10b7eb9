//! What MCP and the contract ask of a plugin's server, before what its trait asks: the tools, their
//! schemas, the form of answers, and that nothing ends it.

mod conversation;
mod samples;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway_core::plugin::PluginKind;
use gateway_mcp::client::ServerHello;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::probe::{self, CROWD, SECRET, unique};
use super::report::{Outcome, Report, Unmet, ensure, failed};
use crate::over_mcp::{Dial, required_tools};
use conversation::{Called, Conversation, Listed, Unanswered};
use samples::{Due, Sample, of_wrong_types, samples};

/// How many calls in a row one conversation has to bear.
const MANY: usize = 25;

const LISTS: &str = "lists_the_tools_of_its_kind";
const ANSWERS: &str = "answers_each_tool_in_time";

/// The suite of plugins' servers, before that of their trait.
#[derive(Clone)]
pub struct Protocol {
    kind: PluginKind,
    conversation: Arc<Conversation>,
    /// Whether a call had no answer in time, so that the cases to come need not wait as well.
    hangs: Arc<AtomicBool>,
}

/// How long calls of one tool took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Which tool was called.
    pub tool: &'static str,
    /// In ascending order.
    pub calls: Vec<Duration>,
}

/// The names of the tools that a server lists.
///
/// # Errors
/// What it does instead, as a sentence without its subject.
pub async fn tools_of(dial: Arc<dyn Dial>, timeout: Duration) -> Result<Vec<String>, String> {
    let conversation = Conversation::new(dial, timeout);
    let listed = conversation.tools().await;
    conversation.close().await;
    match listed {
        Ok(tools) => Ok(tools.into_iter().map(|tool| tool.name).collect()),
        Err(Unmet::Failed(why)) => Err(why),
        Err(Unmet::NotApplicable(why)) => Err(why.to_owned()),
    }
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protocol").finish_non_exhaustive()
    }
}

impl Protocol {
    /// Of the server that is reached this way. `timeout` is what one call may take.
    pub fn new(kind: PluginKind, dial: Arc<dyn Dial>, timeout: Duration) -> Self {
        Self {
            kind,
            conversation: Arc::new(Conversation::new(dial, timeout)),
            hangs: Arc::default(),
        }
    }

    /// Hears how the server introduces itself.
    ///
    /// # Errors
    /// What it does instead.
    pub async fn hello(&self) -> Result<ServerHello, String> {
        let hello = self.conversation.hello().await;
        hello.map_err(|why| match why {
            Unanswered::Lost(why) => why,
            late => late.describe(),
        })
    }

    /// Runs the suite.
    pub async fn run(&self) -> Report {
        let mut report = Report::new(self.kind);
        let subject = || self.clone();
        report.case(LISTS, subject().lists_tools()).await;
        report
            .case("takes_the_arguments_of_the_contract", subject().takes())
            .await;
        report.case(ANSWERS, subject().answers_each()).await;
        report
            .case(
                "gives_results_in_the_form_of_its_schemas",
                subject().keeps_to_forms(),
            )
            .await;
        report
            .case("refuses_bad_arguments", subject().refuses_bad())
            .await;
        report
            .case("repeats_no_secret_in_errors", subject().repeats_nothing())
            .await;
        report
            .case(
                "refuses_a_tool_that_it_has_not",
                subject().refuses_unknown(),
            )
            .await;
        report
            .case("answers_calls_that_come_at_once", subject().bears_crowds())
            .await;
        report
            .case("stays_up_through_many_calls", subject().stays_up())
            .await;
        report
    }

    /// Whether the trait's suite would find anything to judge: not where tools are missing, or calls
    /// without answers.
    pub fn is_usable(report: &Report) -> bool {
        let failures = report.failures();
        let mut failures = failures.iter().map(|finding| finding.case);
        !failures.any(|case| [LISTS, ANSWERS].contains(&case))
    }

    /// Calls the first tool that may be called so often, one call after the other. `None`: a call had
    /// no answer.
    pub async fn latency(&self, calls: usize) -> Option<Latency> {
        let tool = samples(self.kind).first().filter(|_| calls > 0)?.tool;
        let mut taken = Vec::with_capacity(calls);
        for _ in 0..calls {
            // Anew for each, because some have to be unique.
            let sample = samples(self.kind).into_iter().next()?;
            let begin = Instant::now();
            self.conversation.call(tool, &sample.arguments).await.ok()?;
            taken.push(begin.elapsed());
        }
        taken.sort();
        Some(Latency { tool, calls: taken })
    }

    /// Ends the conversation.
    pub async fn close(&self) {
        self.conversation.close().await;
    }

    /// The tools of the contract that the server has, with what the gateway calls them with.
    async fn tools(&self) -> Result<Vec<(Sample, Listed)>, Unmet> {
        if self.hangs.load(Ordering::Relaxed) {
            return Err(Unmet::NotApplicable("a call before had no answer in time"));
        }
        let listed = self.conversation.tools().await?;
        let mut listed: BTreeMap<_, _> = listed
            .into_iter()
            .map(|tool| (tool.name.clone(), tool))
            .collect();
        let samples = samples(self.kind).into_iter();
        let there = samples.filter_map(|sample| {
            let tool = listed.remove(sample.tool)?;
            Some((sample, tool))
        });
        let there: Vec<_> = there.collect();
        let is_there = |name: &&str| there.iter().any(|(sample, _)| sample.tool == *name);
        match required_tools(self.kind).iter().all(is_there) {
            true => Ok(there),
            false => Err(Unmet::NotApplicable("not all of its tools are there")),
        }
    }

    async fn call(&self, tool: &str, arguments: &Value) -> Result<Called, Unmet> {
        let called = self.conversation.call(tool, arguments).await;
        if matches!(called, Err(Unanswered::Late(_))) {
            self.hangs.store(true, Ordering::Relaxed);
        }
        called.map_err(|why| Unmet::Failed(format!("`{tool}` {}", why.describe())))
    }

    async fn lists_tools(self) -> Outcome {
        let listed = self.conversation.tools().await?;
        let names: Vec<_> = listed.iter().map(|tool| tool.name.as_str()).collect();
        let mut missing = required_tools(self.kind).to_vec();
        missing.retain(|tool| !names.contains(tool));
        ensure(missing.is_empty(), || {
            let have = if names.is_empty() {
                "none"
            } else {
                &*names.join(", ")
            };
            format!("has no tool `{}`; it has {have}", missing.join("`, `"))
        })
    }

    async fn takes(self) -> Outcome {
        for (sample, tool) in self.tools().await? {
            let name = sample.tool;
            let Some(schema) = tool.input_schema.filter(Value::is_object) else {
                return failed(format!("`{name}` has no inputSchema, which MCP requires"));
            };
            ensure(schema.get("type") == Some(&json!("object")), || {
                format!("the inputSchema of `{name}` is not one of `\"type\": \"object\"`")
            })?;
            if let Err(why) = schema::fits(&schema, &sample.arguments) {
                return failed(format!(
                    "the inputSchema of `{name}` does not take what the gateway sends: {why}"
                ));
            }
        }
        Ok(())
    }

    async fn answers_each(self) -> Outcome {
        for (sample, _) in self.tools().await? {
            if sample.due == Due::Nothing {
                continue;
            }
            let name = sample.tool;
            let called = self.call(name, &sample.arguments).await?;
            if let Called::Refused { code, message } = called {
                return failed(format!(
                    "`{name}` refuses what the gateway sends, with error {code}: {message}"
                ));
            }
            ensure(sample.due == Due::Answered || !called.is_refusal(), || {
                format!("`{name}` fails where it has to be done: {}", called.text())
            })?;
        }
        Ok(())
    }

    async fn keeps_to_forms(self) -> Outcome {
        for (sample, tool) in self.tools().await? {
            if sample.due == Due::Nothing {
                continue;
            }
            let Called::Result(result) = self.call(sample.tool, &sample.arguments).await? else {
                continue;
            };
            if let Err(why) = in_form(&result, tool.output_schema.as_ref()) {
                return failed(format!("the result of `{}`: {why}", sample.tool));
            }
        }
        Ok(())
    }

    async fn refuses_bad(self) -> Outcome {
        for (sample, _) in self.tools().await? {
            let name = sample.tool;
            let wrong = of_wrong_types(&sample.arguments);
            for (arguments, what) in [
                (json!({}), "no arguments"),
                (wrong, "arguments of wrong types"),
            ] {
                let called = self.call(name, &arguments).await?;
                ensure(called.is_refusal(), || format!("`{name}` takes {what}"))?;
            }
        }
        Ok(())
    }

    /// With a secret where it belongs and the rest missing, and with one where no text belongs.
    async fn repeats_nothing(self) -> Outcome {
        let mut has_secret = false;
        for (sample, _) in self.tools().await? {
            let Some(secret) = sample.secret else {
                continue;
            };
            has_secret = true;
            let mut nested = sample.arguments.clone();
            if let Some(nested) = nested.as_object_mut() {
                nested.insert(secret.to_owned(), json!([SECRET]));
            }
            for arguments in [json!({ secret: SECRET }), nested] {
                let called = self.call(sample.tool, &arguments).await?;
                ensure(!called.text().contains(SECRET), || {
                    format!("an error of `{}` repeats `{secret}`", sample.tool)
                })?;
            }
        }
        match has_secret {
            true => Ok(()),
            false => Err(Unmet::NotApplicable("its arguments hold no secret")),
        }
    }

    async fn refuses_unknown(self) -> Outcome {
        self.tools().await?;
        let called = self.call(&unique("no-such-tool"), &json!({})).await?;
        ensure(called.is_refusal(), || {
            "answers the call of a tool that it does not list".to_owned()
        })
    }

    async fn bears_crowds(self) -> Outcome {
        self.tools().await?;
        probe::all_at_once((0..CROWD).map(|_| {
            let subject = self.clone();
            async move { subject.call_first().await }
        }))
        .await
    }

    async fn stays_up(self) -> Outcome {
        self.tools().await?;
        for _ in 0..MANY {
            self.call_first().await?;
        }
        Ok(())
    }

    async fn call_first(&self) -> Outcome {
        let Some(sample) = samples(self.kind).into_iter().next() else {
            return Ok(());
        };
        let called = self.call(sample.tool, &sample.arguments).await?;
        ensure(sample.due != Due::Done || !called.is_refusal(), || {
            format!("`{}` fails: {}", sample.tool, called.text())
        })
    }
}

/// Holds a result to what MCP says of it, and to the tool's own schema.
fn in_form(result: &Value, schema: Option<&Value>) -> Result<(), String> {
    let is_typed = |part: &Value| part.get("type").is_some_and(Value::is_string);
    match result.get("content") {
        Some(Value::Array(parts)) if parts.iter().all(is_typed) => {}
        Some(_) => return Err("`content` is not a list of parts, each with a `type`".to_owned()),
        None => return Err("it has no `content`, which MCP requires".to_owned()),
    }
    let is_error = match result.get("isError") {
        None => false,
        Some(Value::Bool(is_error)) => *is_error,
        Some(_) => return Err("`isError` is neither true nor false".to_owned()),
    };
    let (Some(schema), false) = (schema, is_error) else {
        return Ok(());
    };
    let Some(structured) = result.get("structuredContent") else {
        return Err(
            "it has no `structuredContent`, though the tool has an outputSchema".to_owned(),
        );
    };
    schema::fits(schema, structured)
        .map_err(|why| format!("`structuredContent` does not fit the outputSchema: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_sample_of_each_tool_that_is_required() {
        for kind in PluginKind::ALL {
            let samples = samples(kind);
            for tool in required_tools(kind) {
                assert!(samples.iter().any(|sample| sample.tool == *tool), "{tool}");
            }
        }
    }

    #[test]
    fn results_are_held_to_the_form_of_mcp() {
        let schema = json!({ "type": "object", "required": ["allowed"] });
        let text = json!([{ "type": "text", "text": "" }]);
        let good = json!({ "content": text, "structuredContent": { "allowed": true } });
        assert_eq!(in_form(&good, Some(&schema)), Ok(()));
        let failed = json!({ "content": text, "isError": true });
        assert_eq!(in_form(&failed, Some(&schema)), Ok(()));
        for wrong in [
            json!({}),
            json!({ "content": "text" }),
            json!({ "content": [{}] }),
            json!({ "content": text, "isError": "no" }),
            json!({ "content": text }),
            json!({ "content": text, "structuredContent": {} }),
        ] {
            assert!(in_form(&wrong, Some(&schema)).is_err(), "{wrong}");
        }
    }
}
