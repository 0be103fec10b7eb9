//! What there is to do at the conformance fixture.

use serde_json::{Value, json};

use super::Meeting;
use crate::clients::Step;
use crate::conformance::ConformanceServer;
use crate::session::{Era, Session};
use crate::wait;

const WATCHED: &str = "test://watched-resource";
const UPDATED: &str = "notifications/resources/updated";
const LOGS: &[&str] = &[
    "Tool execution started",
    "Tool processing data",
    "Tool execution completed",
];

pub(super) fn steps(meeting: &Meeting) -> Vec<Step> {
    let mut steps = uses(meeting);
    if meeting.client.is_one_shot() {
        if meeting.names.is_prefixed {
            steps.extend(lists(meeting));
            steps.extend(unanswerable(meeting));
        }
        return steps;
    }
    steps.extend(lists(meeting));
    steps.extend(contents(meeting));
    steps.extend(completions(meeting));
    let reporting = meeting
        .call("test_tool_with_progress", json!({}))
        .says("Reported three times.");
    steps.push(meeting.progresses(reporting, &[0.0, 50.0, 100.0]));
    steps.push(Step::cancel(
        &meeting.names.of("test_cancellation"),
        json!({}),
    ));
    steps.extend(changes(meeting));
    if !meeting.is_close() {
        steps.extend(unanswerable(meeting));
        return steps;
    }
    steps.extend(logs(meeting));
    steps.extend(questions(meeting));
    steps.push(update(meeting));
    if meeting.client.era() == Era::Modern {
        steps.extend(rounds(meeting));
    }
    steps
}

/// How many calls the clients took back, in all.
pub(super) async fn wait_for_cancellations(
    server: &ConformanceServer,
    era: Era,
    count: usize,
) -> anyhow::Result<()> {
    let session = Session::open(era, &server.url()).await?;
    let (session, expected) = (&session, &count.to_string());
    let read = json!({ "uri": "test://cancellations" });
    wait::until(&format!("{count} cancelled calls"), || {
        let read = read.clone();
        async move {
            let answer = session.request("resources/read", read).await;
            let result = answer.and_then(|answer| answer.result());
            result.is_ok_and(|result| result["contents"][0]["text"] == expected.as_str())
        }
    })
    .await
}

fn lists(meeting: &Meeting) -> Vec<Step> {
    let names = &meeting.names;
    vec![
        Step::list("tools").lists(names.of("test_simple_text")),
        Step::list("prompts").lists(names.of("test_prompt_with_arguments")),
        Step::list("resources").lists(names.uri("test://static-text")),
        Step::list("resourceTemplates").lists(names.uri("test://template/{id}/data")),
    ]
}

fn uses(meeting: &Meeting) -> Vec<Step> {
    let words = json!({ "arg1": "one", "arg2": "two" });
    vec![
        simple(meeting),
        meeting
            .get("test_prompt_with_arguments", words)
            .says("arg1='one', arg2='two'"),
        meeting
            .read("test://static-text")
            .says("content of the static text resource"),
    ]
}

fn contents(meeting: &Meeting) -> Vec<Step> {
    let data = meeting.names.uri("test://template/7/data");
    vec![
        meeting
            .call("test_image_content", json!({}))
            .has("/content/0/mimeType", json!("image/png")),
        meeting
            .call("test_error_handling", json!({}))
            .has("/isError", json!(true)),
        meeting
            .read("test://static-binary")
            .has("/contents/0/mimeType", json!("image/png")),
        meeting
            .read("test://template/7/data")
            .says("Data for ID: 7")
            .has("/contents/0/uri", json!(data)),
        meeting.read("test://nothing").fails_naming(&["not found"]),
    ]
}

fn simple(meeting: &Meeting) -> Step {
    meeting
        .call("test_simple_text", json!({}))
        .says("simple text response")
}

fn completions(meeting: &Meeting) -> Vec<Step> {
    let prompt = meeting.names.of("test_prompt_with_arguments");
    let template = meeting.names.uri("test://template/{id}/data");
    let words = json!(["paris", "park", "party"]);
    vec![
        Step::complete(
            json!({ "type": "ref/prompt", "name": prompt }),
            "arg1",
            "par",
        )
        .has("/completion/values", words.clone()),
        Step::complete(
            json!({ "type": "ref/resource", "uri": template }),
            "id",
            "par",
        )
        .has("/completion/values", words),
    ]
}

/// Changes of lists, each there and back again, so that the next visit finds the lists as this one did.
fn changes(meeting: &Meeting) -> Vec<Step> {
    let names = &meeting.names;
    let kinds = [
        ("tools", "tool", names.of("test_added_tool")),
        ("prompts", "prompt", names.of("test_added_prompt")),
        ("resources", "resource", names.uri("test://added-resource")),
    ];
    let mut steps = Vec::new();
    for (list, kind, added) in kinds {
        let trigger = names.of(&format!("test_trigger_{kind}_change"));
        let listen = || {
            let filter = json!({ format!("{list}ListChanged"): true });
            let change = format!("notifications/{list}/list_changed");
            Step::listen(filter, &trigger, json!({}), &change)
        };
        steps.extend([
            listen(),
            Step::list(list).lists(&added),
            listen(),
            Step::list(list).lists_nothing_with(added),
        ]);
    }
    steps
}

fn update(meeting: &Meeting) -> Step {
    let uri = meeting.names.uri(WATCHED);
    let trigger = meeting.names.of("test_trigger_resource_update");
    let filter = json!({ "resourceSubscriptions": [uri] });
    Step::listen(filter, &trigger, json!({ "uri": WATCHED }), UPDATED).is_told_of(uri)
}

fn logs(meeting: &Meeting) -> Vec<Step> {
    vec![
        Step::level("info"),
        meeting
            .call("test_tool_with_logging", json!({}))
            .until_logs(LOGS.len())
            .logs(LOGS),
        Step::level("error"),
        meeting
            .call("test_tool_with_logging", json!({}))
            .says("Logged three times.")
            .logs(&[]),
    ]
}

fn questions(meeting: &Meeting) -> Vec<Step> {
    let contact = json!({ "username": "ada", "email": "ada@example.com" });
    vec![
        sampling(meeting)
            .says("LLM response: Paris")
            .is_asked("sampling/createMessage", None),
        elicitation(meeting)
            .filling_in(contact)
            .says("ada@example.com")
            .is_asked("elicitation/create", Some("form")),
        meeting
            .call("test_url_elicitation", json!({}))
            .says("action=accept")
            .is_asked("elicitation/create", Some("url")),
        meeting
            .call("test_list_roots", json!({}))
            .says("file:///served")
            .is_asked("roots/list", None),
    ]
}

/// Questions of a server that lives in another era, or of one that asks a client which answers nothing.
fn unanswerable(meeting: &Meeting) -> Vec<Step> {
    vec![
        sampling(meeting).fails_naming(&["sampling", "capabilit"]),
        elicitation(meeting).fails_naming(&["elicitation", "capabilit"]),
        // The client is none the worse for it.
        simple(meeting),
    ]
}

fn sampling(meeting: &Meeting) -> Step {
    let arguments = json!({ "prompt": "The capital?" });
    meeting.call("test_sampling", arguments).sampling("Paris")
}

fn elicitation(meeting: &Meeting) -> Step {
    meeting.call("test_elicitation", json!({ "message": "Who?" }))
}

/// What takes several rounds, in the modern way.
fn rounds(meeting: &Meeting) -> Vec<Step> {
    let form = json!({ "name": "Ada", "color": "green", "ok": true, "context": "tests" });
    let ask = |tool: &str, says: &'static str| {
        let tool = format!("test_input_required_result_{tool}");
        meeting
            .call(&tool, json!({}))
            .filling_in(form.clone())
            .sampling("Welcome.")
            .says(says)
    };
    vec![
        ask("elicitation", "Hello, Ada!"),
        ask("multi_round", "Ada likes green."),
        ask("request_state", "state-ok, confirmed: true"),
        ask("multiple_inputs", "Hello, Ada! Welcome."),
        meeting
            .get("test_input_required_result_prompt", Value::Null)
            .filling_in(form.clone())
            .says("The context is: tests"),
    ]
}
