//! A POST of several messages at once, which clients of 2025-03-26 may send.

use std::sync::Arc;

use bytes::Bytes;
use gateway_mcp::batch;
use gateway_mcp::header::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use gateway_mcp::message::Message;
use gateway_mcp::version::{Era, Version};
use http::{HeaderMap, Response};

use super::{Body, accepted, elsewhere, refused, respond};
use crate::Gateway;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::error::Failure;
use crate::fleet::Way;
use crate::pipeline;
use crate::request::find_session;
use crate::session::Session;

/// Answers an array: with a stream of events if there are requests in it, one message in
/// each event. An array as an event is what the official clients do not read, and an array as the
/// whole body would keep the first answer back until the last one is there.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    headers: HeaderMap,
    Body { bytes, space }: Body,
    way: Way,
) -> Response<ReplyBody> {
    let answered = match read(gateway, &endpoint, &headers, &bytes) {
        Ok((session, messages)) => {
            let body = (bytes, way);
            let elsewhere = elsewhere::batch(gateway, &endpoint, &headers, &session, body);
            if let Some(response) = elsewhere.await {
                return response;
            }
            let sent = (messages, space);
            pipeline::answer_batch(gateway, &endpoint, &headers, session, sent).await
        }
        Err(failure) => Err(failure),
    };
    match answered {
        Ok(Some(reply)) => respond(reply),
        Ok(None) => accepted(),
        Err(failure) => refused(gateway, &endpoint, "", &failure).await,
    }
}

/// The session that a batch belongs to, and its messages.
fn read(
    gateway: &Gateway,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    text: &Bytes,
) -> Result<(Session, Vec<Message>), Failure> {
    let named = headers
        .get(MCP_PROTOCOL_VERSION)
        .and_then(|version| Version::parse(version.to_str().ok()?));
    let is_modern = named.is_some_and(|version| version.era() == Era::Modern);
    if is_modern || !headers.contains_key(MCP_SESSION_ID) {
        return Err(Failure::no_batches());
    }
    let session = find_session(endpoint, headers, &gateway.sessions)?;
    if !session.version.has_batches() {
        return Err(Failure::no_batches());
    }
    let messages = batch::scan(text, gateway.limits.max_batch)?;
    for message in &messages {
        message.check_depth(gateway.limits.max_json_depth)?;
    }
    Ok((session, messages))
}
