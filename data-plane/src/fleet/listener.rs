//! What other replicas are answered: messages that they hand on, and what they tell of sessions.
//! Nobody else is listened to.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::Deadline;
use gateway_mcp::header::LAST_EVENT_ID;
use gateway_mcp::message::{Kind, Message};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tracing::debug;

use super::signature::{Claim, Refused, SIGNATURE, Said};
use super::told;
use crate::Gateway;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::mcp_http;
use crate::server::text;

/// Where replicas tell and ask.
pub(super) const TOLD: &str = "/replicas/told";

/// Answers one request of another replica. `Host` and `Origin` were the business of the replica
/// that the client reached.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let (fleet, claim) = match (&gateway.fleet, Claim::of(&head.headers)) {
        (Some(fleet), Ok(claim)) => (fleet, claim),
        (_, Err(refused)) => return refuse(refused),
        (None, Ok(_)) => return refuse(Refused::Unsigned),
    };
    let deadline = Deadline::after(gateway.limits.request_timeout);
    let endpoint = Endpoint::parse(head.uri.path());
    let tenant = endpoint.as_ref().map(|endpoint| &endpoint.tenant);
    let body = match mcp_http::read_body(gateway, tenant, body, deadline).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let path = head.uri.path();
    let said = Said {
        to: fleet.own,
        method: &head.method,
        path,
        headers: &head.headers,
        body: &body.bytes,
    };
    if let Err(refused) = claim.check(&gateway.sessions, &fleet.nonces, &said) {
        return refuse(refused);
    }
    if path == TOLD {
        return match head.method {
            Method::GET => told::all(gateway),
            _ => told::hear(gateway, &body.bytes).await,
        };
    }
    match endpoint {
        Some(endpoint) if !takes(gateway, &endpoint, &head, &body.bytes) => {
            let mut response = text(
                StatusCode::SERVICE_UNAVAILABLE,
                "not here, or not any more\n",
            );
            let value = HeaderValue::from_static("elsewhere");
            response.headers_mut().insert(SIGNATURE, value);
            response
        }
        Some(endpoint) => mcp_http::take_over(gateway, endpoint, head, body, deadline).await,
        None => text(StatusCode::NOT_FOUND, "nothing answers here\n"),
    }
}

/// Whether what is handed on can be done here. One that has no configuration of the tenant yet is no
/// home, and one that ends takes only what is about something that it has begun.
fn takes(gateway: &Gateway, endpoint: &Endpoint, head: &Parts, body: &Bytes) -> bool {
    if gateway.tenants.get(&endpoint.tenant).is_none() {
        return false;
    }
    let is_about_a_request = || match head.method {
        Method::GET => head.headers.contains_key(LAST_EVENT_ID),
        Method::POST => Message::scan(body.clone()).is_ok_and(|it| it.kind() != Kind::Request),
        _ => false,
    };
    !gateway.stopping.is_cancelled() || is_about_a_request()
}

/// Says that nothing was done.
fn refuse(refused: Refused) -> Response<ReplyBody> {
    debug!(%refused, "what is no replica was refused");
    let mut response = text(StatusCode::UNAUTHORIZED, format!("{refused}\n"));
    let value = HeaderValue::from_static("refused");
    response.headers_mut().insert(SIGNATURE, value);
    response
}
