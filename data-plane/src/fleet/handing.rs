//! Handing on: what a message of a legacy session needs is kept at the session's home, and may be
//! at another replica than the one that the client happened to reach.

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use gateway_core::TenantId;
use gateway_core::plugin::ItemKind;
use gateway_mcp::header::LAST_EVENT_ID;
use gateway_mcp::list::ListKind;
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::params::Params;
use gateway_mcp::sse;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::signature::{SIGNATURE, Said, sign};
use super::{Fleet, Peer, answers};
use crate::Gateway;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason, with_causes};
use crate::exposure::{Exposure, Found};
use crate::live::replica_of_stream;
use crate::session::{ReplicaTag, Session};

/// By which way a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From a client.
    Listener,
    /// By the control socket, perhaps for a client without headers.
    Control,
    /// From another replica. It is handled here, wherever it belongs.
    HandedOn,
}

/// What of HTTP is between a connection's two ends, and what is not the client's to say.
const OF_THE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    SIGNATURE,
];

/// How many replicas are tried that turn out to be dead, one after the other.
const MAX_ATTEMPTS: usize = 4;

/// What is handed on.
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    pub(crate) method: Method,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    /// The raw id of the request that it is.
    pub(crate) id: Option<&'a str>,
    /// Who asked what it answers.
    pub(crate) asker: Option<ReplicaTag>,
}

/// What became of it.
pub(super) enum Undelivered {
    /// Nothing reached the other replica, or it did nothing.
    NotSent(String),
    /// It may have reached the other replica, of which nothing more is heard.
    Lost(String),
}

/// The other replicas, where a message of a session may have to be handed on: the session is at
/// home at one of them. A look at two numbers for most sessions.
pub(crate) fn away<'a>(
    gateway: &'a Gateway,
    tenant: &TenantId,
    session: &Session,
    way: Way,
) -> Option<&'a Fleet> {
    let fleet = gateway.fleet.as_ref()?;
    (way != Way::HandedOn && fleet.home_of(tenant, session).is_some()).then_some(fleet)
}

/// Whether what a message needs is kept at its session's home. What is left is the same at every
/// replica: lists, and calls of servers that keep nothing, by clients that can be asked nothing.
pub(crate) fn is_kept_at_home(
    gateway: &Gateway,
    endpoint: &Endpoint,
    session: &Session,
    message: &Message,
) -> bool {
    let method = message.method().unwrap_or_default();
    match message.kind() {
        // To what a server asked on a stream that is at home.
        Kind::Response => true,
        // Cancellations are told to all replicas, because a call may be under way at any.
        Kind::Notification => method == "notifications/roots/list_changed",
        Kind::Request => match method {
            // Log levels are told to all replicas.
            "initialize" | "ping" | "logging/setLevel" => false,
            "resources/subscribe" | "resources/unsubscribe" => true,
            _ if ListKind::of_method(method).is_some() => false,
            _ => {
                !session.callbacks.is_empty()
                    || gateway
                        .live
                        .find(session.id)
                        .is_some_and(|live| live.has_state())
                    || concerns_keeper(gateway, endpoint, message)
            }
        },
    }
}

/// Whether a call is for a server that may keep something for the session.
fn concerns_keeper(gateway: &Gateway, endpoint: &Endpoint, message: &Message) -> bool {
    let snapshot = gateway.tenants.get(&endpoint.tenant);
    let Some(view) = snapshot.and_then(|snapshot| snapshot.exposure(&endpoint.view)) else {
        return false;
    };
    match found(&view, message) {
        Some(Found::Item(server, _) | Found::Shortened(server)) => server.keeps_sessions(),
        None => view.servers().iter().any(|server| server.keeps_sessions()),
    }
}

/// What a call is for, as far as its name alone says.
fn found(view: &Exposure, message: &Message) -> Option<Found> {
    let params = Params::of(message).ok()?;
    match message.method()? {
        "tools/call" => view.find(ItemKind::Tool, params.name()?),
        "prompts/get" => view.find(ItemKind::Prompt, params.name()?),
        "resources/read" => view.find(ItemKind::Resource, params.uri()?),
        _ => None,
    }
}

/// Has another replica answer. `None`: none that lives is the right one, so it is to be handled
/// here; nothing was done then.
pub(crate) async fn hand_on(
    gateway: &Gateway,
    fleet: &Fleet,
    session: &Session,
    errand: &Errand<'_>,
) -> Option<Result<Response<ReplyBody>, Failure>> {
    if let Some(asker) = errand.asker {
        return answers::bring(gateway, fleet, asker, errand).await;
    }
    for _ in 0..MAX_ATTEMPTS {
        let peer = match stream_holder(errand) {
            Some(holder) => fleet.other(holder)?,
            None => fleet.home_of(&errand.endpoint.tenant, session)?,
        };
        match hand_to(gateway, fleet, &peer, errand).await {
            Ok(answered) => return Some(answered),
            Err(reason) => {
                warn!(replica = peer.name, address = %peer.address, reason, "a replica is not given anything for a while");
                fleet.suspect(&peer);
            }
        }
    }
    None
}

/// Has this replica answer. `Err`: nothing has reached it, and why.
pub(super) async fn hand_to(
    gateway: &Gateway,
    fleet: &Fleet,
    peer: &Arc<Peer>,
    errand: &Errand<'_>,
) -> Result<Result<Response<ReplyBody>, Failure>, String> {
    let path = errand.endpoint.path();
    let sent = fleet.send(
        gateway,
        peer,
        errand.method.clone(),
        &path,
        errand.headers,
        errand.body.clone(),
    );
    match sent.await {
        Ok(response) => {
            debug!(replica = peer.name, path, "handed on");
            Ok(Ok(passed_on(gateway, errand, peer, response)))
        }
        Err(Undelivered::NotSent(reason)) => Err(reason),
        Err(Undelivered::Lost(reason)) => {
            warn!(
                replica = peer.name,
                reason, "a replica did not answer what was handed on to it"
            );
            Ok(Err(lost()))
        }
    }
}

/// The replica that has the stream which a client comes back to; `None` for the standing one, which
/// is wherever the session is at home.
fn stream_holder(errand: &Errand<'_>) -> Option<ReplicaTag> {
    let last = errand.headers.get(LAST_EVENT_ID)?;
    replica_of_stream(last.to_str().ok()?)
}

/// What came back, piece by piece as it comes.
fn passed_on(
    gateway: &Gateway,
    errand: &Errand<'_>,
    peer: &Arc<Peer>,
    response: Response<Incoming>,
) -> Response<ReplyBody> {
    let (mut head, body) = response.into_parts();
    for name in OF_THE_CONNECTION {
        head.headers.remove(name);
    }
    if body.is_end_stream() {
        return Response::from_parts(head, ReplyBody::empty());
    }
    let events = HeaderValue::from_static("text/event-stream");
    let is_stream = head.headers.get(CONTENT_TYPE) == Some(&events);
    let rest = Rest {
        body,
        replica: Arc::clone(peer),
        // Streams that only listen end when the gateway is to stop, the others when it gives up.
        stop: match errand.method {
            Method::GET => gateway.stopping.clone(),
            _ => gateway.giving_up.clone(),
        },
        last: errand.id.filter(|_| is_stream).map(lost_event),
    };
    let pieces = stream::unfold(Some(rest), |rest| async move { rest?.next().await });
    Response::from_parts(head, ReplyBody::events(Box::pin(pieces)))
}

/// The body of an answer that is passed on.
struct Rest {
    body: Incoming,
    replica: Arc<Peer>,
    stop: CancellationToken,
    /// What a stream ends with for which the other replica had no end, because it has died.
    last: Option<Bytes>,
}

impl Rest {
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        loop {
            let frame = tokio::select! {
                frame = self.body.frame() => frame?,
                () = self.stop.cancelled() => return None,
            };
            match frame {
                // What stands behind a body is for nobody.
                Ok(frame) => {
                    if let Ok(piece) = frame.into_data() {
                        return Some((piece, Some(self)));
                    }
                }
                Err(error) => {
                    let reason = with_causes(&error);
                    warn!(
                        replica = self.replica.name,
                        reason, "an answer that is passed on broke off"
                    );
                    return self.last.take().map(|last| (last, None));
                }
            }
        }
    }
}

/// The event by which a client learns that its answer will not come. A line that broke off is ended
/// before it.
fn lost_event(id: &str) -> Bytes {
    let event = sse::encode_event(&lost().to_message(Some(id)), None);
    [&b"\n\n"[..], &event].concat().into()
}

/// What a client is told of a request that another replica may have taken.
fn lost() -> Failure {
    Failure::new(
        Reason::Unavailable,
        "the gateway replica that keeps this session has stopped answering: whether the request was carried out is not known",
    )
}

impl Fleet {
    /// Sends a message to another replica, signed, and waits for the head of what comes back.
    pub(super) async fn send(
        &self,
        gateway: &Gateway,
        peer: &Peer,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Undelivered> {
        let not_sent = |reason: &str| Undelivered::NotSent(reason.to_owned());
        let scheme = if self.is_tls { "https" } else { "http" };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(peer.address.clone())
            .path_and_query(path)
            .build();
        let uri = uri.map_err(|_| not_sent("its address is none"))?;
        let mut headers = headers.clone();
        for name in OF_THE_CONNECTION.iter().chain(&[HOST, CONTENT_LENGTH]) {
            headers.remove(name);
        }
        let said = Said {
            to: peer.tag,
            method: &method,
            path,
            headers: &headers,
            body: &body,
        };
        let signature = sign(&gateway.sessions, self.own, &said);
        let signature = signature.ok_or_else(|| not_sent("there is no randomness"))?;
        headers.insert(SIGNATURE, signature);
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.map_err(|error| {
            let reason = with_causes(&error);
            let canceled = error
                .source()
                .and_then(|cause| cause.downcast_ref::<hyper::Error>());
            // A kept connection that was closed before anything was written to it.
            match error.is_connect() || canceled.is_some_and(hyper::Error::is_canceled) {
                true => Undelivered::NotSent(reason),
                false => Undelivered::Lost(reason),
            }
        })?;
        let is_refusal = response.status() == StatusCode::UNAUTHORIZED
            && response.headers().contains_key(SIGNATURE);
        if is_refusal {
            let reason = "it does not know this replica: do both have the same session keys, and the same time?";
            return Err(not_sent(reason));
        }
        let is_elsewhere = response.status() == StatusCode::SERVICE_UNAVAILABLE
            && response.headers().contains_key(SIGNATURE);
        if is_elsewhere {
            return Err(not_sent("it is starting or ending"));
        }
        Ok(response)
    }
}
