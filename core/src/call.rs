//! What every plugin call carries beside its arguments.

use std::fmt;
use std::sync::Arc;

use crate::{Deadline, TenantId};

/// Names one client request in logs, audit events and plugin calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Takes any text; the data plane makes it unique.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The caller's place in a distributed trace (W3C Trace Context), passed on unread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent` header or `_meta` key, as received.
    pub traceparent: Option<Arc<str>>,
    /// The `tracestate` header or `_meta` key, as received.
    pub tracestate: Option<Arc<str>>,
}

/// What every plugin call is told: for whom, until when, and as part of what.
///
/// Cancellation: a caller that loses interest drops the returned future. An implementation must
/// be prepared for that at every await and must not leave anything half done that a later call
/// would see.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The tenant whose plugin this is. An implementation never answers from another tenant's data.
    pub tenant: TenantId,
    /// When the caller stops waiting. An implementation that talks to others bounds each wait by it.
    pub deadline: Deadline,
    /// The client request on whose behalf the call is made.
    pub request: RequestId,
    /// The trace that the client request belongs to.
    pub trace: TraceContext,
}

impl CallContext {
    /// A context without a trace.
    pub fn new(tenant: TenantId, deadline: Deadline, request: RequestId) -> Self {
        Self {
            tenant,
            deadline,
            request,
            trace: TraceContext::default(),
        }
    }
}
