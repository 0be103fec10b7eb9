//! The keys that the protocol reserves in `_meta`, and what a request says under them.

use std::ops::Range;

use bytes::Bytes;

use crate::json::{Fields, Text, is_id, is_null, is_object, str_at};
use crate::message::ScanError;

pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// In results: what the server says of itself.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// In notifications: the id of the `subscriptions/listen` request they belong to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
pub const PROGRESS_TOKEN: &str = "progressToken";

/// The keys with which a modern request says what a legacy session says once, in `initialize`.
pub const PER_REQUEST: &[&str] = &[
    PROTOCOL_VERSION,
    CLIENT_INFO,
    CLIENT_CAPABILITIES,
    LOG_LEVEL,
];

/// What a request's `_meta` says to the protocol.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    source: Bytes,
    protocol_version: Option<Text>,
    client_info: Option<Range<usize>>,
    client_capabilities: Option<Range<usize>>,
    log_level: Option<Text>,
    progress_token: Option<Range<usize>>,
}

impl RequestMeta {
    /// Reads the `_meta` object that stands at `range` of a message.
    pub fn read(source: &Bytes, range: Range<usize>) -> Result<RequestMeta, ScanError> {
        let fields = Fields::scan(source, range)?;
        let found = fields.unique_of([
            PROTOCOL_VERSION,
            CLIENT_INFO,
            CLIENT_CAPABILITIES,
            LOG_LEVEL,
            PROGRESS_TOKEN,
        ]);
        let found = found.map_err(|error| ScanError::params(error.to_string()))?;
        let [version, info, capabilities, level, token] =
            found.map(|place| place.filter(|range| !is_null(source, range)));
        let typed = |place, key, expected, fits| typed(source, place, key, expected, fits);
        Ok(RequestMeta {
            protocol_version: text(source, version, PROTOCOL_VERSION)?,
            client_info: typed(info, CLIENT_INFO, "an object", is_object)?,
            client_capabilities: typed(capabilities, CLIENT_CAPABILITIES, "an object", is_object)?,
            log_level: text(source, level, LOG_LEVEL)?,
            progress_token: typed(token, PROGRESS_TOKEN, "a string or a number", is_id)?,
            source: source.clone(),
        })
    }

    pub fn protocol_version(&self) -> Option<&str> {
        self.protocol_version
            .as_ref()
            .map(|text| text.as_str(&self.source))
    }

    /// The client's name and version, as a JSON object.
    pub fn client_info(&self) -> Option<&str> {
        self.raw(self.client_info.as_ref())
    }

    /// What the client can do for the server during this request, as a JSON object.
    pub fn client_capabilities(&self) -> Option<&str> {
        self.raw(self.client_capabilities.as_ref())
    }

    pub fn log_level(&self) -> Option<&str> {
        self.log_level
            .as_ref()
            .map(|text| text.as_str(&self.source))
    }

    /// The token, as JSON: a string or a number.
    pub fn progress_token(&self) -> Option<&str> {
        self.raw(self.progress_token.as_ref())
    }

    /// Refuses a modern request that lacks a required key; else gives its protocol version.
    pub fn require_modern(&self) -> Result<&str, ScanError> {
        let Some(version) = self.protocol_version() else {
            return Err(missing(PROTOCOL_VERSION));
        };
        if self.client_capabilities.is_none() {
            return Err(missing(CLIENT_CAPABILITIES));
        }
        Ok(version)
    }

    fn raw(&self, range: Option<&Range<usize>>) -> Option<&str> {
        range.map(|range| str_at(&self.source, range))
    }
}

fn missing(key: &str) -> ScanError {
    ScanError::params(format!(
        "the required key \"{key}\" is missing from \"_meta\""
    ))
}

fn text(source: &[u8], place: Option<Range<usize>>, key: &str) -> Result<Option<Text>, ScanError> {
    let is_string = |source: &[u8], range: &Range<usize>| source.get(range.start) == Some(&b'"');
    let range = typed(source, place, key, "a string", is_string)?;
    Ok(range.and_then(|range| Text::read(source, range)))
}

fn typed(
    source: &[u8],
    place: Option<Range<usize>>,
    key: &str,
    expected: &str,
    fits: fn(&[u8], &Range<usize>) -> bool,
) -> Result<Option<Range<usize>>, ScanError> {
    if place.as_ref().is_some_and(|range| !fits(source, range)) {
        return Err(ScanError::params(format!(
            "\"{key}\" in \"_meta\" has to be {expected}"
        )));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(text: &str) -> Result<RequestMeta, ScanError> {
        let source = Bytes::from(text.to_owned());
        RequestMeta::read(&source, 0..source.len())
    }

    #[test]
    fn reads_what_a_modern_request_says() {
        let meta = meta(
            r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},
                "io.modelcontextprotocol/clientCapabilities":{ "sampling":{} },
                "io.modelcontextprotocol/logLevel":"debug","progressToken":"p","traceparent":"t"}"#,
        )
        .unwrap();
        assert_eq!(meta.require_modern().unwrap(), "2026-07-28");
        assert_eq!(meta.client_info(), Some(r#"{"name":"c","version":"1"}"#));
        assert_eq!(meta.client_capabilities(), Some(r#"{ "sampling":{} }"#));
        assert_eq!(
            (meta.log_level(), meta.progress_token()),
            (Some("debug"), Some("\"p\""))
        );
    }

    #[test]
    fn names_the_required_key_that_is_missing() {
        let error = RequestMeta::default().require_modern().unwrap_err();
        assert!(error.to_string().contains(PROTOCOL_VERSION), "{error}");
        let only_version = meta(r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#);
        let error = only_version.unwrap().require_modern().unwrap_err();
        assert!(error.to_string().contains(CLIENT_CAPABILITIES), "{error}");
        assert_eq!(error.code(), crate::code::INVALID_PARAMS);
    }

    #[test]
    fn refuses_keys_of_a_wrong_type() {
        for text in [
            r#"{"io.modelcontextprotocol/protocolVersion":20260728}"#,
            r#"{"io.modelcontextprotocol/clientCapabilities":[]}"#,
            r#"{"progressToken":{}}"#,
        ] {
            assert_eq!(meta(text).unwrap_err().code(), crate::code::INVALID_PARAMS);
        }
    }
}
