//! A legacy session over HTTP: the headers that name it, and what is sent in it beside requests.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::endpoint::HttpEndpoint;
use super::stdio::cancelled;
use crate::header::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use crate::message::Message;

/// Cancellations and answers that wait to be sent.
const WAITING_ERRANDS: usize = 64;
/// How long one of them may take.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to end the session.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// One session with a legacy server. It is ended, as far as the server lets itself be told, when
/// this is dropped.
#[derive(Debug)]
pub(super) struct Session {
    headers: HeaderMap,
    has_id: bool,
    errands: mpsc::Sender<Errand>,
    stop: CancellationToken,
}

/// A message that nobody waits for, with the headers of the request it belongs to.
struct Errand {
    message: Message,
    headers: HeaderMap,
}

impl Session {
    /// Starts the task that runs the session's errands until the session is closed.
    pub(super) fn open(
        endpoint: Arc<HttpEndpoint>,
        version: HeaderValue,
        id: Option<HeaderValue>,
    ) -> Arc<Self> {
        let has_id = id.is_some();
        let mut headers = HeaderMap::new();
        headers.insert(MCP_PROTOCOL_VERSION, version);
        if let Some(mut id) = id {
            id.set_sensitive(true);
            headers.insert(MCP_SESSION_ID, id);
        }
        let (errands, waiting) = mpsc::channel(WAITING_ERRANDS);
        let stop = CancellationToken::new();
        tokio::spawn(run_errands(
            endpoint,
            headers.clone(),
            has_id,
            waiting,
            stop.clone(),
        ));
        Arc::new(Self {
            headers,
            has_id,
            errands,
            stop,
        })
    }

    /// The headers that every request of the session carries.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether the server keeps state under an id, which it may lose.
    pub(super) fn has_id(&self) -> bool {
        self.has_id
    }

    /// Tells the server that nobody waits for request `wire` any more. Does not block.
    pub(super) fn cancel(&self, wire: u64, headers: HeaderMap) {
        self.send(cancelled(wire), headers);
    }

    /// Sends a message that nobody waits for. Does not block; the message is dropped if too many
    /// are waiting already.
    pub(super) fn send(&self, message: Message, headers: HeaderMap) {
        if self.errands.try_send(Errand { message, headers }).is_err() {
            tracing::debug!("dropped a message to a legacy server: too many are waiting");
        }
    }

    /// Ends the session and waits until the server knows or cannot be told.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.errands.closed().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run_errands(
    endpoint: Arc<HttpEndpoint>,
    headers: HeaderMap,
    has_id: bool,
    mut waiting: mpsc::Receiver<Errand>,
    stop: CancellationToken,
) {
    // What waits when the session ends is about requests that end with it.
    while let Some(Some(errand)) = stop.run_until_cancelled(waiting.recv()).await {
        let Errand {
            message,
            headers: extra,
        } = errand;
        let posting = endpoint.post(&extra, headers.clone(), message.into_bytes());
        match stop
            .run_until_cancelled(timeout(ERRAND_TIMEOUT, posting))
            .await
        {
            Some(Ok(Ok(response))) if response.status().is_success() => {}
            Some(Ok(Ok(response))) => {
                let status = response.status().as_u16();
                tracing::debug!(endpoint = %endpoint.name(), status, "a message was not accepted");
            }
            Some(Ok(Err(error))) => {
                tracing::debug!(endpoint = %endpoint.name(), %error, "a message was not sent");
            }
            Some(Err(_)) => {
                tracing::debug!(endpoint = %endpoint.name(), "a message was not accepted in time");
            }
            None => break,
        }
    }
    if has_id
        && !matches!(
            timeout(DELETE_TIMEOUT, endpoint.delete(headers)).await,
            Ok(Ok(_))
        )
    {
        tracing::debug!(endpoint = %endpoint.name(), "the server could not be told of a session's end");
    }
}
