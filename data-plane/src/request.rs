//! A client's request as the pipeline sees it, and the era in which the client speaks.

use std::sync::Arc;

use gateway_core::{Deadline, RequestId};
use gateway_mcp::header::{self, MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use gateway_mcp::message::Message;
use gateway_mcp::meta::RequestMeta;
use gateway_mcp::params::Params;
use gateway_mcp::version::{Era, Version};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason};
use crate::mcp_http::Space;
use crate::session::{Session, Sessions};

/// One JSON-RPC request of a client, with all that is known of it before anybody is asked.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    pub(crate) id: RequestId,
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Arc<Message>,
    pub(crate) params: Params,
    pub(crate) dialect: Dialect,
    pub(crate) deadline: Deadline,
    /// What the message takes in memory.
    #[expect(dead_code, reason = "held for as long as the request is")]
    pub(crate) space: Space,
    /// Whether the headers that repeat a call's arguments are the gateway's to write, because the
    /// client has none.
    pub(crate) lacks_param_headers: bool,
}

/// Marks an HTTP request that came by the control socket, perhaps for a client without headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByControl;

impl ClientRequest {
    pub(crate) fn method(&self) -> &str {
        self.message.method().unwrap_or_default()
    }
}

/// How a client speaks, which it shows anew with every request.
#[derive(Debug, Clone)]
pub(crate) enum Dialect {
    /// Opens a legacy session.
    Opening,
    /// Speaks within a legacy session.
    Legacy(Session),
    /// Says everything with the request itself.
    Modern(Version),
}

impl Dialect {
    pub(crate) fn era(&self) -> Era {
        match self {
            Self::Opening | Self::Legacy(_) => Era::Legacy,
            Self::Modern(_) => Era::Modern,
        }
    }

    /// The version in which the client speaks; of one that only opens, the latest.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Opening => Version::LATEST_LEGACY,
            Self::Legacy(session) => session.version,
            Self::Modern(version) => *version,
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Legacy(session) => Some(session),
            Self::Opening | Self::Modern(_) => None,
        }
    }
}

/// Which era a message belongs to, before anything is checked: the specification's rule is that
/// the server follows how the client opens (2026-07-28, versioning).
pub(crate) fn era_of(headers: &HeaderMap, message: &Message, meta: Option<&RequestMeta>) -> Era {
    if meta.is_some_and(|meta| meta.protocol_version().is_some()) {
        return Era::Modern;
    }
    let named = headers
        .get(MCP_PROTOCOL_VERSION)
        .and_then(|value| value.to_str().ok());
    match named.map(Version::parse) {
        Some(Some(version)) => version.era(),
        // A version that nobody knows: a client with a session has been here before.
        Some(None) if headers.contains_key(MCP_SESSION_ID) => Era::Legacy,
        Some(None) if message.method() == Some("initialize") => Era::Legacy,
        Some(None) => Era::Modern,
        None => Era::Legacy,
    }
}

/// Reads how the client speaks and checks what its version demands of headers and body.
pub(crate) fn read_dialect(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    message: &Message,
    params: &Params,
    sessions: &Sessions,
) -> Result<Dialect, Failure> {
    let meta = params.meta_range().map(|_| params.meta()).transpose()?;
    match era_of(headers, message, meta.as_ref()) {
        Era::Modern => read_modern(headers, message, params, meta.as_ref()),
        Era::Legacy if message.method() == Some("initialize") => Ok(Dialect::Opening),
        Era::Legacy => find_session(endpoint, headers, sessions).map(Dialect::Legacy),
    }
}

fn read_modern(
    headers: &HeaderMap,
    message: &Message,
    params: &Params,
    meta: Option<&RequestMeta>,
) -> Result<Dialect, Failure> {
    let Some(meta) = meta else {
        return Err(Failure::new(
            Reason::IncompleteMeta,
            "params._meta is missing: it must hold io.modelcontextprotocol/protocolVersion and /clientCapabilities",
        ));
    };
    let requested = meta
        .require_modern()
        .map_err(|error| Failure::new(Reason::IncompleteMeta, error.to_string()))?;
    header::check_request(headers, message, params, meta)
        .map_err(|error| Failure::new(Reason::HeaderMismatch, error.to_string()))?;
    match Version::parse(requested) {
        Some(version) if version.is_served() && version.era() == Era::Modern => {
            Ok(Dialect::Modern(version))
        }
        _ => Err(Failure::unsupported_version(requested)),
    }
}

/// Checks a notification as far as its era asks for anything. In the modern era only requests
/// have to say everything themselves.
pub(crate) fn check_notification(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    message: &Message,
    sessions: &Sessions,
) -> Result<Option<Session>, Failure> {
    let params = Params::of(message)?;
    let meta = params.meta_range().map(|_| params.meta()).transpose()?;
    if era_of(headers, message, meta.as_ref()) == Era::Legacy {
        return find_session(endpoint, headers, sessions).map(Some);
    }
    let meta = meta.unwrap_or_default();
    if meta.protocol_version().is_some() {
        header::check_request(headers, message, &params, &meta)
            .map_err(|error| Failure::new(Reason::HeaderMismatch, error.to_string()))?;
    }
    let named = single(headers, &MCP_PROTOCOL_VERSION)?.map(text_of);
    let named = named.as_deref().or(meta.protocol_version());
    let version = named.and_then(Version::parse);
    if version.is_some_and(|version| version.is_served() && version.era() == Era::Modern) {
        Ok(None)
    } else {
        Err(Failure::unsupported_version(named.unwrap_or_default()))
    }
}

/// The session that a legacy message names; another tenant's is as unknown as a forged one. What
/// was negotiated in it stands, whichever of the served versions the header names.
pub(crate) fn find_session(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    sessions: &Sessions,
) -> Result<Session, Failure> {
    if let Some(version) = single(headers, &MCP_PROTOCOL_VERSION)? {
        let known = version.to_str().ok().and_then(Version::parse);
        if !known.is_some_and(|version| version.is_served() && version.era() == Era::Legacy) {
            return Err(Failure::unsupported_version(&text_of(version)));
        }
    }
    let Some(id) = single(headers, &MCP_SESSION_ID)? else {
        return Err(Failure::new(
            Reason::SessionMissing,
            "the Mcp-Session-Id header is missing: send initialize first",
        ));
    };
    let session = id
        .to_str()
        .ok()
        .and_then(|id| sessions.find(&endpoint.tenant, id));
    session.ok_or_else(unknown_session)
}

/// A header that says one thing. Of several, whoever stands in between may have read another one.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Failure> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        let message = format!("the {name} header appears more than once");
        return Err(Failure::new(Reason::Malformed, message));
    }
    Ok(value)
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// What a client is told of a session that is not, or not its own.
pub(crate) fn unknown_session() -> Failure {
    Failure::new(
        Reason::SessionUnknown,
        "session not found: send initialize again",
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn era(headers: &[(&'static str, &str)], body: &str) -> Era {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let message = Message::scan(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let params = Params::of(&message).unwrap();
        let meta = params.meta_range().map(|_| params.meta().unwrap());
        era_of(&map, &message, meta.as_ref())
    }

    #[test]
    fn the_way_a_client_opens_decides_the_era() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let open = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let version = "mcp-protocol-version";
        let session = ("mcp-session-id", "x");
        assert_eq!(era(&[], call), Era::Legacy);
        assert_eq!(era(&[], open), Era::Legacy);
        assert_eq!(era(&[(version, "2025-11-25")], call), Era::Legacy);
        assert_eq!(era(&[(version, "2026-07-28")], call), Era::Modern);
        assert_eq!(era(&[(version, "1900-01-01")], call), Era::Modern);
        assert_eq!(era(&[(version, "1900-01-01"), session], call), Era::Legacy);
        assert_eq!(era(&[], modern), Era::Modern);
        assert_eq!(
            era(&[session], modern),
            Era::Modern,
            "a modern request has no session"
        );
    }
}
