use proptest::prelude::*;

use super::*;
use crate::code;
use crate::json::MAX_DEPTH;
use crate::json::arbitrary;
use crate::params::Params;

fn scan(text: &str) -> Result<Message, ScanError> {
    Message::scan(Bytes::from(text.to_owned()))
}

#[test]
fn tells_the_kinds_of_message_apart() {
    let kind = |text| scan(text).unwrap().kind();
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        Kind::Request
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","method":"ping"}"#),
        Kind::Notification
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Kind::Response
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","error":{"code":1}}"#),
        Kind::Response
    );
}

#[test]
fn gives_the_parts_as_they_are_written() {
    let message = scan(
        " {\"id\": 1.50e0 ,\"x\":[1],\"method\":\"tools\\/call\", \"params\" :{ }\n,\"jsonrpc\":\"2.\\u0030\"} ",
    )
    .unwrap();
    assert_eq!(message.id(), Some("1.50e0"));
    assert_eq!(message.method(), Some("tools/call"));
    assert_eq!(message.params(), Some("{ }"));
    assert_eq!((message.result(), message.error()), (None, None));
    assert_eq!(
        format!("{message:?}"),
        "Message { kind: Request, id: Some(\"1.50e0\"), method: Some(\"tools/call\"), length: 85, .. }"
    );
}

#[test]
fn refuses_what_is_not_a_message() {
    for (text, code) in [
        ("", -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m""#, -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#, -32600),
        (r#"{"id":1,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":null,"result":{}}"#,
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","Method":"n"}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#,
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, -32600),
    ] {
        assert_eq!(scan(text).unwrap_err().code(), code, "{text}");
    }
}

#[test]
fn reads_the_errors_that_servers_write() {
    let message = scan(r#"{"jsonrpc":"2.0","id":null,"result":null,"error":{"code":-32001,"message":"Session not found"}}"#).unwrap();
    assert_eq!((message.id(), message.result()), (None, None));
    let error = message.rpc_error().unwrap();
    assert_eq!(
        (error.code, error.message.as_str()),
        (-32001, "Session not found")
    );
    let message = scan(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#).unwrap();
    assert_eq!(
        (message.result(), message.rpc_error()),
        (Some("null"), None)
    );
}

#[test]
fn refuses_deep_nesting() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        scan(&format!(
            r#"{{"jsonrpc":"2.0","method":"m","params":{{"a":{open}{close}}}}}"#
        ))
    };
    assert!(nested(126).is_ok());
    assert_eq!(
        nested(127).unwrap_err(),
        ScanError::TooDeep { max: MAX_DEPTH }
    );
}

#[test]
fn gives_an_id_where_there_was_none() {
    let message = scan(r#"{ "jsonrpc":"2.0","method":"m"}"#)
        .unwrap()
        .with_id("\"a\"");
    assert_eq!(
        message.bytes(),
        r#"{"id":"a", "jsonrpc":"2.0","method":"m"}"#
    );
    assert_eq!(Message::scan(message.bytes().clone()).unwrap(), message);
}

#[test]
fn sets_parameters_whether_they_are_there_or_not() {
    for (before, after) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
            r#"{"cursor":"\""}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"params":null,"method":"m"}"#,
            r#"{"cursor":"\""}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"params":{ },"method":"m"}"#,
            r#"{"cursor":"\"" }"#,
        ),
        (
            r#"{"jsonrpc":"2.0","params":{"a":1},"id":1,"method":"m"}"#,
            r#"{"cursor":"\"","a":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","params":{"curso\u0072" : null ,"a":1},"id":1,"method":"m"}"#,
            r#"{"curso\u0072" : "\"" ,"a":1}"#,
        ),
    ] {
        let message = scan(before).unwrap().with_cursor("\"").unwrap();
        assert_eq!(message.params(), Some(after));
        assert_eq!(Message::scan(message.bytes().clone()).unwrap(), message);
    }
    let by_position = scan(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#).unwrap();
    assert_eq!(
        by_position.with_name("a").unwrap_err().code(),
        code::INVALID_PARAMS
    );
}

/// A request with fields nobody knows around and within its parameters, and its id and name as
/// written.
fn request() -> impl Strategy<Value = (String, String, String)> {
    let params =
        (arbitrary::unknown_fields(), arbitrary::string()).prop_flat_map(|(mut fields, name)| {
            fields.push(("\"name\"".to_owned(), name.clone()));
            arbitrary::object_of(fields).prop_map(move |params| (params.text, name.clone()))
        });
    (arbitrary::unknown_fields(), arbitrary::id(), params).prop_flat_map(
        |(mut fields, id, (params, name))| {
            for (key, value) in [
                ("jsonrpc", "\"2.0\""),
                ("id", &id),
                ("method", "\"tools/call\""),
                ("params", &params),
            ] {
                fields.push((format!("\"{key}\""), value.to_owned()));
            }
            arbitrary::object_of(fields)
                .prop_map(move |message| (message.text, id.clone(), name.clone()))
        },
    )
}

proptest! {
    #[test]
    fn restores_the_clients_id(
        (text, id, _) in request(),
        other in arbitrary::id(),
    ) {
        let message = scan(&text).unwrap();
        prop_assert_eq!(message.id(), Some(id.as_str()));
        let sent = message.with_id(&other);
        prop_assert_eq!(sent.id(), Some(other.as_str()));
        prop_assert_eq!(&Message::scan(sent.bytes().clone()).unwrap(), &sent);
        let restored = sent.with_id(&id);
        prop_assert_eq!(restored.bytes(), &text);
        prop_assert_eq!(restored, message);
    }

    #[test]
    fn renames_without_touching_anything_else((text, _, name) in request(), other in any::<String>()) {
        let message = scan(&text).unwrap();
        let place = Params::of(&message).unwrap().name_range().unwrap();
        prop_assert_eq!(str_at(text.as_bytes(), &place), name);
        let renamed = message.with_name(&other).unwrap();
        prop_assert_eq!(&Message::scan(renamed.bytes().clone()).unwrap(), &renamed);
        let params = Params::of(&renamed).unwrap();
        prop_assert_eq!(params.name(), Some(other.as_str()));
        let written = params.name_range().unwrap();
        prop_assert_eq!(&renamed.bytes()[..written.start], &text.as_bytes()[..place.start]);
        prop_assert_eq!(&renamed.bytes()[written.end..], &text.as_bytes()[place.end..]);
    }
}
