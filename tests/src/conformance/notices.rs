//! Tools that send log messages and progress while they run.

#![expect(
    deprecated,
    reason = "logging is part of every version that is served here"
)]

use std::time::Duration;

use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, Tool};
use serde_json::json;
use tokio::sync::watch;

use super::catalog::{Answer, Call, plain, text};

/// Long enough for a client to see the notices one by one.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn tools() -> Vec<Tool> {
    vec![
        plain("test_tool_with_logging", "Logs three times while it runs"),
        plain("test_logging_tool", "Logs once before it answers"),
        plain(
            "test_tool_with_progress",
            "Reports its progress three times while it runs",
        ),
    ]
}

/// None for the tools of other areas; `session_level` is what a legacy client has set.
pub(super) async fn call(
    call: &Call,
    session_level: &watch::Sender<LoggingLevel>,
) -> Option<Answer> {
    let answer = match call.name.as_str() {
        "test_tool_with_logging" => {
            log(call, session_level, "Tool execution started").await;
            tokio::time::sleep(PAUSE).await;
            log(call, session_level, "Tool processing data").await;
            tokio::time::sleep(PAUSE).await;
            log(call, session_level, "Tool execution completed").await;
            text("Logged three times.")
        }
        "test_logging_tool" => {
            log(call, session_level, "Tool execution started").await;
            text("Logged once.")
        }
        "test_tool_with_progress" => {
            for done in [0.0, 50.0] {
                report(call, done, 100.0).await;
                tokio::time::sleep(PAUSE).await;
            }
            report(call, 100.0, 100.0).await;
            text("Reported three times.")
        }
        _ => return None,
    };
    Some(answer)
}

/// A modern request that names no level gets no log messages.
async fn log(call: &Call, session_level: &watch::Sender<LoggingLevel>, message: &str) {
    let least = if call.is_modern() {
        call.context.meta.log_level()
    } else {
        Some(*session_level.borrow())
    };
    let level = LoggingLevel::Info;
    if least.is_some_and(|least| least as u8 <= level as u8) {
        let notice = LoggingMessageNotificationParam::new(level, json!(message))
            .with_logger("conformance-fixture");
        // A client that is gone by now wants no log either.
        drop(call.context.peer.notify_logging_message(notice).await);
    }
}

/// Nothing where the client has not asked for progress.
pub(super) async fn report(call: &Call, done: f64, total: f64) {
    if let Some(token) = call.context.meta.get_progress_token() {
        let progress = ProgressNotificationParam::new(token, done).with_total(total);
        // A client that is gone by now wants no progress either.
        drop(call.context.peer.notify_progress(progress).await);
    }
}
