//! Steps 6 and 8: space for the audit event before anything is forwarded, and the event before
//! the final answer is released.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use gateway_core::plugin::{AuditEvent, AuditOutcome, Plugins};
use gateway_core::{CallContext, Deadline, Principal, Revision, ServerName, TenantId};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::Reply;
use super::forward::Answer;
use super::inject::Equipped;
use crate::Gateway;
use crate::error::{Failure, Reason};
use crate::request::ClientRequest;
use crate::snapshot::Snapshot;

/// How long the sink may take for one event.
const SINK_TIMEOUT: Duration = Duration::from_secs(5);

/// How many requests may wait for their audit event to be written.
const MAX_OPEN_EVENTS: usize = 10_000;

/// Says whether the audit log takes more. Requests are refused here, before they are forwarded,
/// and never afterwards.
#[derive(Debug, Clone)]
pub(crate) struct AuditGate {
    space: Arc<Semaphore>,
    /// Whether the last event could not be written. The next refusal tries again, so a sink that
    /// works again opens the gate.
    broken: Arc<AtomicBool>,
}

impl Default for AuditGate {
    fn default() -> Self {
        Self {
            space: Arc::new(Semaphore::new(MAX_OPEN_EVENTS)),
            broken: Arc::default(),
        }
    }
}

/// A request whose audit event has its space.
pub(crate) struct Reserved {
    pub(super) equipped: Equipped,
}

/// Reserves space for the request's event, or refuses the request.
pub(super) fn reserve(
    gateway: &Gateway,
    equipped: Equipped,
    trail: &mut Trail,
) -> Result<Reserved, Failure> {
    let refused = || {
        Failure::new(
            Reason::AuditUnavailable,
            "the audit log takes no more events",
        )
    };
    let gate = &gateway.audit;
    if gate.broken.load(Ordering::Relaxed) {
        return Err(refused());
    }
    let space = Arc::clone(&gate.space)
        .try_acquire_owned()
        .map_err(|_| refused())?;
    trail.space = Some(space);
    Ok(Reserved { equipped })
}

/// Writes the event of an answered call, then releases the answer. Of a stream, that is when its
/// last message has come.
pub(super) async fn record(answer: Answer, trail: &mut Trail) -> Result<Reply, Failure> {
    match answer {
        Answer::Whole { reply, outcome } => {
            trail.write(outcome, None).await;
            Ok(reply)
        }
        Answer::Events(events) => {
            let trail = trail.take();
            let released = futures_util::stream::unfold(
                (events, trail),
                |(mut events, mut trail)| async move {
                    let event = events.next().await?;
                    if let Some(outcome) = event.outcome {
                        trail.write(outcome, None).await;
                    }
                    Some((event.bytes, (events, trail)))
                },
            );
            Ok(Reply::Events(Box::pin(released)))
        }
    }
}

/// What is known of a request for its audit event. Filled in by the steps as they learn it, and
/// written exactly once, however the request ends.
pub(crate) struct Trail {
    known: Known,
    plugins: Option<Plugins>,
    gate: AuditGate,
    space: Option<OwnedSemaphorePermit>,
    tasks: TaskTracker,
    written: bool,
}

#[derive(Clone)]
struct Known {
    event_type: &'static str,
    tenant: TenantId,
    request: gateway_core::RequestId,
    started: Instant,
    revision: Option<Revision>,
    user: Option<String>,
    server: Option<ServerName>,
    tool: Option<String>,
    name: Option<String>,
}

impl Trail {
    pub(super) fn begin(request: &ClientRequest, gateway: &Gateway) -> Self {
        let event_type = match request.method() {
            "tools/call" => "tool_call",
            "tools/list" => "tool_list",
            "initialize" => "session_start",
            "server/discover" => "discover",
            _ => "request",
        };
        let known = Known {
            event_type,
            tenant: request.endpoint.tenant.clone(),
            request: request.id.clone(),
            started: Instant::now(),
            revision: None,
            user: None,
            server: None,
            tool: None,
            name: None,
        };
        let (gate, tasks) = (gateway.audit.clone(), gateway.tasks.clone());
        Self {
            known,
            plugins: None,
            gate,
            space: None,
            tasks,
            written: false,
        }
    }

    pub(super) fn in_force(&mut self, snapshot: &Snapshot) {
        self.known.revision = Some(snapshot.origin.revision);
        self.plugins = Some(snapshot.plugins.clone());
    }

    pub(super) fn caller(&mut self, principal: &Principal) {
        self.known.user = Some(principal.user_id.to_string());
    }

    /// The tool as the client names it.
    pub(super) fn tool(&mut self, name: &str) {
        self.known.tool = Some(name.to_owned());
    }

    /// The server that is meant, and its own name for the tool.
    pub(super) fn route(&mut self, server: &ServerName, tool: &str) {
        self.known.server = Some(server.clone());
        self.known.name = self
            .known
            .tool
            .replace(tool.to_owned())
            .filter(|name| name != tool);
    }

    /// Writes the event of a request that was answered without a server.
    pub(super) async fn finish(&mut self) {
        self.write(AuditOutcome::Ok, None).await;
    }

    /// Writes the event of a request that ended in an error, and logs what the client is not told.
    pub(super) async fn refuse(&mut self, failure: &Failure) {
        let outcome = failure.reason().outcome();
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        if outcome == AuditOutcome::Error {
            let server = self.known.server.as_ref().map(ServerName::as_str);
            warn!(request = %self.known.request, server, error = %failure, cause, "a request failed");
        }
        let reason = cause.map_or_else(
            || failure.to_string(),
            |cause| format!("{failure}: {cause}"),
        );
        self.write(outcome, Some(reason)).await;
    }

    async fn write(&mut self, outcome: AuditOutcome, reason: Option<String>) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        let Some(plugins) = &self.plugins else { return };
        write(plugins, &self.gate, &self.known, outcome, reason).await;
        self.space = None;
    }

    /// Hands the trail over to whoever will finish it.
    fn take(&mut self) -> Self {
        let taken = Self {
            known: self.known.clone(),
            plugins: self.plugins.take(),
            gate: self.gate.clone(),
            space: self.space.take(),
            tasks: self.tasks.clone(),
            written: self.written,
        };
        self.written = true;
        taken
    }
}

impl Drop for Trail {
    /// A forwarded request whose client went away is recorded as well.
    fn drop(&mut self) {
        if self.written || self.space.is_none() {
            return;
        }
        let (Some(plugins), known) = (self.plugins.take(), self.known.clone()) else {
            return;
        };
        let (space, gate) = (self.space.take(), self.gate.clone());
        drop(self.tasks.spawn(async move {
            let reason = Some("cancelled by the client".to_owned());
            write(&plugins, &gate, &known, AuditOutcome::Error, reason).await;
            drop(space);
        }));
    }
}

async fn write(
    plugins: &Plugins,
    gate: &AuditGate,
    known: &Known,
    outcome: AuditOutcome,
    reason: Option<String>,
) {
    let deadline = Deadline::after(SINK_TIMEOUT);
    let context = CallContext::new(known.tenant.clone(), deadline, known.request.clone());
    let event = known.event(outcome, reason);
    let logged = plugins.audit_sink.log_event(&context, &event);
    let broken = match tokio::time::timeout(SINK_TIMEOUT, logged).await {
        Ok(Ok(())) => false,
        Ok(Err(error)) => {
            error!(%error, request = %known.request, "an audit event was not written");
            true
        }
        Err(_) => {
            error!(request = %known.request, "an audit event was not written in time");
            true
        }
    };
    gate.broken.store(broken, Ordering::Relaxed);
    plugins.telemetry.record_counter(
        "mcp_gateway_requests",
        1,
        &[
            ("event_type", known.event_type),
            ("result", outcome_label(outcome)),
        ],
    );
    plugins.telemetry.record_histogram(
        "mcp_gateway_request_duration_seconds",
        known.started.elapsed().as_secs_f64(),
        &[("event_type", known.event_type)],
    );
}

fn outcome_label(outcome: AuditOutcome) -> &'static str {
    match outcome {
        AuditOutcome::Ok => "ok",
        AuditOutcome::ToolError => "tool_error",
        AuditOutcome::Denied => "denied",
        AuditOutcome::Error => "error",
    }
}

impl Known {
    fn event(&self, result: AuditOutcome, reason: Option<String>) -> AuditEvent {
        let mut metadata = BTreeMap::new();
        let mut add = |key: &str, value: serde_json::Value| metadata.insert(key.to_owned(), value);
        add("event_id", uuid::Uuid::now_v7().to_string().into());
        add("request_id", self.request.as_str().into());
        let duration = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        add("duration_ms", duration.into());
        if let Some(revision) = self.revision {
            add("revision", revision.0.into());
        }
        if let Some(name) = &self.name {
            add("exposed_name", name.as_str().into());
        }
        if let Some(reason) = reason {
            add("reason", reason.into());
        }
        AuditEvent {
            timestamp: Timestamp::now(),
            event_type: self.event_type.to_owned(),
            tenant_id: Some(self.tenant.clone()),
            user_id: self.user.clone(),
            mcp_server: self.server.as_ref().map(ToString::to_string),
            tool: self.tool.clone(),
            result,
            metadata,
        }
    }
}
