//! A plugin's server: connected to once somebody calls, and again when it was lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{CallContext, Deadline, ErrorKind, PluginError};
use gateway_mcp::json::encode_str;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Dial;
use super::answer::Answer;
use super::connection::{Connection, Unanswered};

/// How long one call may take where the configuration says nothing.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server that could not be connected to is left alone: from the first failure on, and at
/// most. Calls fail at once meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether a call that may have been done may be made once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is as doing it once.
    Safe,
    /// Only where it is certain that it was not done.
    IfUndone,
}

/// One plugin's server.
pub(crate) struct PluginServer {
    /// The plugin's field of the configuration, for errors.
    plugin: String,
    dial: Arc<dyn Dial>,
    required: &'static [&'static str],
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// After failures: how long the next pause is, and until when this one lasts.
    pause: Option<(Duration, Instant)>,
}

impl fmt::Debug for PluginServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginServer")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl PluginServer {
    pub(crate) fn new(
        plugin: impl Into<String>,
        dial: Arc<dyn Dial>,
        required: &'static [&'static str],
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            plugin: plugin.into(),
            dial,
            required,
            timeout: timeout.unwrap_or(TIMEOUT),
            state: Mutex::default(),
        }
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// By when one call has to be answered.
    pub(super) fn deadline(&self, context: &CallContext) -> Deadline {
        context.deadline.within(self.timeout)
    }

    /// Calls a tool. What cannot be read is an error.
    pub(super) async fn call(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &(impl Serialize + Sync),
        repeat: Repeat,
    ) -> Result<Answer, PluginError> {
        let deadline = self.deadline(context);
        let arguments = serde_json::to_string(arguments)
            .map_err(|error| self.error(ErrorKind::Internal, "cannot be asked", error))?;
        let meta = meta(context);
        let mut is_second = false;
        loop {
            let connection = self.connection(deadline).await?;
            let called = connection.call(tool, &arguments, meta.as_deref(), deadline);
            let unanswered = match called.await {
                Ok(response) => {
                    let result = response.result().unwrap_or_default();
                    return Answer::read(result).map_err(|why| self.unreadable(why));
                }
                Err(unanswered) => unanswered,
            };
            if unanswered.is_over() {
                self.lose(&connection).await;
            }
            let may_repeat = unanswered.is_undone() || repeat == Repeat::Safe;
            if is_second || !may_repeat || !unanswered.is_over() || deadline.has_passed() {
                return Err(self.unanswered(unanswered));
            }
            is_second = true;
        }
    }

    /// The conversation that there is, or a new one. Who comes meanwhile waits for the same.
    pub(super) async fn connection(
        &self,
        deadline: Deadline,
    ) -> Result<Arc<Connection>, PluginError> {
        let locked = tokio::time::timeout(deadline.remaining(), self.state.lock());
        let Ok(mut state) = locked.await else {
            return Err(PluginError::new(
                ErrorKind::DeadlineExceeded,
                self.text("cannot be reached in time"),
            ));
        };
        if let Some(connection) = &state.connection {
            return Ok(Arc::clone(connection));
        }
        if state.pause.is_some_and(|(_, until)| Instant::now() < until) {
            let text = self.text("cannot be reached");
            return Err(PluginError::new(ErrorKind::Unavailable, text));
        }
        match Connection::open(&*self.dial, self.required, deadline).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State {
                    connection: Some(Arc::clone(&connection)),
                    pause: None,
                };
                Ok(connection)
            }
            Err(unanswered) => {
                let pause = state.pause.map_or(FIRST_PAUSE, |(pause, _)| pause);
                let next = (pause * 2).min(LONGEST_PAUSE);
                state.pause = Some((next, Instant::now() + pause));
                Err(self.unanswered(unanswered))
            }
        }
    }

    /// Forgets a conversation that is over, unless there is a later one.
    async fn lose(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        let is_current = |current: &Arc<Connection>| Arc::ptr_eq(current, connection);
        if state.connection.as_ref().is_some_and(is_current) {
            state.connection = None;
        }
    }

    /// The error for what it gave and cannot be read.
    pub(super) fn unreadable(&self, why: String) -> PluginError {
        self.error(ErrorKind::Unavailable, UNREADABLE, why)
    }

    fn unanswered(&self, unanswered: Unanswered) -> PluginError {
        match unanswered.is_late() {
            true => self.error(
                ErrorKind::DeadlineExceeded,
                "did not answer in time",
                unanswered,
            ),
            false => self.error(ErrorKind::Unavailable, "did not answer", unanswered),
        }
    }

    fn error(
        &self,
        kind: ErrorKind,
        what: &str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> PluginError {
        PluginError::with_cause(kind, self.text(what), cause)
    }

    fn text(&self, what: &str) -> String {
        format!("the plugin {} {what}", self.plugin)
    }
}

const UNREADABLE: &str = "gave an answer that cannot be read";

/// The trace that the call belongs to, as the specification has it in `_meta`.
fn meta(context: &CallContext) -> Option<String> {
    let trace = &context.trace;
    let members = [
        ("traceparent", &trace.traceparent),
        ("tracestate", &trace.tracestate),
    ];
    let members = members.into_iter().filter_map(|(name, value)| {
        let value = value.as_deref()?;
        Some(format!(r#""{name}":{}"#, encode_str(value)))
    });
    let members: Vec<_> = members.collect();
    (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
}
