//! A tool that has its own answer cut off, so that a legacy client has to come back for it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyStream, StreamBody};
use rmcp::model::Tool;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::catalog::{Answer, Call, plain, text};

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// More sessions than come back in one moment.
const CAPACITY: usize = 64;
/// A client that stays away longer has given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says which sessions have come back for the rest of a stream.
#[derive(Debug)]
pub(super) struct Resumptions(broadcast::Sender<HeaderValue>);

/// Travels with an HTTP request to whoever answers it, and ends the answer's stream.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    token: CancellationToken,
    resumptions: broadcast::Sender<HeaderValue>,
}

pub(super) fn tools() -> Vec<Tool> {
    vec![plain(
        "test_reconnection",
        "Closes the stream of a legacy client, and answers when it has come back",
    )]
}

/// None for the tools of other areas.
pub(super) async fn call(call: &Call) -> Option<Answer> {
    if call.name != "test_reconnection" {
        return None;
    }
    // A modern answer that is cut off is lost.
    if !call.is_modern()
        && let Some(parts) = call.context.extensions.get::<Parts>()
        && let Some(cut) = parts.extensions.get::<Cut>()
    {
        cut.end_and_wait(&parts.headers).await;
    }
    Some(text("Reconnection test completed."))
}

impl Resumptions {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    pub(super) fn cut(&self) -> Cut {
        Cut {
            token: CancellationToken::new(),
            resumptions: self.0.clone(),
        }
    }

    /// Called when a request has been answered.
    pub(super) fn note(&self, method: &Method, headers: &HeaderMap) {
        if method == Method::GET
            && headers.contains_key("last-event-id")
            && let Some(session) = headers.get("mcp-session-id")
        {
            // It is an error only when nobody waits.
            self.0.send(session.clone()).ok();
        }
    }
}

impl Cut {
    /// The body, until it is cut. Its first event says what to come back with, so that much is always sent.
    pub(super) fn apply(self, body: Body) -> Body {
        let frames = BodyStream::new(body);
        let state = (frames, self.token, false);
        let frames = futures_util::stream::unfold(state, async |(mut frames, token, begun)| {
            let frame = if begun {
                tokio::select! {
                    biased;
                    () = token.cancelled() => None,
                    frame = frames.next() => frame,
                }
            } else {
                frames.next().await
            }?;
            Some((frame, (frames, token, true)))
        });
        Body::new(StreamBody::new(frames))
    }

    /// rmcp forgets an answer that it cannot send, so there must be none before the client is back.
    async fn end_and_wait(&self, headers: &HeaderMap) {
        let mut resumptions = self.resumptions.subscribe();
        self.token.cancel();
        let back = async {
            while let Ok(session) = resumptions.recv().await {
                if Some(&session) == headers.get("mcp-session-id") {
                    return;
                }
            }
        };
        // A client that has given up gets the answer that nobody reads.
        tokio::time::timeout(PATIENCE, back).await.ok();
    }
}
