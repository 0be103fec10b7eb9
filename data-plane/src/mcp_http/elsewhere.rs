//! What another replica answers, because it keeps what the client's session needs for that.

use bytes::Bytes;
use gateway_mcp::message::Message;
use gateway_mcp::version::Era;
use http::{HeaderMap, Method, Response};

use super::failed;
use crate::Gateway;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::fleet::{self, Errand, Fleet, Way};
use crate::session::Session;

/// The answer of the replica at which a message's session is at home, where that is another one
/// and the message needs what is kept there.
pub(super) async fn message(
    gateway: &Gateway,
    (endpoint, headers): (&Endpoint, &HeaderMap),
    session: &Session,
    message: &Message,
    way: Way,
) -> Option<Response<ReplyBody>> {
    // An answer belongs to whoever asked, wherever the session is at home by now.
    let asker = fleet::asker(message);
    let fleet = match asker {
        Some(_) => gateway.fleet.as_ref().filter(|_| way != Way::HandedOn)?,
        None => fleet::away(gateway, &endpoint.tenant, session, way)?,
    };
    if !fleet::is_kept_at_home(gateway, endpoint, session, message) {
        return None;
    }
    let errand = Errand {
        method: Method::POST,
        endpoint,
        headers,
        body: message.bytes().clone(),
        id: message.id(),
        asker,
    };
    handed_on(gateway, fleet, session, &errand).await
}

/// The same for a whole batch: what one of its messages needs may be what another one makes.
pub(super) async fn batch(
    gateway: &Gateway,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    session: &Session,
    (body, way): (Bytes, Way),
) -> Option<Response<ReplyBody>> {
    let fleet = fleet::away(gateway, &endpoint.tenant, session, way)?;
    let errand = Errand {
        method: Method::POST,
        endpoint,
        headers,
        body,
        id: None,
        asker: None,
    };
    handed_on(gateway, fleet, session, &errand).await
}

/// The same for a stream. One to come back to may be at any replica, even where its session is at
/// home here.
pub(super) async fn stream(
    gateway: &Gateway,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    session: &Session,
    way: Way,
) -> Option<Response<ReplyBody>> {
    let fleet = gateway.fleet.as_ref().filter(|_| way != Way::HandedOn)?;
    let errand = Errand {
        method: Method::GET,
        endpoint,
        headers,
        body: Bytes::new(),
        id: None,
        asker: None,
    };
    handed_on(gateway, fleet, session, &errand).await
}

async fn handed_on(
    gateway: &Gateway,
    fleet: &Fleet,
    session: &Session,
    errand: &Errand<'_>,
) -> Option<Response<ReplyBody>> {
    // On the heap, because most messages are not.
    let answered = Box::pin(fleet::hand_on(gateway, fleet, session, errand)).await?;
    Some(answered.unwrap_or_else(|failure| failed(&failure, errand.id, Era::Legacy)))
}
