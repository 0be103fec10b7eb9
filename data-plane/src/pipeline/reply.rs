//! What the pipeline gives back to the listener.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;

/// Messages or events, as they come.
pub(crate) type EventStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

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
    /// Messages for a stream of events; the last is the response.
    Events(EventStream),
    /// A stream of events, encoded, that the client can resume.
    Feed(EventStream),
}
