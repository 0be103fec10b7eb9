//! Carries messages between a client and a server of different eras, as byte edits.
//!
//! Only what the eras disagree on is touched. The rest of a message, unknown fields included, goes
//! across as it is.

use std::ops::Range;

use crate::code;
use crate::json::{Fields, decode_str, encode_str, is_object};
use crate::message::{Message, ScanError};
use crate::meta;
use crate::params::Params;
use crate::splice::{OverlappingEdits, Splice};
use crate::version::Version;

/// The methods whose results tell a modern client how long they may be kept.
const CACHEABLE: &[&str] = &[
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "server/discover",
];

const RESULT_TYPE: &str = "resultType";
const COMPLETE: &str = "complete";

/// Why a message cannot be carried over to the other era.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbridgeable {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Edit(#[from] OverlappingEdits),
    #[error(
        "the server answered with a result of type \"{result_type}\", which the client's protocol version does not have"
    )]
    ResultType { result_type: String },
}

impl Unbridgeable {
    /// The JSON-RPC error code that says this to the client.
    pub fn code(&self) -> i64 {
        match self {
            Unbridgeable::Scan(error) => error.code(),
            Unbridgeable::Edit(_) => code::INTERNAL_ERROR,
            Unbridgeable::ResultType { .. } => code::NOT_BRIDGEABLE,
        }
    }
}

/// Gives a legacy client's request what a modern server wants to find in `_meta`.
///
/// `client_info` and `capabilities` are the JSON objects of the client's `initialize` request, or
/// what the gateway says in its place.
pub fn request_to_modern(
    request: &Message,
    client_info: &str,
    capabilities: &str,
    version: Version,
) -> Result<Message, Unbridgeable> {
    let version = encode_str(version.as_str());
    let added = [
        (meta::PROTOCOL_VERSION, version.as_str()),
        (meta::CLIENT_INFO, client_info),
        (meta::CLIENT_CAPABILITIES, capabilities),
    ];
    let Some(range) = Params::of(request)?.meta_range() else {
        let fields = added.map(|(key, value)| format!("{}:{value}", encode_str(key)));
        return Ok(request.with_param("_meta", &format!("{{{}}}", fields.join(",")))?);
    };
    let fields = Fields::scan(request.bytes(), range.clone())?;
    let mut splice = Splice::new(request.bytes());
    splice.remove_fields(&fields, |key| added.iter().any(|(name, _)| *name == key));
    for (key, value) in added {
        splice.insert_field(&range, key, value);
    }
    Ok(request.edited(splice)?)
}

/// Takes out of a modern client's request what a legacy server has learnt in `initialize`.
pub fn request_to_legacy(request: &Message) -> Result<Message, Unbridgeable> {
    let Some(range) = Params::of(request)?.meta_range() else {
        return Ok(request.clone());
    };
    let fields = Fields::scan(request.bytes(), range)?;
    let mut splice = Splice::new(request.bytes());
    splice.remove_fields(&fields, |key| meta::PER_REQUEST.contains(&key));
    Ok(request.edited(splice)?)
}

/// Gives a legacy server's answer to `method` what a modern client wants to find in it.
///
/// Errors that modern versions have renumbered get their present code.
pub fn result_to_modern(response: &Message, method: &str) -> Result<Message, Unbridgeable> {
    let Some(range) = object_at(response, response.result_range()) else {
        return error_to_modern(response);
    };
    let fields = Fields::scan(response.bytes(), range.clone())?;
    let mut splice = Splice::new(response.bytes());
    let complete = result_type(response, &fields)?.is_none_or(|text| text == COMPLETE);
    let mut add = |key: &str, value: &str| {
        if fields.get(key).is_none() {
            splice.insert_field(&range, key, value);
        }
    };
    add(RESULT_TYPE, "\"complete\"");
    if complete && CACHEABLE.contains(&method) {
        add("ttlMs", "0");
        add("cacheScope", "\"private\"");
    }
    Ok(response.edited(splice)?)
}

/// Takes out of a modern server's answer what a legacy client does not have.
pub fn result_to_legacy(response: &Message) -> Result<Message, Unbridgeable> {
    let Some(range) = object_at(response, response.result_range()) else {
        return Ok(response.clone());
    };
    let fields = Fields::scan(response.bytes(), range)?;
    if let Some(result_type) = result_type(response, &fields)?
        && result_type != COMPLETE
    {
        return Err(Unbridgeable::ResultType { result_type });
    }
    let bytes = response.bytes();
    let drops_structure = fields
        .get("structuredContent")
        .is_some_and(|range| !is_object(bytes, &range));
    let mut splice = Splice::new(bytes);
    splice.remove_fields(&fields, |key| {
        key == RESULT_TYPE || (drops_structure && key == "structuredContent")
    });
    Ok(response.edited(splice)?)
}

fn error_to_modern(response: &Message) -> Result<Message, Unbridgeable> {
    let Some(range) = object_at(response, response.error_range()) else {
        return Ok(response.clone());
    };
    let gone = response
        .rpc_error()
        .is_some_and(|error| error.code == code::RESOURCE_NOT_FOUND);
    let place = Fields::scan(response.bytes(), range)?
        .get("code")
        .filter(|_| gone);
    let Some(place) = place else {
        return Ok(response.clone());
    };
    let mut splice = Splice::new(response.bytes());
    splice.replace(place, code::INVALID_PARAMS.to_string());
    Ok(response.edited(splice)?)
}

/// What kind of result it is, as the server says; `None` if it does not.
fn result_type(response: &Message, fields: &Fields<'_>) -> Result<Option<String>, ScanError> {
    let range = fields
        .unique(RESULT_TYPE)
        .map_err(|error| ScanError::result(error.to_string()))?;
    let Some(range) = range else { return Ok(None) };
    let text = response.bytes().get(range).and_then(decode_str);
    let text = text.ok_or_else(|| ScanError::result("\"resultType\" has to be a string"))?;
    Ok(Some(text.into_owned()))
}

fn object_at(message: &Message, range: Option<Range<usize>>) -> Option<Range<usize>> {
    range.filter(|range| is_object(message.bytes(), range))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const INFO: &str = r#"{"name":"c","version":"1"}"#;
    const ADDED: &str = concat!(
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"#,
        r#""io.modelcontextprotocol/clientCapabilities":{}"#
    );

    fn message(text: &str) -> Message {
        Message::scan(Bytes::from(text.to_owned())).unwrap()
    }

    fn request(rest: &str) -> Message {
        message(&format!(
            r#"{{"jsonrpc":"2.0", "id":1.0,"method":"tools/call"{rest}}}"#
        ))
    }

    fn response(result: &str) -> Message {
        message(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#))
    }

    fn to_modern(request: &Message) -> Message {
        let bridged = request_to_modern(request, INFO, "{}", Version::LATEST_MODERN).unwrap();
        assert_eq!(Message::scan(bridged.bytes().clone()).unwrap(), bridged);
        bridged
    }

    #[test]
    fn puts_the_modern_keys_wherever_meta_belongs() {
        let meta = format!(r#"{{"_meta":{{{ADDED}}}"#);
        for (before, after) in [
            (r#","params":{}"#, format!("{meta}}}")),
            (r#","params":null"#, format!("{meta}}}")),
            (
                r#","params":{ "name":"x" }"#,
                format!(r#"{meta}, "name":"x" }}"#),
            ),
            (r#","params":{"_meta":{}}"#, format!("{meta}}}")),
            (
                r#","params":{"n":1, "_meta": { "a\u0062":[1 ,2] }}"#,
                format!(r#"{{"n":1, "_meta": {{{ADDED}, "a\u0062":[1 ,2] }}}}"#),
            ),
        ] {
            assert_eq!(
                to_modern(&request(before)).params().unwrap(),
                after,
                "{before}"
            );
        }
        assert_eq!(
            to_modern(&request("")).params().unwrap(),
            format!("{meta}}}")
        );
    }

    #[test]
    fn overwrites_what_a_legacy_client_put_under_the_modern_keys() {
        let forged =
            request(r#","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"9","x":1}}"#);
        let bridged = to_modern(&forged);
        assert_eq!(
            bridged.params().unwrap(),
            format!(r#"{{"_meta":{{{ADDED},"x":1}}}}"#)
        );
        let again = to_modern(&bridged);
        assert_eq!(again.params(), bridged.params());
    }

    #[test]
    fn takes_only_the_per_request_keys_back_out() {
        let original = request(
            r#","params":{"_meta":{"x":1 , "io.modelcontextprotocol/related-task":{} },"name":"a"}"#,
        );
        let there = to_modern(&original);
        assert_eq!(request_to_legacy(&there).unwrap(), original);
        let bare = request(r#","params":{"name":"a"}"#);
        assert_eq!(request_to_legacy(&bare).unwrap(), bare);
    }

    #[test]
    fn completes_a_legacy_result() {
        let bridged = |result: &str, method| {
            result_to_modern(&response(result), method)
                .unwrap()
                .result()
                .unwrap()
                .to_owned()
        };
        assert_eq!(bridged("{}", "tools/call"), r#"{"resultType":"complete"}"#);
        assert_eq!(
            bridged(r#"{ "tools":[]}"#, "tools/list"),
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private", "tools":[]}"#
        );
        let kept = r#"{"resultType":"input_required","ttl":1}"#;
        assert_eq!(bridged(kept, "resources/read"), kept);
        let kept = r#"{"resultType":"complete","ttlMs":9,"cacheScope":"public"}"#;
        assert_eq!(bridged(kept, "tools/list"), kept);
        assert_eq!(bridged("null", "ping"), "null");
    }

    #[test]
    fn renumbers_a_missing_resource_for_modern_clients() {
        let gone = message(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no","data":{ }}}"#,
        );
        let bridged = result_to_modern(&gone, "resources/read").unwrap();
        assert_eq!(
            bridged.error(),
            Some(r#"{"code":-32602,"message":"no","data":{ }}"#)
        );
        let other = message(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#);
        assert_eq!(result_to_modern(&other, "resources/read").unwrap(), other);
    }

    #[test]
    fn strips_a_modern_result_for_legacy_clients() {
        let bridged = |result| {
            result_to_legacy(&response(result))
                .unwrap()
                .result()
                .map(String::from)
        };
        assert_eq!(
            bridged(r#"{"resultType":"complete","content":[],"structuredContent":[1]}"#).unwrap(),
            r#"{"content":[]}"#
        );
        assert_eq!(
            bridged(r#"{"structuredContent":{"a":1},"resultType":"complete"}"#).unwrap(),
            r#"{"structuredContent":{"a":1}}"#
        );
        assert_eq!(bridged(r#"{"resultType":"complete"}"#).unwrap(), "{}");
    }

    #[test]
    fn says_which_result_a_legacy_client_cannot_have() {
        let error = result_to_legacy(&response(r#"{"resultType":"input_required"}"#)).unwrap_err();
        assert_eq!(error.code(), code::NOT_BRIDGEABLE);
        assert!(error.to_string().contains("\"input_required\""), "{error}");
    }
}
