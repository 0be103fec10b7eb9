//! Tools that ask their client one thing and answer with what it said.

use rmcp::model::Tool;
use serde_json::{Value, json};

use super::catalog::{Answer, Call, plain, text, tool};
use super::notices::report;
use super::questions::{Asked, Question, ask, field, form, page, roots, sample};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "test_sampling",
            "Asks the client's model",
            required_text("prompt"),
        ),
        tool(
            "test_elicitation",
            "Asks the user for a name and an address",
            required_text("message"),
        ),
        plain(
            "test_elicitation_sep1034_defaults",
            "Asks the user by a form with defaults",
        ),
        plain(
            "test_elicitation_sep1330_enums",
            "Asks the user to choose in every way that forms have",
        ),
        plain("test_url_elicitation", "Asks the user to visit a page"),
        plain("test_list_roots", "Asks for the client's roots"),
        plain(
            "test_missing_capability",
            "Needs a client that samples, and asks it nothing",
        ),
        plain(
            "test_streaming_elicitation",
            "Reports progress, then asks the user",
        ),
        plain("test_input_required_result_elicitation", "Asks for a name"),
        plain(
            "test_input_required_result_sampling",
            "Asks the client's model for a capital",
        ),
        plain(
            "test_input_required_result_list_roots",
            "Asks for the client's roots",
        ),
    ]
}

/// None for the tools of other areas.
pub(super) async fn call(call: &Call) -> Option<Answer> {
    let answer = match call.name.as_str() {
        "test_sampling" => {
            let question = sample(call.text("prompt"), 100);
            put(call, "completion", question, |answer| {
                format!("LLM response: {}", sampled(answer))
            })
            .await
        }
        "test_elicitation" => {
            let question = form(call.text("message"), contact(), &["username", "email"]);
            put(call, "contact", question, |answer| {
                format!("User response: {answer}")
            })
            .await
        }
        "test_elicitation_sep1034_defaults" => {
            let question = form("Please confirm these values", defaults(), &[]);
            put(call, "values", question, completed).await
        }
        "test_elicitation_sep1330_enums" => {
            let question = form("Please choose", choices(), &[]);
            put(call, "choices", question, completed).await
        }
        "test_url_elicitation" => {
            let question = page(
                "Please visit this page",
                "https://example.com/visit",
                "visit-1",
            );
            put(call, "visit", question, completed).await
        }
        "test_list_roots" => put(call, "roots", roots(), listed).await,
        "test_missing_capability" => need_sampling(call),
        "test_streaming_elicitation" => report_and_ask(call).await,
        "test_input_required_result_elicitation" => {
            put(call, "user_name", name_form(), greeted).await
        }
        "test_input_required_result_sampling" => {
            let question = sample("What is the capital of France?", 100);
            put(call, "capital_question", question, |answer| {
                format!("The model said: {}", sampled(answer))
            })
            .await
        }
        "test_input_required_result_list_roots" => put(call, "client_roots", roots(), listed).await,
        _ => return None,
    };
    Some(answer)
}

pub(super) fn name_form() -> Question {
    let fields = json!({ "name": { "type": "string" } });
    form("What is your name?", fields, &["name"])
}

pub(super) fn greeted(answer: &Value) -> String {
    match field(answer, "name") {
        Some(name) => format!("Hello, {name}!"),
        None => "Hello, whoever you are!".to_owned(),
    }
}

/// The text that a model answered with.
pub(super) fn sampled(answer: &Value) -> &str {
    answer
        .pointer("/content/text")
        .and_then(Value::as_str)
        .unwrap_or("(no text)")
}

async fn put(
    call: &Call,
    key: &str,
    question: Question,
    respond: impl FnOnce(&Value) -> String + Send,
) -> Answer {
    match ask(call, key, question).await? {
        Asked::Answered(answer) => text(respond(&answer)),
        Asked::Required(result) => Ok(result.into()),
    }
}

fn need_sampling(call: &Call) -> Answer {
    sample("Hello", 1).require(call)?;
    text("The client samples.")
}

async fn report_and_ask(call: &Call) -> Answer {
    report(call, 1.0, 2.0).await;
    put(call, "user_name", name_form(), greeted).await
}

fn completed(answer: &Value) -> String {
    let action = answer
        .get("action")
        .and_then(Value::as_str)
        .unwrap_or("none");
    let content = answer.get("content").unwrap_or(&Value::Null);
    format!("Elicitation completed: action={action}, content={content}")
}

fn listed(answer: &Value) -> String {
    let roots: Vec<&str> = answer
        .get("roots")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|root| root.get("uri")?.as_str())
        .collect();
    format!("The client's roots: {}", roots.join(", "))
}

fn required_text(argument: &str) -> Value {
    json!({
        "type": "object",
        "properties": { argument: { "type": "string" } },
        "required": [argument],
    })
}

fn contact() -> Value {
    json!({
        "username": { "type": "string", "description": "User's response" },
        "email": { "type": "string", "description": "User's email address" },
    })
}

fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": { "type": "boolean", "default": true },
    })
}

fn choices() -> Value {
    json!({
        "untitledSingle": {
            "type": "string",
            "enum": ["option1", "option2", "option3"],
        },
        "titledSingle": {
            "type": "string",
            "oneOf": [
                { "const": "value1", "title": "First Option" },
                { "const": "value2", "title": "Second Option" },
                { "const": "value3", "title": "Third Option" },
            ],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": { "type": "string", "enum": ["option1", "option2", "option3"] },
        },
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": [
                    { "const": "value1", "title": "First Choice" },
                    { "const": "value2", "title": "Second Choice" },
                    { "const": "value3", "title": "Third Choice" },
                ],
            },
        },
    })
}
