//! Streamable HTTP, server side: a POST becomes a message for the pipeline, and its reply a
//! response. Both eras share one endpoint.

mod batch;
mod elsewhere;
mod read;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use gateway_core::{Deadline, RequestId, TenantId};
use gateway_mcp::header::{self, MCP_SESSION_ID};
use gateway_mcp::message::{Kind, Message, ScanError};
use gateway_mcp::params::Params;
use gateway_mcp::sse;
use gateway_mcp::version::Era;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use tracing::{Instrument as _, debug_span};

use crate::Gateway;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason};
use crate::fleet::Way;
use crate::pipeline::{self, EventStream, Reply};
use crate::request::{
    ByControl, ClientRequest, Dialect, check_notification, era_of, find_session, read_dialect,
};
use crate::server::text;

pub(crate) use read::{Body, Space};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a stream may be silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers one HTTP request of a client to an MCP endpoint.
pub(crate) async fn take(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    request: hyper::Request<Incoming>,
) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let way = match head.extensions.get::<ByControl>() {
        Some(ByControl) => Way::Control,
        None => Way::Listener,
    };
    if head.method != Method::POST {
        return answer_without_message(gateway, &endpoint, &head, way).await;
    }
    if let Some(refusal) = refuse_media_types(&head.headers) {
        return refusal;
    }
    let deadline = Deadline::after(gateway.limits.request_timeout);
    match read::read_body(gateway, Some(&endpoint.tenant), body, deadline).await {
        Ok(body) => answer_message(gateway, endpoint, head.headers, body, deadline, way).await,
        Err(failure) => failed(&failure, None, Era::Legacy),
    }
}

/// Answers one that another replica has handed on, with the body that it has read.
pub(crate) async fn take_over(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    head: Parts,
    body: Body,
    deadline: Deadline,
) -> Response<ReplyBody> {
    let way = Way::HandedOn;
    if head.method == Method::POST {
        answer_message(gateway, endpoint, head.headers, body, deadline, way).await
    } else {
        answer_without_message(gateway, &endpoint, &head, way).await
    }
}

/// Reads the body of a request whole; what is wrong with it, as it is answered.
pub(crate) async fn read_body(
    gateway: &Gateway,
    tenant: Option<&TenantId>,
    body: Incoming,
    deadline: Deadline,
) -> Result<Body, Response<ReplyBody>> {
    let read = read::read_body(gateway, tenant, body, deadline).await;
    read.map_err(|failure| failed(&failure, None, Era::Legacy))
}

async fn answer_without_message(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    head: &Parts,
    way: Way,
) -> Response<ReplyBody> {
    match head.method {
        Method::GET => get(gateway, endpoint, &head.headers, way).await,
        Method::DELETE => delete(gateway, endpoint, &head.headers).await,
        _ => not_allowed("send MCP messages by POST\n", "POST, GET, DELETE"),
    }
}

async fn answer_message(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    headers: HeaderMap,
    body: Body,
    deadline: Deadline,
    way: Way,
) -> Response<ReplyBody> {
    let message = match Message::scan(body.bytes.clone()) {
        Ok(message) => message,
        Err(ScanError::Batch) => {
            // On the heap, as all that is large and seldom needed: every request has the size of
            // the largest of its ways.
            return Box::pin(batch::answer(gateway, endpoint, headers, body, way)).await;
        }
        Err(error) => return failed(&error.into(), None, Era::Legacy),
    };
    if let Err(error) = message.check_depth(gateway.limits.max_json_depth) {
        return failed(&error.into(), message.id(), Era::Legacy);
    }
    match message.kind() {
        Kind::Request => {
            let incoming = (headers, message, body.space);
            answer_request(gateway, endpoint, incoming, deadline, way).await
        }
        Kind::Notification => {
            let accepting = accept_notification(gateway, &endpoint, &headers, &message, way);
            Box::pin(accepting).await
        }
        Kind::Response => {
            let accepting = accept_response(gateway, &endpoint, &headers, &message, way);
            Box::pin(accepting).await
        }
    }
}

async fn answer_request(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    (headers, message, space): (HeaderMap, Message, Space),
    deadline: Deadline,
    way: Way,
) -> Response<ReplyBody> {
    let rpc_id = message.id().map(str::to_owned);
    let id = RequestId::new(uuid::Uuid::now_v7().to_string());
    let read = Params::of(&message)
        .map_err(Failure::from)
        .and_then(|params| {
            let dialect = read_dialect(&endpoint, &headers, &message, &params, &gateway.sessions);
            Ok((dialect?, params))
        });
    let (dialect, params) = match read {
        Ok(read) => read,
        Err(failure) => {
            let method = message.method().unwrap_or_default();
            let recording = pipeline::record_refusal(gateway, &endpoint, &id, method, &failure);
            Box::pin(recording).await;
            let era = era_of(&headers, &message, None);
            return failed(&failure, rpc_id.as_deref(), era);
        }
    };
    if let Dialect::Legacy(session) = &dialect
        && let Some(response) =
            elsewhere::message(gateway, (&endpoint, &headers), session, &message, way).await
    {
        return response;
    }
    let era = dialect.era();
    // Over HTTP, a modern client that leaves them out is refused; a client behind a bridge cannot
    // but do so.
    let lacks_param_headers =
        era == Era::Legacy || (way == Way::Control && !header::repeats_params(&headers));
    let span =
        debug_span!("request", id = %id, tenant.id = %endpoint.tenant, method = message.method());
    let request = Box::new(ClientRequest {
        id,
        endpoint,
        headers,
        message: Arc::new(message),
        params,
        dialect,
        deadline,
        space,
        lacks_param_headers,
    });
    match pipeline::answer(gateway, request).instrument(span).await {
        Ok(reply) => respond(reply),
        Err(failure) => failed(&failure, rpc_id.as_deref(), era),
    }
}

/// Takes a notification.
async fn accept_notification(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    message: &Message,
    way: Way,
) -> Response<ReplyBody> {
    let method = message.method().unwrap_or_default();
    match check_notification(endpoint, headers, message, &gateway.sessions) {
        Ok(None) => accepted(),
        Ok(Some(session)) => {
            let handing_on =
                elsewhere::message(gateway, (endpoint, headers), &session, message, way);
            if let Some(response) = handing_on.await {
                return response;
            }
            match pipeline::take_notification(gateway, endpoint, headers, &session, message).await {
                Ok(()) => accepted(),
                Err(failure) => refused(gateway, endpoint, method, &failure).await,
            }
        }
        Err(failure) => refused(gateway, endpoint, method, &failure).await,
    }
}

/// Takes the answer to a question. Modern clients must not send any.
async fn accept_response(
    gateway: &Gateway,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    message: &Message,
    way: Way,
) -> Response<ReplyBody> {
    let session = match era_of(headers, message, None) {
        Era::Modern => Err(Failure::new(
            Reason::Malformed,
            "a client must not send responses",
        )),
        Era::Legacy => find_session(endpoint, headers, &gateway.sessions),
    };
    let session = match session {
        Ok(session) => session,
        Err(failure) => return refused(gateway, endpoint, "response", &failure).await,
    };
    let handing_on = elsewhere::message(gateway, (endpoint, headers), &session, message, way);
    if let Some(response) = handing_on.await {
        return response;
    }
    match pipeline::take_answer(gateway, endpoint, headers, &session, message).await {
        Ok(()) => accepted(),
        Err(failure) => refused(gateway, endpoint, "response", &failure).await,
    }
}

/// Opens a stream of a legacy session.
async fn get(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    way: Way,
) -> Response<ReplyBody> {
    if !headers.contains_key(MCP_SESSION_ID) {
        return not_allowed(
            "streams belong to sessions: send MCP messages by POST\n",
            "POST",
        );
    }
    let session = match find_session(endpoint, headers, &gateway.sessions) {
        Ok(session) => session,
        Err(failure) => return refused(gateway, endpoint, "GET", &failure).await,
    };
    if let Some(response) = elsewhere::stream(gateway, endpoint, headers, &session, way).await {
        return response;
    }
    match pipeline::open_stream(gateway, endpoint, headers, &session).await {
        Ok(reply) => respond(reply),
        Err(failure) => refused(gateway, endpoint, "GET", &failure).await,
    }
}

/// Refuses what is no request, and has it in the audit log as well: it may be somebody who tries
/// the sessions of others. `method` is the verb where no message says one.
async fn refused(
    gateway: &Gateway,
    endpoint: &Endpoint,
    method: &str,
    failure: &Failure,
) -> Response<ReplyBody> {
    let id = RequestId::new(uuid::Uuid::now_v7().to_string());
    Box::pin(pipeline::record_refusal(
        gateway, endpoint, &id, method, failure,
    ))
    .await;
    failed(failure, None, Era::Legacy)
}

/// Ends a legacy session. All replicas are told, so that any may do it.
async fn delete(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
) -> Response<ReplyBody> {
    if !headers.contains_key(MCP_SESSION_ID) {
        return not_allowed("there is no session to end\n", "POST");
    }
    match pipeline::end_session(gateway, endpoint, headers).await {
        Ok(()) => {
            let mut response = Response::new(ReplyBody::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(failure) => failed(&failure, None, Era::Legacy),
    }
}

fn not_allowed(what: &'static str, allowed: &'static str) -> Response<ReplyBody> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, what);
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// A browser can send other media types across origins without asking; JSON it cannot.
fn refuse_media_types(headers: &HeaderMap) -> Option<Response<ReplyBody>> {
    let value = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let content = value(CONTENT_TYPE)
        .and_then(|text| text.split(';').next())
        .unwrap_or_default();
    if !content.trim().eq_ignore_ascii_case("application/json") {
        let refusal = "Content-Type must be application/json\n";
        return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal));
    }
    let acceptable = [
        "application/json",
        "text/event-stream",
        "*/*",
        "application/*",
        "text/*",
    ];
    let accepts = |value: &HeaderValue| {
        let mut ranges = value.to_str().unwrap_or_default().split(',');
        ranges.any(|range| {
            let media = range.split(';').next().unwrap_or_default().trim();
            acceptable
                .iter()
                .any(|known| known.eq_ignore_ascii_case(media))
        })
    };
    if headers.contains_key(ACCEPT) && !headers.get_all(ACCEPT).iter().any(accepts) {
        let refusal = "Accept must list application/json and text/event-stream\n";
        return Some(text(StatusCode::NOT_ACCEPTABLE, refusal));
    }
    None
}

fn respond(reply: Reply) -> Response<ReplyBody> {
    match reply {
        Reply::Whole(bytes) => json(StatusCode::OK, bytes),
        Reply::Opened { body, session_id } => {
            let mut response = json(StatusCode::OK, body);
            if let Ok(id) = HeaderValue::try_from(session_id) {
                response.headers_mut().insert(MCP_SESSION_ID, id);
            }
            response
        }
        Reply::WithStatus(status, bytes) => json(status, bytes),
        Reply::Events(messages) => {
            let events = messages.map(|message| sse::encode_event(&message, None));
            stream(Box::pin(events))
        }
        Reply::Feed(events) => stream(events),
    }
}

fn stream(events: EventStream) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::events(keep_alive(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Tells nginx and its like not to hold events back.
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Says something when nothing else is said for a while, so that nobody on the way takes the
/// connection for dead.
fn keep_alive(events: EventStream) -> EventStream {
    Box::pin(futures_util::stream::unfold(
        events,
        |mut events| async move {
            match tokio::time::timeout(KEEP_ALIVE, events.next()).await {
                Ok(event) => event.map(|event| (event, events)),
                Err(_) => Some((Bytes::from_static(sse::COMMENT_KEEP_ALIVE), events)),
            }
        },
    ))
}

fn json(status: StatusCode, body: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn accepted() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn failed(failure: &Failure, id: Option<&str>, era: Era) -> Response<ReplyBody> {
    let status = failure.reason().status(era);
    let mut response = json(status, failure.to_message(id));
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if failure.reason() == Reason::Overloaded {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
