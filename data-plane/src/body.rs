//! What the listener answers with: nothing, bytes, or a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::connection::UnderWay;

/// A response body.
pub(crate) struct ReplyBody {
    content: Content,
    /// The request that it answers is under way until the body is sent.
    under_way: Option<UnderWay>,
    /// The same of one that another replica has handed on.
    handed_on: Option<TaskTrackerToken>,
}

enum Content {
    /// Bytes that are there already; `None` once they are sent, or when there are none.
    Whole(Option<Bytes>),
    /// Server-sent events, each sent as soon as it is there.
    Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl ReplyBody {
    pub(crate) fn empty() -> Self {
        Content::Whole(None).into()
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Content::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty())).into()
    }

    pub(crate) fn events(events: Pin<Box<dyn Stream<Item = Bytes> + Send>>) -> Self {
        Content::Events(events).into()
    }

    /// The same body, with which a request ends.
    pub(crate) fn ending(mut self, request: UnderWay) -> Self {
        self.under_way = Some(request);
        self
    }

    /// The same body, with which a request ends that another replica has handed on.
    pub(crate) fn handed_on(mut self, request: TaskTrackerToken) -> Self {
        self.handed_on = Some(request);
        self
    }
}

impl From<Content> for ReplyBody {
    fn from(content: Content) -> Self {
        Self {
            content,
            under_way: None,
            handed_on: None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Events(events) => events
                .as_mut()
                .poll_next(context)
                .map(|event| event.map(|e| Ok(Frame::data(e)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Content::Events(_) => SizeHint::default(),
        }
    }
}
