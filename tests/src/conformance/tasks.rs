//! The tasks extension: tools that go on after their call was answered, if the client knows tasks.

use std::time::Duration;

use rmcp::model::{
    CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult, ErrorData, Tool,
};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use serde_json::{Value, json};

use super::callbacks::{greeted, name_form};
use super::catalog::{Answer, Call, plain, text, text_result, tool};
use super::questions::{Question, answer, form, require};

const TASK_LIFETIME_MS: u64 = 300_000;
const POLL_INTERVAL_MS: u64 = 200;
/// Nobody waits longer for a sleep that was asked for by mistake.
const LONGEST_SLEEP_SECONDS: f64 = 3600.0;

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "greet",
            "Greets at once, never as a task",
            json!({
                "type": "object",
                "properties": { "name": { "type": "string" } },
                "required": ["name"],
            }),
        ),
        tool(
            "slow_compute",
            "Sleeps; as a task where the client knows tasks",
            json!({
                "type": "object",
                "properties": {
                    "seconds": { "type": "number", "minimum": 0 },
                    "label": { "type": "string" },
                },
            }),
        ),
        plain("failing_job", "Fails after a while, only as a task"),
        plain(
            "protocol_error_job",
            "Ends in a protocol error; as a task where the client knows tasks",
        ),
        tool(
            "confirm_delete",
            "Asks the user before it deletes, only as a task",
            json!({
                "type": "object",
                "properties": { "filename": { "type": "string" } },
            }),
        ),
        plain("multi_input", "Asks two things at once, only as a task"),
        plain(
            "test_tool_with_task",
            "Asks for a name, and then greets as a task",
        ),
    ]
}

/// None for the tools of other areas.
pub(super) async fn call(call: &Call, tasks: &TaskManager) -> Option<Answer> {
    let answer = match call.name.as_str() {
        "greet" => text(format!("Hello, {}!", call.text("name"))),
        "slow_compute" => compute(call, tasks).await,
        "failing_job" => start(call, tasks, |_| Box::pin(fail())),
        "protocol_error_job" if call.capabilities().supports_tasks() => {
            start(call, tasks, |_| Box::pin(break_off()))
        }
        "protocol_error_job" => Err(broken()),
        "confirm_delete" => {
            let filename = call.text("filename").to_owned();
            start(call, tasks, |task| Box::pin(delete(task, filename)))
        }
        "multi_input" => start(call, tasks, |task| Box::pin(ask_two(task))),
        "test_tool_with_task" => ask_then_start(call, tasks),
        _ => return None,
    };
    Some(answer)
}

/// Makes a task of the call, if the client will understand that.
fn start(call: &Call, tasks: &TaskManager, run: impl FnOnce(TaskContext) -> TaskFuture) -> Answer {
    require_tasks(call)?;
    let options = TaskOptions::new()
        .with_ttl_ms(TASK_LIFETIME_MS)
        .with_poll_interval_ms(POLL_INTERVAL_MS);
    Ok(CreateTaskResult::new(tasks.spawn(options, run)).into())
}

fn require_tasks(call: &Call) -> Result<(), ErrorData> {
    if call.capabilities().supports_tasks() {
        return Ok(());
    }
    let required = ClientCapabilities::builder().enable_tasks().build();
    Err(call.undeclared(required))
}

async fn compute(call: &Call, tasks: &TaskManager) -> Answer {
    let seconds = call
        .arguments
        .get("seconds")
        .and_then(Value::as_f64)
        .unwrap_or(0.0)
        .clamp(0.0, LONGEST_SLEEP_SECONDS);
    let sleep = Duration::from_secs_f64(seconds);
    let label = call.text("label").to_owned();
    if call.capabilities().supports_tasks() {
        return start(call, tasks, |task| {
            Box::pin(sleep_as_task(task, sleep, label))
        });
    }
    tokio::select! {
        () = call.context.ct.cancelled() => text("Cancelled."),
        () = tokio::time::sleep(sleep) => text(slept(&label)),
    }
}

async fn sleep_as_task(
    task: TaskContext,
    sleep: Duration,
    label: String,
) -> Result<CallToolResult, TaskExit> {
    tokio::select! {
        () = task.cancelled() => Err(TaskExit::Cancelled),
        () = tokio::time::sleep(sleep) => Ok(text_result(slept(&label))),
    }
}

fn slept(label: &str) -> String {
    format!("Computed {label}")
}

async fn fail() -> Result<CallToolResult, TaskExit> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(CallToolResult::error(vec![ContentBlock::text(
        "The job failed.",
    )]))
}

async fn break_off() -> Result<CallToolResult, TaskExit> {
    Err(broken().into())
}

fn broken() -> ErrorData {
    ErrorData::internal_error("the job broke off", None)
}

async fn delete(task: TaskContext, filename: String) -> Result<CallToolResult, TaskExit> {
    let question = confirmation(&format!("Delete {filename}?"));
    let answer = task.request_input("confirm", question.to_input()?).await?;
    let outcome = if answer.pointer("/content/confirm") == Some(&Value::Bool(true)) {
        "Deleted"
    } else {
        "Kept"
    };
    Ok(text_result(format!("{outcome} {filename}")))
}

async fn ask_two(task: TaskContext) -> Result<CallToolResult, TaskExit> {
    let (name, sure) = (name_form().to_input()?, confirmation("Sure?").to_input()?);
    let (name, sure) = tokio::try_join!(
        task.request_input("name", name),
        task.request_input("sure", sure),
    )?;
    Ok(text_result(format!("The answers were {name} and {sure}")))
}

fn confirmation(message: &str) -> Question {
    let fields = json!({ "confirm": { "type": "boolean" } });
    form(message, fields, &["confirm"])
}

fn ask_then_start(call: &Call, tasks: &TaskManager) -> Answer {
    require_tasks(call)?;
    let Some(answer) = answer(call, "user_name") else {
        return Ok(require(call, &[("user_name", name_form())], None)?.into());
    };
    let greeting = greeted(answer);
    start(call, tasks, |_| {
        Box::pin(async move { Ok(text_result(greeting)) })
    })
}
