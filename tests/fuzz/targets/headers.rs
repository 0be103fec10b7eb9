//! The headers of a request are accepted exactly if they say what its body says.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway_mcp::header::{check_request, decode_value, encode_value, standard_headers};
use gateway_mcp::{Kind, Message, Params, Version, meta};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    check_round_trip(&String::from_utf8_lossy(data));
    // Lines of headers, a blank line, the body.
    let blank = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = blank.map_or((&b""[..], data), |at| (&data[..at], &data[at + 2..]));
    let headers = headers_of(head);
    let Ok(message) = Message::scan(Bytes::copy_from_slice(body)) else {
        return;
    };
    let Some((params, request_meta)) = Params::of(&message)
        .ok()
        .and_then(|params| Some((params.clone(), params.meta().ok()?)))
    else {
        return;
    };
    let checked = check_request(&headers, &message, &params, &request_meta);
    // Numbers that no machine type holds have no parsed form.
    if let Ok(body) = serde_json::from_slice(message.bytes()) {
        let agree = agree(&headers, &body, message.kind() == Kind::Request);
        assert_eq!(checked.is_ok(), agree, "{checked:?}");
    }
    let latest = Version::LATEST_MODERN;
    if request_meta.protocol_version() == Some(latest.as_str())
        && let Ok(written) = standard_headers(&message, &params, latest)
    {
        let checked = check_request(&written, &message, &params, &request_meta);
        assert_eq!(checked, Ok(()), "the gateway's own headers are refused");
    }
});

fn headers_of(head: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value)
            && let Err(error) = headers.try_append(name, value)
        {
            panic!("a small map takes every header: {error}");
        }
    }
    headers
}

/// Whether headers and body agree, by the rules one by one.
fn agree(headers: &HeaderMap, body: &Value, is_request: bool) -> bool {
    let params = body.get("params").unwrap_or(&Value::Null);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let version = text(
        params
            .get("_meta")
            .and_then(|meta| meta.get(meta::PROTOCOL_VERSION)),
    );
    let method = text(body.get("method"));
    let parameter = match method.as_deref() {
        Some("tools/call" | "prompts/get") => Some("name"),
        Some("resources/read") => Some("uri"),
        Some("tasks/get" | "tasks/update" | "tasks/cancel") => Some("taskId"),
        _ => None,
    };
    let name = parameter.and_then(|parameter| text(params.get(parameter)));
    let is_named = is_request && name.is_some();
    says(headers, "mcp-protocol-version", version, false, is_request)
        && says(headers, "mcp-method", method, false, is_request)
        && (parameter.is_none() || says(headers, "mcp-name", name, true, is_named))
}

fn says(
    headers: &HeaderMap,
    name: &str,
    body: Option<String>,
    may_be_encoded: bool,
    is_required: bool,
) -> bool {
    let values: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let [value] = values[..] else {
        return values.is_empty() && !is_required;
    };
    let Some(body) = body else {
        return false;
    };
    let is_encoded = value.len() >= "=?base64??=".len()
        && value.starts_with(b"=?base64?")
        && value.ends_with(b"?=");
    if is_encoded && may_be_encoded {
        return value == format!("=?base64?{}?=", STANDARD.encode(body)).as_bytes();
    }
    value.is_ascii() && value == body.as_bytes()
}

/// A value that is written is read as it was, also when the white space around it gets lost.
fn check_round_trip(text: &str) {
    let value = encode_value(text);
    assert_eq!(decode_value(&value).as_deref(), Ok(text));
    assert_eq!(value.as_bytes().trim_ascii(), value.as_bytes());
    assert!(value.to_str().is_ok());
}
