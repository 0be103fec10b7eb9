use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::json::arbitrary::value;

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
fn strips_a_modern_result_for_legacy_clients() {
    let bridged = |result| {
        result_to_legacy(&response(result), "tools/call")
            .unwrap()
            .result()
            .map(String::from)
    };
    assert_eq!(
        bridged(r#"{"resultType":"complete","content":[{}],"structuredContent":[1]}"#).unwrap(),
        r#"{"content":[{}]}"#
    );
    assert_eq!(
        bridged(r#"{"structuredContent":{"a":1},"resultType":"complete"}"#).unwrap(),
        r#"{"structuredContent":{"a":1}}"#
    );
    assert_eq!(bridged(r#"{"resultType":"complete"}"#).unwrap(), "{}");
}

#[test]
fn keeps_a_dropped_structure_as_text_where_there_is_no_other_content() {
    for (result, expected) in [
        (
            r#"{"structuredContent":["a"],"content":[]}"#,
            r#"{"content":[{"type":"text","text":"[\"a\"]"}]}"#,
        ),
        (
            r#"{"resultType":"complete","structuredContent":7}"#,
            r#"{"content":[{"type":"text","text":"7"}]}"#,
        ),
        (
            r#"{"structuredContent":null,"content":[{"type":"text","text":"own"}]}"#,
            r#"{"content":[{"type":"text","text":"own"}]}"#,
        ),
    ] {
        let bridged = result_to_legacy(&response(result), "tools/call").unwrap();
        assert_eq!(bridged.result(), Some(expected), "{result}");
    }
}

#[test]
fn drops_output_schemas_that_are_not_of_objects() {
    let bridged = |tool: &'static str| tool_to_legacy(&Bytes::from_static(tool.as_bytes()));
    for tool in [
        r#"{"name":"a","outputSchema":{"type":"object","properties":{}},"x":1.0}"#,
        r#"{"name":"a","inputSchema":{"outputSchema":{"type":"array"}}}"#,
        "no tool",
    ] {
        assert_eq!(bridged(tool), tool);
    }
    for schema in [
        r#"{"type":"array","items":{}}"#,
        "{}",
        "true",
        r#"{"type":["object"]}"#,
    ] {
        let tool = format!(r#"{{"name":"a","outputSchema": {schema},"x":1.0}}"#);
        let bridged = tool_to_legacy(&Bytes::from(tool));
        assert_eq!(bridged, r#"{"name":"a","x":1.0}"#, "{schema}");
    }
}

#[test]
fn numbers_a_missing_resource_as_each_era_does() {
    let error = |code: i64| {
        message(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"no","data":{{ }}}}}}"#
        ))
    };
    let read = "resources/read";
    assert_eq!(result_to_modern(&error(-32002), read), Ok(error(-32602)));
    assert_eq!(result_to_legacy(&error(-32602), read), Ok(error(-32002)));
    for code in [-32602, -32002, -32603, 7] {
        let bridged = result_to_legacy(&error(code), "tools/call");
        assert_eq!(bridged, Ok(error(code)));
        let bridged = result_to_modern(&error(code), "tools/call");
        assert_eq!(bridged, Ok(error(code)));
    }
}

#[test]
fn says_which_result_a_legacy_client_cannot_have() {
    let refused = |result| result_to_legacy(&response(result), "tools/call").unwrap_err();
    for (result, said) in [
        (
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create"},
                "b":{"method":"roots/list"},"c":{"method":"roots/list"}}}"#,
            "asks for elicitation/create and roots/list,",
        ),
        (
            r#"{"resultType":"input_required","requestState":"x"}"#,
            "asks for the same request once more,",
        ),
        (r#"{"resultType":"task","taskId":"t"}"#, "\"task\""),
    ] {
        let error = refused(result);
        assert_eq!(error.code(), code::NOT_BRIDGEABLE);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn says_what_a_server_wants_of_a_client_that_cannot_be_asked() {
    let lacks = message(
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"no","data":{"requiredCapabilities":{"sampling":{}}}}}"#,
    );
    let error = result_to_legacy(&lacks, "tools/call").unwrap_err();
    assert!(
        error.to_string().contains("asks for sampling, but"),
        "{error}"
    );
    assert_eq!(error.code(), code::NOT_BRIDGEABLE);
    let visit = message(
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"no","data":{"elicitations":[{"mode":"url","url":"https://a.example/\u0000x"}]}}}"#,
    );
    let error = result_to_modern(&visit, "tools/call").unwrap_err();
    assert!(
        error.to_string().contains("open https://a.example/x first"),
        "{error}"
    );
    assert_eq!(error.code(), code::NOT_BRIDGEABLE);
}

proptest! {
    #[test]
    fn whatever_a_result_holds_what_comes_of_it_is_a_message(
        structure in value(),
        content in value(),
    ) {
        let result = format!(r#"{{"structuredContent":{structure},"content":{content}}}"#);
        let bridged = result_to_legacy(&response(&result), "tools/call").unwrap();
        prop_assert_eq!(Message::scan(bridged.bytes().clone()).unwrap(), bridged);
    }
}
