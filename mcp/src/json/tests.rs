use proptest::prelude::*;

use super::*;

fn scan(text: &str) -> Result<Fields<'_>, ScanError> {
    Fields::scan(text.as_bytes(), 0..text.len())
}

fn at(text: &str, range: Range<usize>) -> &str {
    str_at(text.as_bytes(), &range)
}

#[test]
fn finds_values_within_a_larger_text() {
    let text = r#"[ {"a" : 1 , "\u0062":[{}]} ]"#;
    let fields = Fields::scan(text.as_bytes(), 1..text.len() - 1).unwrap();
    assert_eq!(at(text, fields.object()), r#"{"a" : 1 , "\u0062":[{}]}"#);
    assert_eq!(at(text, fields.get("a").unwrap()), "1");
    assert_eq!(at(text, fields.get("b").unwrap()), "[{}]");
    assert_eq!(fields.get("c"), None);
    assert_eq!(fields.len(), 2);
}

#[test]
fn refuses_fields_that_readers_could_confuse() {
    for text in [
        r#"{"params":1,"params":2}"#,
        r#"{"params":1,"p\u0061rams":2}"#,
        r#"{"params":1,"Params":2}"#,
        r#"{"params":1,"paramſ":2}"#,
        r#"{"PARAMS":1,"params":2}"#,
    ] {
        let error = scan(text).unwrap().unique("params").unwrap_err();
        assert_eq!(error.key, "params", "{text}");
    }
    let unread = scan(r#"{"x":1,"x":2,"params":3,"param":4}"#).unwrap();
    assert!(unread.unique("params").unwrap().is_some());
    assert_eq!(scan(r#"{"Params":1}"#).unwrap().unique("params"), Ok(None));
}

#[test]
fn says_what_is_wrong_and_where() {
    let error = scan("{\n \"a\": tru }").unwrap_err();
    assert!(error.to_string().contains("line 2 column"), "{error}");
    assert_eq!(scan(" [1]").unwrap_err(), ScanError::Batch);
    for (text, code) in [
        ("", -32700),
        ("{", -32700),
        ("{} {}", -32700),
        ("{\"a\":1,}", -32700),
        ("{\"a\":01}", -32700),
        ("{\"a\":\"\n\"}", -32700),
        ("{'a':1}", -32700),
        ("[1", -32700),
        ("7", -32600),
        ("\"{}\"", -32600),
        ("null", -32600),
    ] {
        assert_eq!(scan(text).unwrap_err().code(), code, "{text}");
    }
    let error = Fields::scan(b"{\"a\":\"\xff\"}", 0..9).unwrap_err();
    assert_eq!(error, ScanError::NotUtf8 { offset: 6 });
}

#[test]
fn bounds_the_depth_of_valid_json() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(check_depth(nested(MAX_DEPTH).as_bytes()), Ok(()));
    assert_eq!(
        check_depth(nested(MAX_DEPTH + 1).as_bytes()),
        Err(ScanError::TooDeep { max: MAX_DEPTH })
    );
    let wide = format!("[{}[]]", "[{}],".repeat(500));
    assert_eq!(check_depth(wide.as_bytes()), Ok(()));
    let quoted = format!(r#"["{}\\","\"{}"]"#, "{".repeat(300), "[".repeat(300));
    assert_eq!(check_depth(quoted.as_bytes()), Ok(()));
}

#[test]
fn refuses_nesting_of_any_depth_without_overflowing_the_stack() {
    let depth = 1_000_000;
    let text = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(
        scan(&text).unwrap_err(),
        ScanError::TooDeep { max: MAX_DEPTH }
    );
    assert_eq!(
        check_depth(text.as_bytes()),
        Err(ScanError::TooDeep { max: MAX_DEPTH })
    );
    assert!(scan(&format!("{{\"a\":{}", "[".repeat(depth))).is_err());
}

#[test]
fn decodes_strings_only() {
    assert_eq!(decode_str(br#""a\u00e9\n""#).as_deref(), Some("aé\n"));
    assert!(matches!(
        decode_str(b"\"plain\""),
        Some(Cow::Borrowed("plain"))
    ));
    for raw in ["1", "null", "\"a\"b\"", "\"open", r#""\ud800""#] {
        assert_eq!(decode_str(raw.as_bytes()), None, "{raw}");
    }
}

proptest! {
    #[test]
    fn finds_every_field_as_it_is_written(
        object in arbitrary::unknown_fields().prop_flat_map(arbitrary::object_of),
        before in arbitrary::space(),
        after in arbitrary::space(),
    ) {
        let text = format!("{before}{}{after}", object.text);
        let fields = scan(&text).unwrap();
        prop_assert_eq!(at(&text, fields.object()), object.text);
        let found: Vec<_> =
            fields.iter().map(|(key, value)| (key.to_owned(), at(&text, value).to_owned())).collect();
        let written: Vec<_> = object
            .fields
            .into_iter()
            .map(|(key, value)| (decode_str(key.as_bytes()).unwrap().into_owned(), value))
            .collect();
        prop_assert_eq!(found, written);
    }

    #[test]
    fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        Fields::scan(&bytes, 0..bytes.len()).ok();
        check_depth(&bytes).ok();
        decode_str(&bytes);
    }

    #[test]
    fn decodes_what_it_encodes(text in any::<String>()) {
        let raw = encode_str(&text);
        let decoded = decode_str(raw.as_bytes()).unwrap();
        prop_assert_eq!(decoded, text);
    }
}

#[test]
fn a_key_may_be_there_unless_it_certainly_is_not() {
    for text in [
        r#"{"isError":true}"#,
        r#"{"a":"isError"}"#,
        r#"{"isErr\u006fr":true}"#,
    ] {
        assert!(IS_ERROR.may_be_in(text.as_bytes()), "{text}");
    }
    assert!(!IS_ERROR.may_be_in(br#"{"a":"x\n","iserror":1}"#));
}
