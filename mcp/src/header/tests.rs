use bytes::Bytes;
use proptest::prelude::*;

use super::*;

#[test]
fn encodes_the_specifications_examples() {
    for (text, encoded) in [
        ("us-west1", "us-west1"),
        ("", ""),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ] {
        assert_eq!(encode_value(text), encoded);
        assert_eq!(
            decode_value(&HeaderValue::from_static(encoded)).unwrap(),
            text
        );
    }
}

#[test]
fn takes_an_incomplete_or_upper_case_marker_literally() {
    for text in ["=?base64?SGVsbG8=", "SGVsbG8=?=", "=?BASE64?SGVsbG8=?="] {
        assert_eq!(decode_value(&HeaderValue::from_static(text)).unwrap(), text);
    }
}

#[test]
fn refuses_values_that_cannot_be_decoded() {
    let decode =
        |text: &'static [u8]| decode_value(&HeaderValue::from_bytes(text).unwrap()).unwrap_err();
    assert_eq!(decode(b"=?base64?SGVsbG8?="), ValueError::Base64);
    assert_eq!(decode(b"=?base64?SGVs!!!bG8=?="), ValueError::Base64);
    assert_eq!(decode(b"=?base64?/w==?="), ValueError::Utf8);
    assert_eq!(decode(b"caf\xc3\xa9"), ValueError::Characters);
}

proptest! {
    #[test]
    fn decodes_what_it_encodes(text in any::<String>()) {
        let value = encode_value(&text);
        prop_assert_eq!(decode_value(&value).unwrap(), text);
    }
}

fn check(body: &str, headers: &[(&str, &str)]) -> Result<(), HeaderMismatch> {
    let message = Message::scan(Bytes::from(body.to_owned())).unwrap();
    let params = Params::of(&message).unwrap();
    let meta = params.meta().unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    check_request(&map, &message, &params, &meta)
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"bar",
    "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
const VERSION: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");
const METHOD: (&str, &str) = ("Mcp-Method", "tools/call");

#[test]
fn accepts_headers_that_repeat_the_body() {
    check(CALL, &[VERSION, METHOD, ("MCP-NAME", "bar")]).unwrap();
    check(CALL, &[VERSION, METHOD, ("Mcp-Name", "=?base64?YmFy?=")]).unwrap();
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b",
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    check(
        read,
        &[
            VERSION,
            ("Mcp-Method", "resources/read"),
            ("Mcp-Name", "a:b"),
        ],
    )
    .unwrap();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    check(list, &[VERSION, ("Mcp-Method", "tools/list")]).unwrap();
    check(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#, &[]).unwrap();
}

#[test]
fn says_which_header_differs_and_how() {
    let error = check(CALL, &[VERSION, METHOD, ("Mcp-Name", "foo")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Header mismatch: Mcp-Name header value 'foo' does not match body value 'bar'"
    );
    assert_eq!(error.code(), code::HEADER_MISMATCH);
    for (headers, named) in [
        (vec![METHOD, ("Mcp-Name", "bar")], "MCP-Protocol-Version"),
        (vec![VERSION, ("Mcp-Name", "bar")], "Mcp-Method"),
        (vec![VERSION, METHOD], "Mcp-Name"),
        (
            vec![VERSION, ("Mcp-Method", "TOOLS/CALL"), ("Mcp-Name", "bar")],
            "Mcp-Method",
        ),
        (
            vec![VERSION, METHOD, ("Mcp-Name", "bar"), ("Mcp-Name", "bar")],
            "Mcp-Name",
        ),
        (
            vec![VERSION, METHOD, ("Mcp-Name", "=?base64?YmF?=")],
            "Mcp-Name",
        ),
        (
            vec![("MCP-Protocol-Version", "2025-11-25"), METHOD],
            "MCP-Protocol-Version",
        ),
    ] {
        let error = check(CALL, &headers).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn writes_no_header_for_a_method_that_no_header_can_hold() {
    for method in ["tasks\u{45d}et", " tools/call", "tools/call\t"] {
        let body = CALL.replace("tools/call", &method.replace('\t', "\\t"));
        let message = Message::scan(Bytes::from(body)).unwrap();
        let params = Params::of(&message).unwrap();
        let written = standard_headers(&message, &params, Version::LATEST_MODERN);
        assert_eq!(written.unwrap_err(), ValueError::Characters, "{method:?}");
    }
}

#[test]
fn writes_headers_that_pass_its_own_check() {
    let body = CALL.replace("\"bar\"", "\"世界\"");
    let message = Message::scan(Bytes::from(body)).unwrap();
    let params = Params::of(&message).unwrap();
    let headers = standard_headers(&message, &params, Version::LATEST_MODERN).unwrap();
    check_request(&headers, &message, &params, &params.meta().unwrap()).unwrap();
}
