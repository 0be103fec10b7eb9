//! What the pipeline gives back to the listener.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;
use tokio_util::task::TaskTracker;

use crate::detach::DetachedStream;

/// An answer to a client's request.
pub(crate) enum Reply {
    /// One message.
    Whole(Bytes),
    /// One message with the status that the server gave it.
    WithStatus(StatusCode, Bytes),
    /// The answer to `initialize`, and the id of the session that it opened.
    Opened {
        /// The message.
        body: Bytes,
        /// The sealed session.
        session_id: String,
    },
    /// Messages as server-sent events, encoded; the last is the response.
    Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Reply {
    /// The same, but a stream goes on when nobody reads it any more.
    pub(super) fn detached(self, tasks: &TaskTracker) -> Self {
        match self {
            Self::Events(events) => Self::Events(Box::pin(DetachedStream::new(events, tasks))),
            reply => reply,
        }
    }
}
