//! The channel to a server of the HTTP+SSE transport of 2024-11-05: messages are posted, and
//! whatever the server says comes on one stream of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::Deadline;
use http::{HeaderMap, Uri};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::abandon::Abandon;
use super::answer::refusal;
use super::callback::Callbacks;
use super::endpoint::HttpEndpoint;
use super::error::ClientError;
use super::events::{self, EventReceiver, EventSlot};
use super::exchange::{Answers, Exchange};
use super::identity::Identity;
use super::pending::{ChannelEnd, Pending};
use super::router::{Outlet, Router};
use super::session::{Errands, Session};
use super::stream::{EventBody, message_text};
use crate::message::{Message, ScanError};
use crate::version::Era;

/// One stream of events and the requests under way on it. The stream is closed when this is
/// dropped, and with it the session that the server keeps for it.
#[derive(Debug)]
pub(super) struct SseLink {
    name: Arc<str>,
    /// Where messages are posted.
    messages: Arc<HttpEndpoint>,
    session: Arc<Session>,
    next_wire: AtomicU64,
    pending: Arc<Pending>,
    events: EventSlot,
    ended: CancellationToken,
    stop: CancellationToken,
}

impl SseLink {
    /// Opens the stream; `None` if the server has none at this address.
    pub(super) async fn open(
        endpoint: &HttpEndpoint,
        callbacks: Callbacks,
        deadline: Deadline,
    ) -> Result<Option<Arc<Self>>, ClientError> {
        match timeout(deadline.remaining(), greet(endpoint)).await {
            Ok(Ok(Some((body, messages)))) => {
                let messages = Arc::new(messages);
                Ok(Some(Self::start(endpoint, messages, body, callbacks)))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ClientError::DeadlineExceeded {
                server: endpoint.name().clone(),
                sent: true,
            }),
        }
    }

    /// Starts the task that reads the stream, which ends with it or with the link.
    fn start(
        endpoint: &HttpEndpoint,
        messages: Arc<HttpEndpoint>,
        body: EventBody,
        callbacks: Callbacks,
    ) -> Arc<Self> {
        let name = endpoint.name().clone();
        let session = Session::open(messages.clone(), None, None, callbacks);
        let pending = Arc::new(Pending::default());
        let (event_sender, events) = events::kept_channel();
        let (ended, stop) = (CancellationToken::new(), CancellationToken::new());
        let router = Router {
            label: name.clone(),
            pending: pending.clone(),
            outlet: Outlet::Posts(session.errands().clone()),
            events: event_sender,
            callbacks,
            era: watch::channel(Some(Era::Legacy)).1,
            last_words: None,
            strays: 0,
        };
        let reading = stop.clone().run_until_cancelled_owned(read(body, router));
        let (end_pending, end) = (pending.clone(), ended.clone());
        tokio::spawn(async move {
            reading.await;
            end_pending.end(ChannelEnd::Closed);
            end.cancel();
        });
        Arc::new(Self {
            name,
            messages,
            session,
            next_wire: AtomicU64::new(1),
            pending,
            events,
            ended,
            stop,
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the server knows this stream by.
    pub(super) fn session_id(&self) -> String {
        self.messages.path_and_query().to_owned()
    }

    pub(super) fn errands(&self) -> &Errands {
        self.session.errands()
    }

    /// From now on what the server says without naming a request goes to the request that it is
    /// most likely for.
    pub(super) fn serve_one_client(&self) {
        self.pending.serve_one_client();
    }

    pub(super) fn events(&self) -> EventReceiver {
        self.events.take()
    }

    pub(super) async fn request(
        self: &Arc<Self>,
        message: &Message,
        headers: HeaderMap,
        deadline: Deadline,
    ) -> Result<Exchange, ClientError> {
        let wire = self.next_wire.fetch_add(1, Ordering::Relaxed);
        let (identity, outgoing) =
            Identity::assign(message, wire).map_err(|source| self.unsendable(source))?;
        let arrivals = self
            .pending
            .insert(wire, message)
            .map_err(|end| end.refuse(&self.name))?;
        // From here on a caller that goes away while waiting cancels the request.
        let headers = Arc::new(headers);
        let mut abandon = Abandon::sse(self.clone(), Arc::clone(&headers), wire);
        if let Err(error) = self.post(&outgoing, &headers, deadline).await {
            abandon.set_tell(error.is_deadline());
            return Err(error);
        }
        Ok(Exchange::new(
            self.name.clone(),
            identity,
            deadline,
            Answers::Shared(arrivals),
            Some(abandon),
        )
        .with_callbacks(self.session.callbacks()))
    }

    /// Sends a message that wants no response: a notification, or a response.
    pub(super) async fn notify(
        &self,
        message: &Message,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        if self.ended.is_cancelled() {
            return Err(ChannelEnd::Closed.refuse(&self.name));
        }
        self.post(message, &HeaderMap::new(), deadline).await
    }

    /// Takes request `wire`'s place away; says whether it was still waiting.
    pub(super) fn forget(&self, wire: u64) -> bool {
        self.pending.remove(wire)
    }

    /// Completes when the stream has ended, and the server's session with it.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Closes the stream and waits until nothing comes from it any more.
    pub(super) async fn close(&self) {
        self.session.close().await;
        self.stop.cancel();
        self.ended().await;
    }

    async fn post(
        &self,
        message: &Message,
        headers: &HeaderMap,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let posting = async {
            let body = message.bytes().clone();
            let response = self.messages.post(headers, &HeaderMap::new(), body).await?;
            match refusal(&self.messages, response, true).await {
                Some(error) => Err(error),
                None => Ok(()),
            }
        };
        match timeout(deadline.remaining(), posting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::DeadlineExceeded {
                server: self.name.clone(),
                sent: true,
            }),
        }
    }

    fn unsendable(&self, source: ScanError) -> ClientError {
        ClientError::Unsendable {
            server: self.name.clone(),
            source,
        }
    }
}

impl Drop for SseLink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Opens the stream and reads its first event, which says where messages are posted.
async fn greet(endpoint: &HttpEndpoint) -> Result<Option<(EventBody, HttpEndpoint)>, ClientError> {
    let response = endpoint.get(&HeaderMap::new(), &HeaderMap::new()).await?;
    if !EventBody::is_in(&response) {
        return Ok(None);
    }
    let unreadable = |reason: &str| ClientError::Unreadable {
        server: endpoint.name().clone(),
        reason: reason.to_owned(),
        source: None,
    };
    let mut body = EventBody::new(endpoint, response.into_body());
    let Some(first) = body.next().await? else {
        return Err(unreadable("its stream of events is empty"));
    };
    if first.event.as_deref() != Some("endpoint") {
        return Err(unreadable("its stream does not begin with an endpoint"));
    }
    let reference = String::from_utf8_lossy(&first.data);
    let Some(url) = resolve(endpoint.url(), &reference) else {
        return Err(unreadable(
            "it names no address of its own for messages to it",
        ));
    };
    Ok(Some((body, endpoint.at(url))))
}

/// The address that `reference` names, seen from `base`. None but those of the same scheme, host
/// and port: what is posted there carries the endpoint's credentials.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.trim();
    let scheme = base.scheme_str()?;
    let text = if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else if reference.split_once("://").is_some_and(is_scheme) {
        reference.to_owned()
    } else {
        let authority = base.authority()?;
        let path = base.path();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let target = match reference.chars().next()? {
            '/' => reference.to_owned(),
            '?' => format!("{path}{reference}"),
            _ => format!("{folder}/{reference}"),
        };
        format!("{scheme}://{authority}{target}")
    };
    let url: Uri = text.parse().ok()?;
    (origin(&url)? == origin(base)?).then_some(url)
}

/// Whether what stands before `://` is a scheme and not the beginning of a path or query.
fn is_scheme((scheme, _): (&str, &str)) -> bool {
    scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Scheme, host and port; `None` if there is more to the authority, such as a user's name.
fn origin(url: &Uri) -> Option<(String, String, u16)> {
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let authority = url.authority()?;
    let default_port = if scheme == "https" { 443 } else { 80 };
    let port = url.port_u16().unwrap_or(default_port);
    let host = authority.host().to_ascii_lowercase();
    (!authority.as_str().contains('@')).then_some((scheme, host, port))
}

async fn read(mut body: EventBody, mut router: Router) {
    loop {
        match body.next().await {
            Ok(Some(event)) => {
                if let Some(text) = message_text(event) {
                    router.route(text);
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(server = %router.label, %error, "the stream of events broke off");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
