//! The legacy session of the client, which outlives gateways.

use std::sync::Arc;

use bytes::Bytes;
use gateway_mcp::author;
use gateway_mcp::client::Relayed;
use gateway_mcp::header::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use gateway_mcp::message::Message;
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use gateway_mcp::version::Version;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Mutex, watch};
use tracing::info;

use super::keeper::Link;
use super::send::post;

/// The headers of one session.
pub(super) type Headers = Arc<HeaderMap>;

/// The session that the client is in; `None`: it has opened none.
#[derive(Debug, Default)]
pub(super) struct Session {
    headers: watch::Sender<Option<Headers>>,
    /// How the client opened it, should it have to be opened once more.
    opening: Mutex<Option<Bytes>>,
}

impl Session {
    pub(super) fn headers(&self) -> Option<Headers> {
        self.headers.borrow().clone()
    }

    /// Begins with what the gateway has answered to `opening`.
    pub(super) async fn begin(&self, opening: &Message, relayed: &Relayed, answer: &Message) {
        if let Some(headers) = headers_of(relayed, answer) {
            *self.opening.lock().await = Some(opening.bytes().clone());
            self.headers.send_replace(Some(Arc::new(headers)));
        }
    }

    /// Opens a session in the place of one that the gateway does not know any more: a client over
    /// standard streams knows of none, and could not open another.
    pub(super) async fn renew(&self, link: &Link, stale: &Headers) -> Option<Headers> {
        let opening = self.opening.lock().await;
        // Somebody else may have done so meanwhile.
        if let Some(headers) = self.headers().filter(|known| !Arc::ptr_eq(known, stale)) {
            return Some(headers);
        }
        let none = HeaderMap::new();
        let mut relayed = post(link, &none, opening.as_ref()?).await.ok()?;
        let answer = Message::scan(relayed.next().await.ok()??).ok()?;
        let headers = Arc::new(headers_of(&relayed, &answer)?);
        let initialized = author::notification("notifications/initialized", None);
        post(link, &headers, initialized.bytes()).await.ok()?;
        self.headers.send_replace(Some(Arc::clone(&headers)));
        info!("the session had ended; the client goes on in another");
        Some(headers)
    }
}

/// What the messages of a session carry that was just opened.
fn headers_of(relayed: &Relayed, answer: &Message) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(MCP_SESSION_ID, relayed.session_id()?.clone());
    let bytes = answer.bytes();
    let place = [Field("result"), Field("protocolVersion")];
    let place = find(bytes, answer.object_range(), &place).pop()?;
    let version: String = serde_json::from_slice(bytes.get(place)?).ok()?;
    let version = HeaderValue::from_static(Version::parse(&version)?.as_str());
    headers.insert(MCP_PROTOCOL_VERSION, version);
    Some(headers)
}
