//! Tools that take several rounds, and give the client a sealed state to bring back.

use std::time::Duration;

use rmcp::model::{ErrorData, RequestStateCodec, SealOptions, Tool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::callbacks::{greeted, name_form, sampled};
use super::catalog::{Answer, Call, plain, text};
use super::questions::{Question, answer, field, form, require, roots, sample};

const STATE_LIFETIME: Duration = Duration::from_secs(600);

/// Makes the states that clients bring back, and knows them again.
#[derive(Debug, Clone)]
pub(super) struct Seal(RequestStateCodec);

/// What is remembered from one round to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    name: Option<String>,
}

pub(super) fn tools() -> Vec<Tool> {
    vec![
        plain(
            "test_input_required_result_request_state",
            "Asks for a confirmation, with a state",
        ),
        plain(
            "test_input_required_result_multiple_inputs",
            "Asks three different things at once, with a state",
        ),
        plain(
            "test_input_required_result_multi_round",
            "Asks for a name and then for a colour, with a state for each",
        ),
        plain(
            "test_input_required_result_tampered_state",
            "Asks for a confirmation, with a state that cannot be changed",
        ),
        plain(
            "test_input_required_result_capabilities",
            "Asks what the client says it understands",
        ),
    ]
}

/// None for the tools of other areas.
pub(super) fn call(call: &Call, seal: &Seal) -> Option<Answer> {
    let answer = match call.name.as_str() {
        "test_input_required_result_request_state"
        | "test_input_required_result_tampered_state" => confirm(call, seal),
        "test_input_required_result_multiple_inputs" => ask_everything(call, seal),
        "test_input_required_result_multi_round" => ask_twice(call, seal),
        "test_input_required_result_capabilities" => ask_what_is_understood(call),
        _ => return None,
    };
    Some(answer)
}

impl Seal {
    /// With a key of its own: a state does not outlive the process.
    pub(super) fn new() -> Self {
        // Two ids are as long as the shortest key that is safe.
        let key = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        Self(RequestStateCodec::new_unchecked(key.concat()))
    }

    /// A state is good for the tool that gave it, and for a while.
    fn close(&self, call: &Call, progress: &Progress) -> Result<String, ErrorData> {
        let options = SealOptions::new()
            .associated_data(call.name.as_bytes())
            .ttl(STATE_LIFETIME);
        self.0
            .seal_json_with(progress, &options)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    /// None in the first round.
    fn open(&self, call: &Call) -> Result<Option<Progress>, ErrorData> {
        let Some(state) = &call.request_state else {
            return Ok(None);
        };
        self.0
            .open_json_with(state, call.name.as_bytes())
            .map(Some)
            .map_err(|_| {
                ErrorData::invalid_params("requestState is not one of this server's", None)
            })
    }
}

fn confirm(call: &Call, seal: &Seal) -> Answer {
    let progress = seal.open(call)?;
    if let (Some(_), Some(answer)) = (progress, answer(call, "confirm")) {
        let ok = answer.pointer("/content/ok") == Some(&Value::Bool(true));
        return text(format!("state-ok, confirmed: {ok}"));
    }
    let fields = json!({ "ok": { "type": "boolean" } });
    let question = form("Please confirm", fields, &["ok"]);
    let state = seal.close(call, &Progress::default())?;
    Ok(require(call, &[("confirm", question)], Some(state))?.into())
}

fn ask_everything(call: &Call, seal: &Seal) -> Answer {
    let progress = seal.open(call)?;
    let answers = ["user_name", "greeting", "client_roots"].map(|key| answer(call, key));
    if let (Some(_), [Some(name), Some(greeting), Some(_)]) = (progress, answers) {
        return text(format!("{} {}", greeted(name), sampled(greeting)));
    }
    let questions = [
        ("user_name", name_form()),
        ("greeting", sample("Generate a greeting", 50)),
        ("client_roots", roots()),
    ];
    let state = seal.close(call, &Progress::default())?;
    Ok(require(call, &questions, Some(state))?.into())
}

fn ask_twice(call: &Call, seal: &Seal) -> Answer {
    let progress = seal.open(call)?.unwrap_or_default();
    let Some(name) = progress.name else {
        let Some(name) = answer(call, "step1").and_then(|answer| field(answer, "name")) else {
            let question = text_form("Step 1: What is your name?", "name");
            let state = seal.close(call, &Progress::default())?;
            return Ok(require(call, &[("step1", question)], Some(state))?.into());
        };
        return ask_colour(call, seal, name);
    };
    match answer(call, "step2").and_then(|answer| field(answer, "color")) {
        Some(colour) => text(format!("{name} likes {colour}.")),
        None => ask_colour(call, seal, &name),
    }
}

fn ask_colour(call: &Call, seal: &Seal, name: &str) -> Answer {
    let progress = Progress {
        name: Some(name.to_owned()),
    };
    let question = text_form("Step 2: What is your favorite color?", "color");
    let state = seal.close(call, &progress)?;
    Ok(require(call, &[("step2", question)], Some(state))?.into())
}

fn ask_what_is_understood(call: &Call) -> Answer {
    let client = call.capabilities();
    let mut questions = vec![
        ("user_name", name_form()),
        ("greeting", sample("Generate a greeting", 50)),
        ("client_roots", roots()),
    ];
    if let Some(answer) = questions.iter().find_map(|(key, _)| answer(call, key)) {
        return text(format!("The client answered: {answer}"));
    }
    if questions
        .iter()
        .any(|(_, question)| question.is_understood(&client))
    {
        questions.retain(|(_, question)| question.is_understood(&client));
    }
    Ok(require(call, &questions, None)?.into())
}

fn text_form(message: &str, name: &str) -> Question {
    form(message, json!({ name: { "type": "string" } }), &[name])
}
