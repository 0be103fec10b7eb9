//! A plugin's server: connected to once somebody calls, and again when it was lost.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{CallContext, Deadline, ErrorKind, PluginError};
use gateway_mcp::json::encode_str;
use serde::Serialize;
use tokio::sync::Mutex;

use super::Dial;
use super::answer::{Answer, hidden};
use super::connection::{Connection, Unanswered};
use super::health::{Health, Leave};

/// How long one call may take where the configuration says nothing.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// A plugin that does not answer in less time than this is not to blame, unless that is its own timeout.
const FAIR_TIME: Duration = Duration::from_secs(1);

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
    health: Arc<Health>,
    /// Whether what it says of a failure is taken as it is, secrets and all.
    is_checked: bool,
    /// Locked while it is being opened.
    connection: Mutex<Option<Arc<Connection>>>,
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
        dial: Arc<dyn Dial>,
        plugin: impl Into<String>,
        required: &'static [&'static str],
        timeout: Option<Duration>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            plugin: plugin.into(),
            dial,
            required,
            timeout: timeout.unwrap_or(TIMEOUT),
            health,
            is_checked: false,
            connection: Mutex::default(),
        }
    }

    /// The same to see what the server does: nothing of that is hidden.
    pub(crate) fn checked(self) -> Self {
        Self {
            is_checked: true,
            ..self
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
        self.call_with(context, tool, arguments, repeat, &[]).await
    }

    /// The same with secrets among the arguments, which are in no error, whatever the plugin says.
    pub(super) async fn call_with(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &(impl Serialize + Sync),
        repeat: Repeat,
        secrets: &[&str],
    ) -> Result<Answer, PluginError> {
        let deadline = self.deadline(context);
        let arguments = serde_json::to_string(arguments)
            .map_err(|error| self.error(ErrorKind::Internal, "cannot be asked", error))?;
        let meta = meta(context);
        let secrets = if self.is_checked { &[] } else { secrets };
        let leave = self.enter(deadline)?;
        let mut is_second = false;
        loop {
            let connection = match self.connect(deadline).await {
                Ok(connection) => connection,
                Err(unanswered) => {
                    let reason = said(&unanswered);
                    leave.unanswered(reason.clone(), unanswered.blame_of_opening());
                    return Err(self.unanswered(&unanswered, reason));
                }
            };
            let called = connection.call(tool, &arguments, meta.as_deref(), deadline);
            let unanswered = match called.await {
                Ok(response) => {
                    leave.answered();
                    let result = response.result().unwrap_or_default();
                    let answer = Answer::read(result).map_err(|why| self.unreadable(why))?;
                    return Ok(match answer {
                        Answer::Failed(refusal) => Answer::Failed(refusal.without(secrets)),
                        given => given,
                    });
                }
                Err(unanswered) => unanswered,
            };
            if unanswered.is_over() {
                self.lose(&connection).await;
            }
            let may_repeat = unanswered.is_undone() || repeat == Repeat::Safe;
            if is_second || !may_repeat || !unanswered.is_over() || deadline.has_passed() {
                let reason = hidden(said(&unanswered), secrets);
                match &unanswered {
                    // It lives, and says that it does not want to.
                    Unanswered::Refused { .. } => leave.answered(),
                    _ => leave.unanswered(reason.clone(), unanswered.blame()),
                }
                return Err(self.unanswered(&unanswered, reason));
            }
            is_second = true;
        }
    }

    /// The conversation that there is, or a new one.
    pub(super) async fn connection(
        &self,
        deadline: Deadline,
    ) -> Result<Arc<Connection>, PluginError> {
        let leave = self.enter(deadline)?;
        let connected = self.connect(deadline).await;
        connected.map_err(|unanswered| {
            let reason = said(&unanswered);
            leave.unanswered(reason.clone(), unanswered.blame_of_opening());
            self.unanswered(&unanswered, reason)
        })
    }

    /// Leave to call, unless that is in vain.
    fn enter(&self, deadline: Deadline) -> Result<Leave<'_>, PluginError> {
        let is_fair = deadline.remaining() >= self.timeout.min(FAIR_TIME);
        self.health.enter(is_fair).map_err(|reason| {
            let text = self.text("is left alone for a moment, because it was down");
            PluginError::with_cause(ErrorKind::Unavailable, text, reason)
        })
    }

    /// Who comes while it is being opened waits for the same.
    async fn connect(&self, deadline: Deadline) -> Result<Arc<Connection>, Unanswered> {
        let locked = tokio::time::timeout(deadline.remaining(), self.connection.lock());
        let mut kept = locked.await.map_err(|_| Unanswered::NotOpenedInTime)?;
        if let Some(connection) = &*kept {
            return Ok(Arc::clone(connection));
        }
        let opened = Connection::open(&*self.dial, self.required, deadline).await?;
        let opened = Arc::new(opened);
        *kept = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Forgets a conversation that is over, unless there is a later one.
    async fn lose(&self, connection: &Arc<Connection>) {
        let mut kept = self.connection.lock().await;
        let is_current = |current: &Arc<Connection>| Arc::ptr_eq(current, connection);
        if kept.as_ref().is_some_and(is_current) {
            *kept = None;
        }
    }

    /// The error for what it gave and cannot be read.
    pub(super) fn unreadable(&self, why: String) -> PluginError {
        self.error(ErrorKind::Unavailable, UNREADABLE, why)
    }

    fn unanswered(&self, unanswered: &Unanswered, reason: String) -> PluginError {
        let (kind, what) = match unanswered.is_late() {
            true => (ErrorKind::DeadlineExceeded, "did not answer in time"),
            false => (ErrorKind::Unavailable, "did not answer"),
        };
        self.error(kind, what, reason)
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

/// What an error says, with what it came of.
fn said(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    said
}

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
