//! Steps 7 and 9: space for the audit event before anything is forwarded, and the event before
//! the final answer is released.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use gateway_core::plugin::{AuditEvent, AuditSink, Reservation};
use gateway_core::{CallContext, Deadline, ErrorKind, RequestId, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;

use super::authenticate::within;
use super::forward::Answer;
use super::inject::Equipped;
use super::params::Checked;
use super::{Reply, Trail};
use crate::error::{Failure, Reason, with_causes};

/// How long the sink may take for one event, and how long one that did not take the last one.
const SINK_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_TIMEOUT: Duration = Duration::from_secs(1);

/// How many requests of a tenant may wait for their audit event to be written.
const MAX_OPEN_EVENTS: usize = 10_000;

/// Says whether a tenant's audit log takes more. Requests are refused here, before they are
/// forwarded, and never afterwards.
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

impl AuditGate {
    /// Space for one event; `None` when the request must be refused.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if self.broken.load(Ordering::Relaxed) {
            return None;
        }
        Arc::clone(&self.space).try_acquire_owned().ok()
    }

    /// Writes an event, for which space is reserved or found now, and closes or opens the gate by whether the sink has
    /// taken it.
    pub(super) async fn write(
        &self,
        sink: &dyn AuditSink,
        (tenant, request): (&TenantId, &RequestId),
        event: &AuditEvent,
        space: Option<Space>,
    ) {
        let timeout = match self.broken.load(Ordering::Relaxed) {
            false => SINK_TIMEOUT,
            true => RETRY_TIMEOUT,
        };
        let deadline = Deadline::after(timeout);
        let context = CallContext::new(tenant.clone(), deadline, request.clone());
        let mut found = Reservation::NONE;
        if space.is_none() {
            // What another reason is given for may pass by the time that the event is there.
            match tokio::time::timeout(timeout, sink.reserve(&context)).await {
                Ok(Ok(reserved)) => found = reserved,
                Ok(Err(error)) if error.kind() == ErrorKind::ResourceExhausted => {
                    let error = with_causes(&error);
                    error!(%tenant, %request, error, "an audit event was not written: it was not of a request that was carried out");
                    return;
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let logged = tokio::time::timeout(timeout, sink.log_event(&context, event)).await;
        drop((space, found));
        let problem = match logged {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(with_causes(&error)),
            Err(_) => Some("the sink did not take it in time".to_owned()),
        };
        if let Some(error) = &problem {
            error!(%tenant, %request, error, "an audit event was not written");
        }
        self.broken.store(problem.is_some(), Ordering::Relaxed);
    }
}

/// What is kept free for one event until it is written.
#[derive(Debug)]
pub(super) struct Space {
    _turn: OwnedSemaphorePermit,
    _reserved: Reservation,
}

/// A request whose audit event has its space.
pub(crate) struct Reserved {
    pub(super) equipped: Equipped,
}

/// Reserves space for the request's event, or refuses the request.
pub(super) async fn reserve(checked: Checked, trail: &mut Trail) -> Result<Reserved, Failure> {
    let equipped = checked.equipped;
    let caller = &equipped.authorized.routed.caller;
    let refused = || {
        Failure::new(
            Reason::AuditUnavailable,
            "the audit log takes no events, so that nothing is forwarded until it does: see the gateway's log",
        )
    };
    let turn = caller.snapshot.audit.enter().ok_or_else(refused)?;
    let context = CallContext {
        deadline: caller.context.deadline.within(SINK_TIMEOUT),
        ..caller.context.clone()
    };
    let asked = caller.snapshot.plugins.audit_sink.reserve(&context);
    let reserved = within(context.deadline, "the audit log", asked)
        .await?
        .map_err(|error| refused().caused_by(error))?;
    trail.hold(Space {
        _turn: turn,
        _reserved: reserved,
    });
    Ok(Reserved { equipped })
}

/// Writes the event of an answered call, then releases the answer. Of a stream, that is when its
/// last message has come.
pub(super) async fn record(answer: Answer, trail: &mut Trail) -> Result<Reply, Failure> {
    match answer {
        Answer::Whole { reply, outcome } => {
            trail.close(outcome, None).await;
            Ok(reply)
        }
        Answer::Events(events) => {
            let trail = trail.take();
            let released = futures_util::stream::unfold(
                (events, trail),
                |(mut events, mut trail)| async move {
                    let event = events.next().await?;
                    if let Some(outcome) = event.outcome {
                        trail.close(outcome, event.reason).await;
                    }
                    Some((event.bytes, (events, trail)))
                },
            );
            Ok(Reply::Events(Box::pin(released)))
        }
    }
}
