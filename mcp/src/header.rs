//! The HTTP headers of MCP: their names, how values are encoded, and that they match the body.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::code;
use crate::message::{Kind, Message};
use crate::meta::RequestMeta;
use crate::params::Params;
use crate::version::Version;

mod params;

pub use params::{InvalidAnnotation, ParamError, ParamHeaders, ParamMismatch};

pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What the headers begin with that repeat a call's arguments.
pub const MCP_PARAM_PREFIX: &str = "mcp-param-";

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// Headers that are missing, unreadable or at odds with the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderMismatch {
    #[error("Header mismatch: the {header} header is missing")]
    Missing { header: Cow<'static, str> },
    #[error("Header mismatch: the {header} header appears more than once")]
    Repeated { header: Cow<'static, str> },
    #[error("Header mismatch: the {header} header's value {problem}")]
    Malformed {
        header: Cow<'static, str>,
        problem: ValueError,
    },
    #[error("Header mismatch: {header} header value '{value}' does not match body value '{body}'")]
    Differs {
        header: Cow<'static, str>,
        value: String,
        body: String,
    },
    #[error("Header mismatch: {header} header value '{value}' has no counterpart in the body")]
    Unmatched {
        header: Cow<'static, str>,
        value: String,
    },
    #[error("Header mismatch: what the {header} header repeats cannot be told from the body")]
    Ambiguous { header: Cow<'static, str> },
}

impl HeaderMismatch {
    /// The JSON-RPC error code that says this to the client.
    pub fn code(&self) -> i64 {
        code::HEADER_MISMATCH
    }
}

/// Why a header's value cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("contains characters that a header cannot carry")]
    Characters,
    #[error("is marked as Base64 but is not")]
    Base64,
    #[error("is Base64 of something that is not UTF-8")]
    Utf8,
}

/// Writes a value as a header can carry it, in Base64 where it has to be.
#[expect(
    clippy::expect_used,
    reason = "plain values are checked and Base64 is ASCII"
)]
pub fn encode_value(text: &str) -> HeaderValue {
    let value = if is_plain(text) {
        HeaderValue::from_str(text)
    } else {
        HeaderValue::try_from(format!(
            "{SENTINEL_START}{}{SENTINEL_END}",
            STANDARD.encode(text)
        ))
    };
    value.expect("an encoded value is a valid header value")
}

/// Reads a value that may be encoded as [`encode_value`] does.
pub fn decode_value(value: &HeaderValue) -> Result<Cow<'_, str>, ValueError> {
    let text = value.to_str().map_err(|_| ValueError::Characters)?;
    let Some(encoded) = sentinel_content(text) else {
        return Ok(Cow::Borrowed(text));
    };
    let decoded = STANDARD.decode(encoded).map_err(|_| ValueError::Base64)?;
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| ValueError::Utf8)
}

/// The parameter that the `Mcp-Name` header of a method repeats, which may be missing; `None` if
/// the method has no such header.
pub fn named_parameter<'a>(method: &str, params: &'a Params) -> Option<Option<&'a str>> {
    match method {
        "tools/call" | "prompts/get" => Some(params.name()),
        "resources/read" => Some(params.uri()),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(params.task_id()),
        _ => None,
    }
}

/// Whether there are headers that repeat a call's arguments.
pub fn repeats_params(headers: &HeaderMap) -> bool {
    let mut names = headers.keys();
    names.any(|name| name.as_str().starts_with(MCP_PARAM_PREFIX))
}

/// The headers that a modern server wants to see with `message`.
pub fn standard_headers(
    message: &Message,
    params: &Params,
    version: Version,
) -> Result<HeaderMap, ValueError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        MCP_PROTOCOL_VERSION,
        HeaderValue::from_static(version.as_str()),
    );
    if let Some(method) = message.method() {
        // There is no other way of writing it, and a header may hold bytes that are no text to others.
        let value = HeaderValue::from_str(method).ok();
        let value = value.filter(|_| arrives_as_it_is(method));
        headers.insert(MCP_METHOD, value.ok_or(ValueError::Characters)?);
        if let Some(Some(name)) = named_parameter(method, params) {
            headers.insert(MCP_NAME, encode_value(name));
        }
    }
    Ok(headers)
}

/// Checks the headers of a modern client's POST against its body.
///
/// Which headers a notification must have is not defined: those it has are checked.
pub fn check_request(
    headers: &HeaderMap,
    message: &Message,
    params: &Params,
    meta: &RequestMeta,
) -> Result<(), HeaderMismatch> {
    let required = message.kind() == Kind::Request;
    let version = Standard {
        name: "MCP-Protocol-Version",
        encoded: false,
        required,
    };
    version.check(headers, &MCP_PROTOCOL_VERSION, meta.protocol_version())?;
    let method = Standard {
        name: "Mcp-Method",
        encoded: false,
        required,
    };
    method.check(headers, &MCP_METHOD, message.method())?;
    if let Some(name) = message
        .method()
        .and_then(|method| named_parameter(method, params))
    {
        // Where the body has no name either, that is what is wrong with the request.
        let standard = Standard {
            name: "Mcp-Name",
            encoded: true,
            required: required && name.is_some(),
        };
        standard.check(headers, &MCP_NAME, name)?;
    }
    Ok(())
}

/// A header that repeats a value of the body.
struct Standard {
    /// As the specification spells it.
    name: &'static str,
    /// Whether the value may be in Base64.
    encoded: bool,
    required: bool,
}

impl Standard {
    fn check(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        body: Option<&str>,
    ) -> Result<(), HeaderMismatch> {
        let Some(value) = single_value(headers, name, self.name, self.encoded)? else {
            return if self.required {
                Err(HeaderMismatch::Missing {
                    header: self.name.into(),
                })
            } else {
                Ok(())
            };
        };
        match body {
            Some(body) if body == value => Ok(()),
            Some(body) => Err(HeaderMismatch::Differs {
                header: self.name.into(),
                value: value.into_owned(),
                body: body.to_owned(),
            }),
            None => Err(HeaderMismatch::Unmatched {
                header: self.name.into(),
                value: value.into_owned(),
            }),
        }
    }
}

/// The value of a header that there is at most one of, decoded if it may be `encoded`; `spelled`
/// is its name in errors.
fn single_value<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    spelled: impl Into<Cow<'static, str>>,
    encoded: bool,
) -> Result<Option<Cow<'a, str>>, HeaderMismatch> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // Readers differ in whether they take the first or the last of several.
    if values.next().is_some() {
        return Err(HeaderMismatch::Repeated {
            header: spelled.into(),
        });
    }
    let value = if encoded {
        decode_value(value)
    } else {
        let text = value.to_str().map(Cow::Borrowed);
        text.map_err(|_| ValueError::Characters)
    };
    value
        .map(Some)
        .map_err(|problem| HeaderMismatch::Malformed {
            header: spelled.into(),
            problem,
        })
}

/// Whether a value arrives unchanged when it is written into a header as it is.
fn is_plain(text: &str) -> bool {
    arrives_as_it_is(text) && sentinel_content(text).is_none()
}

fn arrives_as_it_is(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && !text.starts_with([' ', '\t'])
        && !text.ends_with([' ', '\t'])
}

fn sentinel_content(text: &str) -> Option<&str> {
    text.strip_prefix(SENTINEL_START)?
        .strip_suffix(SENTINEL_END)
}

#[cfg(test)]
mod tests;
