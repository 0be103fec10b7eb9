//! What becomes known of a request on its way, for its audit event.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use gateway_core::plugin::{AuditEvent, AuditOutcome, ItemKind, Plugins};
use gateway_core::{Principal, RequestId, Revision, ServerName, TenantId, UserId};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::audit::Space;
use super::{AuditGate, Strangers};
use crate::error::{Failure, Reason, with_causes};
use crate::load::Slot;
use crate::snapshot::{Snapshot, Tally};

/// What is known of a request. Filled in by the steps as they learn it, and written exactly once,
/// however the request ends.
pub(crate) struct Trail {
    known: Known,
    /// Where the event goes; `None` until the tenant is known, who has no log before.
    log: Option<Log>,
    space: Option<Space>,
    /// The request's place among those that are under way.
    slot: Option<Slot>,
    tasks: TaskTracker,
    event: Progress,
}

/// How far the event has come.
enum Progress {
    /// The request is under way.
    Open,
    /// Its end is being written.
    Writing(Arc<AuditEvent>),
    /// It is written, or is nobody's business.
    Done,
}

/// Where a tenant's events go.
#[derive(Clone)]
pub(super) struct Log {
    plugins: Plugins,
    gate: AuditGate,
    strangers: Arc<Strangers>,
    tally: Arc<Tally>,
}

#[derive(Clone)]
struct Known {
    event_type: &'static str,
    tenant: TenantId,
    request: RequestId,
    started: Instant,
    revision: Option<Revision>,
    user: Option<UserId>,
    server: Option<ServerName>,
    /// The item under its server's own name, once that is known.
    item: Option<(ItemKind, String)>,
    exposed_name: Option<String>,
}

impl Trail {
    /// `method` is that of the message; of the end of a session, which none says, the verb.
    pub(super) fn begin(
        method: &str,
        tenant: &TenantId,
        request: &RequestId,
        tasks: &TaskTracker,
    ) -> Self {
        let event_type = match method {
            "tools/call" => "tool_call",
            "prompts/get" => "prompt_get",
            "resources/read" => "resource_read",
            "resources/subscribe" => "resource_subscribe",
            "resources/unsubscribe" => "resource_unsubscribe",
            "tasks/get" => "task_get",
            "tasks/update" => "task_update",
            "tasks/cancel" => "task_cancel",
            "completion/complete" => "completion",
            "tools/list" => "tool_list",
            "prompts/list" => "prompt_list",
            "resources/list" => "resource_list",
            "resources/templates/list" => "resource_template_list",
            "initialize" => "session_start",
            "DELETE" => "session_end",
            "server/discover" => "discover",
            _ => "request",
        };
        Self {
            known: Known {
                event_type,
                tenant: tenant.clone(),
                request: request.clone(),
                started: Instant::now(),
                revision: None,
                user: None,
                server: None,
                item: None,
                exposed_name: None,
            },
            log: None,
            space: None,
            slot: None,
            tasks: tasks.clone(),
            event: Progress::Open,
        }
    }

    pub(super) fn in_force(&mut self, snapshot: &Snapshot) {
        self.known.revision = Some(snapshot.origin.revision);
        self.log = Some(Log {
            plugins: snapshot.plugins.clone(),
            gate: snapshot.audit.clone(),
            strangers: Arc::clone(&snapshot.strangers),
            tally: Arc::clone(&snapshot.tally),
        });
    }

    pub(super) fn caller(&mut self, principal: &Principal) {
        self.known.user = Some(principal.user_id.clone());
    }

    /// What the request is about, as the client names it.
    pub(super) fn item(&mut self, kind: ItemKind, name: &str) {
        self.known.item = Some((kind, name.to_owned()));
    }

    /// The server that is meant, and its own name for the item.
    pub(super) fn route(&mut self, server: &ServerName, name: &str) {
        self.known.server = Some(server.clone());
        if let Some((_, item)) = &mut self.known.item {
            let named = mem::replace(item, name.to_owned());
            self.known.exposed_name = Some(named).filter(|named| named != name);
        }
    }

    /// Holds the request's place until it is answered.
    pub(super) fn occupy(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// Holds the event's space until it is written.
    pub(super) fn hold(&mut self, space: Space) {
        self.space = Some(space);
    }

    /// Writes the event of a request that was answered without a server.
    pub(super) async fn finish(&mut self) {
        self.close(AuditOutcome::Ok, None).await;
    }

    /// Leaves no event of a request that was answered.
    pub(super) fn forget(&mut self) {
        self.event = Progress::Done;
    }

    /// Writes the event of a request that ended in an error, and logs what the client is not told.
    pub(super) async fn refuse(&mut self, failure: &Failure) {
        let outcome = failure.reason().outcome();
        let reason = with_causes(failure);
        if outcome == AuditOutcome::Error {
            let server = self.known.server.as_ref().map(ServerName::as_str);
            warn!(request = %self.known.request, server, error = reason, "a request failed");
        }
        // Who takes a request back has no complaint.
        let failed = outcome == AuditOutcome::Error && failure.reason() != Reason::Cancelled;
        let why = failure.reason();
        self.end(outcome, (why, Some(reason)), failed).await;
    }

    pub(super) async fn close(&mut self, outcome: AuditOutcome, reason: Option<String>) {
        let failed = outcome == AuditOutcome::Error;
        self.end(outcome, (Reason::Internal, reason), failed).await;
    }

    async fn end(
        &mut self,
        outcome: AuditOutcome,
        (why, reason): (Reason, Option<String>),
        failed: bool,
    ) {
        if !matches!(self.event, Progress::Open) {
            return;
        }
        let Some(log) = self.log.clone() else {
            self.event = Progress::Done;
            return;
        };
        log.measure(&self.known, outcome);
        log.tally.count(failed);
        if !log.records(&self.known, why) {
            self.event = Progress::Done;
            return;
        }
        let event = Arc::new(self.known.event(outcome, reason));
        // A client that goes away now takes its request with it, but not the event.
        self.event = Progress::Writing(Arc::clone(&event));
        let (tenant, request) = (&self.known.tenant, &self.known.request);
        log.write(tenant, request, &event, self.space.take()).await;
        self.event = Progress::Done;
    }

    /// Hands the trail over to whoever will finish it.
    pub(super) fn take(&mut self) -> Self {
        Self {
            known: self.known.clone(),
            log: self.log.take(),
            space: self.space.take(),
            slot: self.slot.take(),
            tasks: self.tasks.clone(),
            event: mem::replace(&mut self.event, Progress::Done),
        }
    }
}

impl Drop for Trail {
    /// A request whose client went away is recorded as well.
    fn drop(&mut self) {
        let Some(log) = self.log.take() else { return };
        let known = self.known.clone();
        let event = match mem::replace(&mut self.event, Progress::Done) {
            Progress::Done => return,
            Progress::Writing(event) => event,
            Progress::Open => {
                let outcome = AuditOutcome::Error;
                log.measure(&known, outcome);
                if !log.records(&known, Reason::Cancelled) {
                    return;
                }
                let reason = "cancelled by the client".to_owned();
                Arc::new(known.event(outcome, Some(reason)))
            }
        };
        let space = self.space.take();
        drop(self.tasks.spawn(async move {
            log.write(&known.tenant, &known.request, &event, space)
                .await;
        }));
    }
}

impl Log {
    pub(super) async fn write(
        &self,
        tenant: &TenantId,
        request: &RequestId,
        event: &AuditEvent,
        space: Option<Space>,
    ) {
        let sink = self.plugins.audit_sink.as_ref();
        let gate = &self.gate;
        gate.write(sink, (tenant, request), event, space).await;
    }

    /// Whether a request has an event of its own. Of those whom nobody knows not all have one.
    fn records(&self, known: &Known, why: Reason) -> bool {
        let of = (&known.tenant, known.revision);
        known.user.is_some() || self.strangers.take(why, self, of)
    }

    fn measure(&self, known: &Known, outcome: AuditOutcome) {
        let result = match outcome {
            AuditOutcome::Ok => "ok",
            AuditOutcome::ToolError => "tool_error",
            AuditOutcome::Denied => "denied",
            AuditOutcome::Error => "error",
        };
        let telemetry = &self.plugins.telemetry;
        // As configured; what a client makes up is no label.
        let server = known.server.as_ref().map_or("", ServerName::as_str);
        let labels = [
            ("event_type", known.event_type),
            ("server", server),
            ("result", result),
        ];
        telemetry.record_counter("mcp_gateway_requests", 1, &labels);
        telemetry.record_histogram(
            "mcp_gateway_request_duration_seconds",
            known.started.elapsed().as_secs_f64(),
            &[("event_type", known.event_type), ("server", server)],
        );
    }
}

impl Known {
    fn event(&self, result: AuditOutcome, reason: Option<String>) -> AuditEvent {
        let mut metadata = BTreeMap::new();
        let mut add =
            |key: &'static str, value: serde_json::Value| metadata.insert(key.into(), value);
        add("event_id", uuid::Uuid::now_v7().to_string().into());
        add("request_id", self.request.as_str().into());
        let duration = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        add("duration_ms", duration.into());
        if let Some(revision) = self.revision {
            add("revision", revision.0.into());
        }
        if let Some(name) = &self.exposed_name {
            add("exposed_name", name.as_str().into());
        }
        let tool = self
            .item
            .as_ref()
            .filter(|(kind, _)| *kind == ItemKind::Tool);
        if let Some((kind, name)) = &self.item
            && tool.is_none()
        {
            add(kind.as_str(), name.as_str().into());
        }
        if let Some(reason) = reason {
            add("reason", reason.into());
        }
        AuditEvent {
            timestamp: Timestamp::now(),
            event_type: self.event_type.into(),
            tenant_id: Some(self.tenant.clone()),
            user_id: self.user.clone(),
            mcp_server: self.server.clone(),
            tool: tool.map(|(_, name)| name.clone()),
            result,
            metadata,
        }
    }
}

#[cfg(test)]
mod tests;
