//! What there is to do at `server-everything`, which is legacy.

use serde_json::json;

use super::Meeting;
use crate::clients::Step;

const DOCUMENT: &str = "demo://resource/static/document/architecture.md";
const TEXT: &str = "demo://resource/dynamic/text/2";
const TEXTS: &str = "demo://resource/dynamic/text/{resourceId}";

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
    let long = |duration| json!({ "duration": duration, "steps": 3 });
    let operation = meeting
        .call("trigger-long-running-operation", long(0.15))
        .says("completed");
    steps.push(meeting.progresses(operation, &[1.0, 2.0, 3.0]));
    let name = meeting.names.of("trigger-long-running-operation");
    steps.push(Step::cancel(&name, long(0.6)));
    if !meeting.is_close() {
        steps.extend(unanswerable(meeting));
        return steps;
    }
    steps.extend(logs(meeting));
    steps.extend(updates(meeting));
    steps.extend(questions(meeting));
    steps
}

fn lists(meeting: &Meeting) -> Vec<Step> {
    let names = &meeting.names;
    vec![
        Step::list("tools").lists(names.of("echo")),
        Step::list("prompts").lists(names.of("args-prompt")),
        Step::list("resources").lists(names.uri(DOCUMENT)),
        Step::list("resourceTemplates").lists(names.uri(TEXTS)),
    ]
}

fn uses(meeting: &Meeting) -> Vec<Step> {
    vec![
        echo(meeting),
        meeting
            .get("args-prompt", json!({ "city": "Paris" }))
            .says("What's weather in Paris?"),
        meeting.read(DOCUMENT).says("Architecture"),
    ]
}

fn contents(meeting: &Meeting) -> Vec<Step> {
    vec![
        meeting
            .call("get-structured-content", json!({ "location": "Chicago" }))
            .has("/structuredContent/temperature", json!(36)),
        meeting
            .call("get-resource-links", json!({ "count": 2 }))
            .has("/content/2/uri", json!(meeting.names.uri(TEXT))),
        meeting.read(TEXT).says("Resource 2:"),
        meeting.read("demo://nothing").fails_naming(&["not found"]),
    ]
}

fn echo(meeting: &Meeting) -> Step {
    meeting
        .call("echo", json!({ "message": "hello" }))
        .says("Echo: hello")
}

fn completions(meeting: &Meeting) -> Vec<Step> {
    let prompt = json!({ "type": "ref/prompt", "name": meeting.names.of("completable-prompt") });
    let template = json!({ "type": "ref/resource", "uri": meeting.names.uri(TEXTS) });
    vec![
        Step::complete(prompt.clone(), "department", "E")
            .has("/completion/values", json!(["Engineering"])),
        Step::complete(prompt, "name", "A")
            .given(json!({ "department": "Engineering" }))
            .has("/completion/values", json!(["Alice"])),
        Step::complete(template, "resourceId", "7").has("/completion/values", json!(["7"])),
    ]
}

/// The first of the log messages, whose levels are random, comes at once.
fn logs(meeting: &Meeting) -> Vec<Step> {
    let toggle = || meeting.call("toggle-simulated-logging", json!({}));
    vec![
        Step::level("debug"),
        toggle().says("Started").until_logs(1),
        toggle().says("Stopped"),
    ]
}

fn updates(meeting: &Meeting) -> Vec<Step> {
    let (uri, toggle) = (
        meeting.names.uri(TEXT),
        meeting.names.of("toggle-subscriber-updates"),
    );
    let filter = json!({ "resourceSubscriptions": [uri] });
    vec![
        Step::listen(
            filter,
            &toggle,
            json!({}),
            "notifications/resources/updated",
        )
        .is_told_of(uri),
        Step::call(&toggle, json!({})).says("Stopped"),
    ]
}

fn questions(meeting: &Meeting) -> Vec<Step> {
    let page = |by_error: bool| {
        let url = format!(
            "https://example.com/{}/{by_error}",
            meeting.names.is_prefixed
        );
        json!({ "url": url, "errorPath": by_error })
    };
    vec![
        sampling(meeting)
            .says("Paris")
            .is_asked("sampling/createMessage", None),
        elicitation(meeting)
            .filling_in(json!({ "name": "Ada Lovelace", "check": true }))
            .says("Name: Ada Lovelace")
            .is_asked("elicitation/create", Some("form")),
        meeting
            .call("trigger-url-elicitation", page(false))
            .says("completed")
            .is_asked("elicitation/create", Some("url")),
        meeting
            .call("trigger-url-elicitation", page(true))
            .fails_with(-32042),
        meeting
            .call("get-roots-list", json!({}))
            .says("file:///served"),
    ]
}

/// The server has these tools only for clients that it can ask, and the gateway cannot answer for one of another era.
fn unanswerable(meeting: &Meeting) -> Vec<Step> {
    vec![
        sampling(meeting).fails_naming(&["sampling"]),
        elicitation(meeting).fails_naming(&["elicitation"]),
        // The client is none the worse for it.
        echo(meeting),
    ]
}

fn sampling(meeting: &Meeting) -> Step {
    let arguments = json!({ "prompt": "The capital?", "maxTokens": 10 });
    meeting
        .call("trigger-sampling-request", arguments)
        .sampling("Paris")
}

fn elicitation(meeting: &Meeting) -> Step {
    meeting.call("trigger-elicitation-request", json!({}))
}
