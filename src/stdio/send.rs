//! How messages go to the gateway, and what the client is told where that fails.

use bytes::Bytes;
use gateway_mcp::client::{ClientError, Relayed};
use gateway_mcp::header::{MCP_PROTOCOL_VERSION, standard_headers};
use gateway_mcp::message::{Kind, Message};
use gateway_mcp::params::Params;
use gateway_mcp::version::Version;
use gateway_mcp::{author, code};
use http::{HeaderMap, HeaderValue, StatusCode};
use tracing::debug;

use super::keeper::{Link, NoGateway};
use super::session::Headers;

/// How often in a row a gateway that should be there may not be reached.
const ATTEMPTS: u32 = 50;

/// How much of an answer that is no message is repeated.
const EXCERPT_CHARS: usize = 300;

/// Why a message has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    NoGateway(#[from] NoGateway),
    #[error(
        "the gateway went away while this was under way: whether it was carried out is not known"
    )]
    Lost,
    #[error("the gateway gave no usable answer: {0}")]
    Unusable(String),
}

impl SendError {
    fn of(error: &ClientError) -> Self {
        match error {
            ClientError::StreamLost { .. } => Self::Lost,
            error => Self::Unusable(error.to_string()),
        }
    }

    /// What the client is told.
    pub(super) fn to_message(&self, id: &str) -> Message {
        let code = match self {
            Self::NoGateway(_) | Self::Lost => code::SERVER_UNAVAILABLE,
            Self::Unusable(_) => code::INTERNAL_ERROR,
        };
        author::error(Some(id), code, &self.to_string(), None)
    }
}

/// How a message is sent.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// With the headers that repeat what it says itself.
    Modern(HeaderMap),
    /// In the client's session, if it has opened one.
    Legacy(Option<Headers>),
}

impl Manner {
    pub(super) fn of(message: &Message, session: Option<Headers>) -> Self {
        modern_headers(message).map_or(Self::Legacy(session), Self::Modern)
    }

    pub(super) fn is_modern(&self) -> bool {
        matches!(self, Self::Modern(_))
    }

    pub(super) fn headers(&self) -> HeaderMap {
        match self {
            Self::Modern(headers) => headers.clone(),
            Self::Legacy(session) => session.as_deref().cloned().unwrap_or_default(),
        }
    }
}

/// The headers of a message that names a version; one that does not is legacy.
fn modern_headers(message: &Message) -> Option<HeaderMap> {
    let params = Params::of(message).ok()?;
    params.meta_range()?;
    let meta = params.meta().ok()?;
    let version = meta.protocol_version()?;
    let headers = standard_headers(message, &params, Version::LATEST_MODERN);
    let mut headers = headers.unwrap_or_default();
    // Whether that version is served is the gateway's to say.
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert(MCP_PROTOCOL_VERSION, version);
    }
    Some(headers)
}

/// Posts a message, to the next gateway if the last one is gone, but never twice.
pub(super) async fn post(
    link: &Link,
    headers: &HeaderMap,
    text: &Bytes,
) -> Result<Relayed, SendError> {
    for _ in 0..ATTEMPTS {
        link.ready().await?;
        match link.relay.post(headers.clone(), text.clone()).await {
            Ok(relayed) => return Ok(relayed),
            Err(error) if error.is_before_send() => {
                debug!(%error, "the gateway is missed");
                link.miss();
                link.pause().await;
            }
            Err(error) => {
                debug!(%error, "a message was lost");
                link.miss();
                return Err(SendError::of(&error));
            }
        }
    }
    Err(NoGateway.into())
}

/// The next message of an answer.
pub(super) async fn next(link: &Link, relayed: &mut Relayed) -> Result<Option<Bytes>, SendError> {
    let next = relayed.next().await;
    next.map_err(|error| {
        debug!(%error, "an answer was lost");
        link.miss();
        SendError::of(&error)
    })
}

/// Reads what the gateway said. An error that names no request is about `id`.
pub(super) fn read(text: Bytes, status: StatusCode, id: Option<&str>) -> Message {
    match (Message::scan(text.clone()), id) {
        (Ok(message), Some(id)) if message.kind() == Kind::Response && message.id().is_none() => {
            message.with_id(id)
        }
        (Ok(message), _) => message,
        (Err(_), id) => {
            let said = String::from_utf8_lossy(&text);
            let said: String = said.trim().chars().take(EXCERPT_CHARS).collect();
            let error = SendError::Unusable(format!("status {status}: {said}"));
            error.to_message(id.unwrap_or("null"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str) -> Message {
        Message::scan(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn what_a_modern_request_says_is_repeated_in_its_headers() {
        let call = message(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"1900-01-01"}}}"#,
        );
        let manner = Manner::of(&call, None);
        let headers = manner.headers();
        assert!(manner.is_modern());
        assert_eq!(headers["mcp-protocol-version"], "1900-01-01");
        assert_eq!(headers["mcp-method"], "tools/call");
        assert_eq!(headers["mcp-name"], "x");
        let list = message(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        assert!(!Manner::of(&list, None).is_modern());
    }

    #[test]
    fn whatever_the_gateway_says_is_an_answer_to_the_request() {
        let said = |text: &'static str| {
            let text = Bytes::from_static(text.as_bytes());
            let message = read(text, StatusCode::FORBIDDEN, Some("7"));
            String::from_utf8(message.into_bytes().to_vec()).unwrap()
        };
        assert_eq!(
            said(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}"#),
            r#"{"id":7,"jsonrpc":"2.0","error":{"code":1,"message":"x"}}"#
        );
        let text = said("not served here\n");
        assert!(text.contains("403 Forbidden: not served here"), "{text}");
        assert!(text.contains(r#""id":7"#), "{text}");
    }
}
