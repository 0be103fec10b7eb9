//! A legacy session over HTTP: the headers that name it, and what is sent in it beside requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::asides::Asides;
use super::callback::Callbacks;
use super::endpoint::HttpEndpoint;
use super::events::{self, EventReceiver};
use super::identity::Identity;
use super::pending::Pending;
use super::standing::Standing;
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
    endpoint: Arc<HttpEndpoint>,
    headers: Arc<HeaderMap>,
    has_id: bool,
    callbacks: Callbacks,
    errands: Errands,
    /// The requests under way that something may come for on the standing stream.
    pending: Arc<Pending>,
    is_listening: AtomicBool,
    /// Set off when it is known whether the standing stream opens, or that it takes long.
    is_settled: CancellationToken,
    lost: CancellationToken,
    stop: CancellationToken,
}

impl Session {
    /// Starts the task that runs the session's errands until the session is closed.
    ///
    /// `version` and `id` are what the transport repeats in headers, if it has such.
    pub(super) fn open(
        endpoint: Arc<HttpEndpoint>,
        version: Option<HeaderValue>,
        id: Option<HeaderValue>,
        callbacks: Callbacks,
    ) -> Arc<Self> {
        let has_id = id.is_some();
        let mut headers = HeaderMap::new();
        if let Some(version) = version {
            headers.insert(MCP_PROTOCOL_VERSION, version);
        }
        if let Some(mut id) = id {
            id.set_sensitive(true);
            headers.insert(MCP_SESSION_ID, id);
        }
        let headers = Arc::new(headers);
        let (errands, waiting) = mpsc::channel(WAITING_ERRANDS);
        let stop = CancellationToken::new();
        tokio::spawn(run_errands(
            endpoint.clone(),
            headers.clone(),
            has_id,
            waiting,
            stop.clone(),
        ));
        Arc::new(Self {
            endpoint,
            headers,
            has_id,
            callbacks,
            errands: Errands(errands),
            pending: Arc::default(),
            is_listening: AtomicBool::new(false),
            is_settled: CancellationToken::new(),
            lost: CancellationToken::new(),
            stop,
        })
    }

    /// The headers that every request of the session carries.
    pub(super) fn headers(&self) -> &Arc<HeaderMap> {
        &self.headers
    }

    /// Whether the server keeps state under an id, which it may lose.
    pub(super) fn has_id(&self) -> bool {
        self.has_id
    }

    pub(super) fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    pub(super) fn errands(&self) -> &Errands {
        &self.errands
    }

    /// From now on what the server says on the standing stream without naming a request goes to
    /// the request that it is most likely for.
    pub(super) fn serve_one_client(&self) {
        self.pending.serve_one_client();
    }

    /// What may come for a request beside its own stream; `None` where nothing can.
    pub(super) fn asides(
        &self,
        wire: u64,
        request: &Message,
        identity: &Identity,
    ) -> Option<Asides> {
        if !self.is_listening.load(Ordering::Relaxed) {
            return None;
        }
        if !self.pending.serves_one_client() && !identity.wants_progress() {
            return None;
        }
        Asides::open(&self.pending, wire, request)
    }

    /// Opens the session's standing stream, which ends with the session or when nobody listens
    /// any more. There is one only: for later callers nothing comes.
    pub(super) fn listen(&self) -> EventReceiver {
        if self.is_listening.swap(true, Ordering::Relaxed) {
            return EventReceiver::ended();
        }
        let (sender, receiver) = events::channel(false);
        let standing = Standing {
            endpoint: self.endpoint.clone(),
            headers: HeaderMap::clone(&self.headers),
            has_session_id: self.has_id,
            callbacks: self.callbacks,
            errands: self.errands.clone(),
            events: sender,
            pending: self.pending.clone(),
            settled: self.is_settled.clone().drop_guard(),
            lost: self.lost.clone(),
        };
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(standing.run()));
        receiver
    }

    /// Whether there is nothing to wait for before a request is sent.
    pub(super) fn is_settled(&self) -> bool {
        let listens = self.is_listening.load(Ordering::Relaxed);
        !listens || !self.pending.serves_one_client() || self.is_settled.is_cancelled()
    }

    /// Waits, in a session that is one client's, until the standing stream is open: what a server asks
    /// before, some forget, and then wait for an answer.
    pub(super) async fn settled(&self) {
        if !self.is_settled() {
            self.is_settled.cancelled().await;
        }
    }

    /// Completes when the server turns out to know the session no longer.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Ends the session and waits until the server knows or cannot be told.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.errands.0.closed().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Takes messages that nobody waits for.
#[derive(Debug, Clone)]
pub(super) struct Errands(mpsc::Sender<Errand>);

/// A message that nobody waits for, with the headers of the request it belongs to.
#[derive(Debug)]
struct Errand {
    message: Message,
    headers: Arc<HeaderMap>,
}

impl Errands {
    /// Sends a message. Does not block; the message is dropped if too many are waiting already.
    pub(super) fn send(&self, message: Message, headers: Arc<HeaderMap>) {
        if self.0.try_send(Errand { message, headers }).is_err() {
            tracing::debug!("dropped a message to a legacy server: too many are waiting");
        }
    }
}

async fn run_errands(
    endpoint: Arc<HttpEndpoint>,
    headers: Arc<HeaderMap>,
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
        let posting = endpoint.post(&extra, &headers, message.into_bytes());
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
            timeout(DELETE_TIMEOUT, endpoint.delete(&headers)).await,
            Ok(Ok(_))
        )
    {
        tracing::debug!(endpoint = %endpoint.name(), "the server could not be told of a session's end");
    }
}
