//! Step 8: to the server and back.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use gateway_core::Deadline;
use gateway_core::plugin::AuditOutcome;
use gateway_mcp::bridge::{self, Unbridgeable};
use gateway_mcp::client::{ClientError, Exchange, Peer};
use gateway_mcp::json::{Fields, IS_ERROR};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::version::Era;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::audit::Reserved;
use super::inject::{Advice, advice};
use super::route::Routed;
use super::{Reply, stopping};
use crate::Gateway;
use crate::error::{Failure, Reason, with_causes};
use crate::exposure::expose_links;
use crate::live::Call;
use crate::request::ClientRequest;
use crate::upstream::{
    AuthorizationContext, Outgoing, SessionKey, Upstream, UpstreamError, WANTS_CREDENTIAL, pose,
    take_back,
};

/// What came back for a call.
pub(crate) enum Answer {
    /// The response came first: it is sent as it is.
    Whole { reply: Reply, outcome: AuditOutcome },
    /// Other messages came first: everything is forwarded as it comes.
    Events(Pin<Box<dyn Stream<Item = Event> + Send>>),
}

/// One message of a stream.
pub(crate) struct Event {
    pub(super) bytes: Bytes,
    /// Set on the last one, the response.
    pub(super) outcome: Option<AuditOutcome>,
    /// Why it is an error of the gateway's and not the server's response.
    pub(super) reason: Option<String>,
}

/// Sends the call and waits for the first message that comes back.
pub(super) async fn forward(
    gateway: &Gateway,
    reserved: Reserved,
    request: &ClientRequest,
) -> Result<Answer, Failure> {
    let equipped = reserved.equipped;
    let Routed {
        caller,
        server,
        message,
        ..
    } = equipped.authorized.routed;
    let deadline = server.timeout().map_or(request.deadline, Deadline::after);
    let user = &caller.principal.user_id;
    let key = SessionKey::of(equipped.context, user, &request.dialect);
    let advice = advice(&caller, &server);
    let exposes_links = caller.view.is_prefixed();
    let call = request.dialect.session().map(|session| {
        let live = gateway.live.of(&request.endpoint.tenant, session.id);
        Call::begin(&live, request.message.id().unwrap_or_default())
    });
    // From here on only the server is needed: what a new revision removes may end meanwhile.
    drop(caller);
    let live = call.as_ref().map(Call::live);
    let outgoing = Outgoing {
        message: &message,
        headers: equipped.headers,
        writes_params: equipped.is_rewritten || request.lacks_param_headers,
    };
    let sending = server.send(&key, live, outgoing, deadline);
    let sent = tokio::select! {
        sent = sending => sent,
        () = cancelled(call.as_ref()) => return Err(unwanted()),
    };
    let (exchange, peer) = sent.map_err(|error| failure(error, &server, advice.as_ref()))?;
    // A client of another era cannot be asked at all: of that it is told at once.
    let exchange = match call {
        Some(_) => exchange,
        None => exchange.hearing_refusals(),
    };
    let mut incoming = Incoming {
        exchange,
        server,
        advice,
        peer,
        client_era: request.dialect.era(),
        context: key.context().clone(),
        method: request.method().to_owned(),
        exposes_links,
        call,
        deadline,
        giving_up: gateway.giving_up.clone(),
    };
    loop {
        let status = incoming.exchange.status();
        match incoming.next().await? {
            Received::Response(message) => {
                return Ok(whole(&message, status, request.dialect.era()));
            }
            Received::Notification(message) => {
                return Ok(Answer::Events(Box::pin(events(incoming, message, request))));
            }
            Received::Nothing => {}
        }
    }
}

/// The way back from one server to one client.
struct Incoming {
    exchange: Exchange,
    /// Held, so that it does not end before the exchange.
    server: Arc<Upstream>,
    /// What to do if the server does not accept the user's credential.
    advice: Option<Advice>,
    /// Who is asked, and may ask.
    peer: Arc<Peer>,
    client_era: Era,
    /// With whose rights.
    context: AuthorizationContext,
    /// The method of the request.
    method: String,
    /// Whether URIs in answers are those of an aggregating endpoint.
    exposes_links: bool,
    /// A legacy client's call, which the client may cancel.
    call: Option<Call>,
    deadline: Deadline,
    giving_up: CancellationToken,
}

enum Received {
    Response(Message),
    Notification(Message),
    /// A message that does not go on.
    Nothing,
}

impl Incoming {
    /// The next message, carried over to the client's era.
    async fn next(&mut self) -> Result<Received, Failure> {
        let next = tokio::time::timeout_at(self.deadline.instant().into(), self.exchange.next());
        let next = tokio::select! {
            next = next => next,
            () = self.giving_up.cancelled() => return Err(stopping()),
            () = cancelled(self.call.as_ref()) => return Err(unwanted()),
        };
        let message = match next.map_err(|_| late(self.server.name().as_str()))? {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                let error = UpstreamError::from(error);
                return Err(failure(error, &self.server, self.advice.as_ref()));
            }
            None => {
                let message = format!("server `{}` ended its answer early", self.server.name());
                return Err(Failure::new(Reason::AnswerUnusable, message));
            }
        };
        match message.kind() {
            Kind::Response => {
                let carried = self.carry_over(message)?;
                Ok(Received::Response(self.expose(carried)))
            }
            Kind::Notification => {
                let told = self.tell(message);
                Ok(told.map_or(Received::Nothing, Received::Notification))
            }
            Kind::Request => self.ask(&message).await,
        }
    }

    /// A question of the server goes to the client whose call caused it.
    async fn ask(&mut self, question: &Message) -> Result<Received, Failure> {
        let Some(call) = &self.call else {
            let asked = question.method().unwrap_or_default();
            return Err(self.unbridgeable(Unbridgeable::question(asked)));
        };
        let posed = pose(&self.peer, call.live(), question).await;
        Ok(posed.map_or(Received::Nothing, Received::Notification))
    }

    /// A notification as the client is told it.
    fn tell(&self, notification: Message) -> Option<Message> {
        // Whom it concerns besides the caller, or instead.
        let is_told = self
            .server
            .tell_others(&self.context, &self.peer, &notification);
        if is_told || !self.goes_on(&notification) {
            return None;
        }
        if notification.method() != Some("notifications/cancelled") {
            return Some(notification);
        }
        take_back(&self.peer, self.call.as_ref()?.live(), &notification)
    }

    /// Within one era everything goes on; across eras what both have.
    fn goes_on(&self, notification: &Message) -> bool {
        self.peer.hello().era == self.client_era
            || notification.method() == Some("notifications/progress")
    }

    fn expose(&self, response: Message) -> Message {
        if self.exposes_links {
            expose_links(response, &self.method, self.server.name())
        } else {
            response
        }
    }

    fn carry_over(&self, response: Message) -> Result<Message, Failure> {
        let carried = match (self.peer.hello().era, self.client_era) {
            (Era::Legacy, Era::Modern) => bridge::result_to_modern(&response, &self.method),
            (Era::Modern, Era::Legacy) => bridge::result_to_legacy(&response, &self.method),
            _ => return Ok(response),
        };
        carried.map_err(|error| self.unbridgeable(error))
    }

    fn unbridgeable(&self, error: Unbridgeable) -> Failure {
        let reason = match &error {
            Unbridgeable::Scan(_) | Unbridgeable::Edit(_) => Reason::AnswerUnusable,
            Unbridgeable::ResultType { .. }
            | Unbridgeable::Question { .. }
            | Unbridgeable::UrlFirst { .. } => Reason::NotBridgeable,
        };
        let message = format!("server `{}`: {error}", self.server.name());
        let failure = Failure::new(reason, message);
        match &error {
            Unbridgeable::UrlFirst {
                data: Some(data), ..
            } => failure.with_data(data),
            _ => failure,
        }
        .caused_by(error)
    }
}

/// Completes when the client cancels the call; never for a client that does so by going away.
async fn cancelled(call: Option<&Call>) {
    match call {
        Some(call) => call.cancelled.cancelled().await,
        None => std::future::pending().await,
    }
}

fn unwanted() -> Failure {
    Failure::new(Reason::Cancelled, "cancelled by the client")
}

fn whole(response: &Message, status: Option<StatusCode>, era: Era) -> Answer {
    let outcome = outcome_of(response);
    let bytes = response.bytes().clone();
    // Modern servers say some errors by status as well; it is part of the answer.
    let reply = match status {
        Some(status) if era == Era::Modern && response.error().is_some() => {
            Reply::WithStatus(status, bytes)
        }
        _ => Reply::Whole(bytes),
    };
    Answer::Whole { reply, outcome }
}

/// Everything from the first notification to the response. A server that fails on the way ends
/// the stream with an error response.
fn events(
    incoming: Incoming,
    first: Message,
    request: &ClientRequest,
) -> impl Stream<Item = Event> + Send + use<> {
    let id = request.message.id().map(str::to_owned);
    let start = (Some(incoming), Some(first), id);
    futures_util::stream::unfold(start, |(mut incoming, mut first, id)| async move {
        if let Some(message) = first.take() {
            let event = Event {
                bytes: message.into_bytes(),
                outcome: None,
                reason: None,
            };
            return Some((event, (incoming, None, id)));
        }
        let mut source = incoming.take()?;
        loop {
            let (bytes, outcome, reason) = match source.next().await {
                Ok(Received::Nothing) => continue,
                Ok(Received::Notification(message)) => (message.into_bytes(), None, None),
                Ok(Received::Response(message)) => {
                    let outcome = outcome_of(&message);
                    (message.into_bytes(), Some(outcome), None)
                }
                Err(failure) => (
                    failure.to_message(id.as_deref()),
                    Some(failure.reason().outcome()),
                    Some(with_causes(&failure)),
                ),
            };
            let event = Event {
                bytes,
                outcome,
                reason,
            };
            let rest = outcome.is_none().then_some(source);
            return Some((event, (rest, None, id)));
        }
    })
}

fn outcome_of(response: &Message) -> AuditOutcome {
    let Some(range) = response.result_range() else {
        return AuditOutcome::Error;
    };
    let bytes = response.bytes();
    // Results are long, and most have no such flag.
    let result = bytes.get(range.clone()).unwrap_or_default();
    if !IS_ERROR.may_be_in(result) {
        return AuditOutcome::Ok;
    }
    let fields = Fields::scan(bytes, range).ok();
    let flag = fields
        .and_then(|fields| fields.get("isError"))
        .and_then(|range| bytes.get(range));
    if flag == Some(b"true") {
        AuditOutcome::ToolError
    } else {
        AuditOutcome::Ok
    }
}

/// What a client is told of a server that did not answer in time.
fn late(server: &str) -> Failure {
    let message = format!("server `{server}` did not answer in time");
    Failure::new(Reason::DeadlineExceeded, message)
}

/// What a client is told of a server that does not accept the user's credential, or wants one.
/// Without advice, the server is one that is given none.
fn unaccepted(error: Arc<UpstreamError>, server: &Upstream, advice: Option<&Advice>) -> Failure {
    let name = server.name();
    let (reason, message) = match advice {
        Some(advice) => (
            Reason::CredentialsRequired,
            format!("server `{name}` does not accept this credential: {error}; {advice}"),
        ),
        None => (
            Reason::Unavailable,
            format!("server `{name}`: {error}; {WANTS_CREDENTIAL}"),
        ),
    };
    Failure::new(reason, message).caused_by(error)
}

/// What a client is told of a server that did not answer; `advice` is what to do if that is for
/// the user's credential.
pub(super) fn failure(
    error: impl Into<Arc<UpstreamError>>,
    server: &Upstream,
    advice: Option<&Advice>,
) -> Failure {
    let error = error.into();
    if error.is_about_credentials() {
        return unaccepted(error, server, advice);
    }
    let server = server.name().as_str();
    let (reason, message) = match &*error {
        UpstreamError::Down { reason } => (
            Reason::Unavailable,
            format!("server `{server}` is not available: {reason}"),
        ),
        UpstreamError::Bridge(error) => (Reason::NotBridgeable, error.to_string()),
        UpstreamError::Params(error) => (Reason::InvalidParams, error.to_string()),
        UpstreamError::Client(error) if error.is_deadline() => return late(server),
        UpstreamError::Client(
            error @ (ClientError::Unreadable { .. } | ClientError::TooLarge { .. }),
        ) => (
            Reason::AnswerUnusable,
            format!("server `{server}`: {error}"),
        ),
        UpstreamError::Client(error) => {
            (Reason::Unavailable, format!("server `{server}`: {error}"))
        }
    };
    Failure::new(reason, message).caused_by(error)
}
