use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::super::arbitrary;
use super::*;

fn walk(text: &[u8]) -> Result<Range<usize>, Stop> {
    let mut walk = Walk::new(text);
    let value = walk.value(0)?;
    walk.skip_space();
    match walk.is_at_end() {
        true => Ok(value),
        false => Err(Stop::Malformed),
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

#[test]
fn knows_what_is_json() {
    for text in [
        "0",
        "-0",
        "-0.0e+0",
        "1E9",
        "12.5e-3",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t\uD800""#,
        "[]",
        "{}",
        " [ 1 , [ ] , { } ] ",
        r#"{"a":{"b":[{}]},"c":null}"#,
        "true",
        "false",
        "null",
    ] {
        assert!(is_json(text.as_bytes()), "{text}");
        let trimmed = text.trim();
        let start = text.find(trimmed).unwrap();
        assert_eq!(
            walk(text.as_bytes()),
            Ok(start..start + trimmed.len()),
            "{text}"
        );
    }
}

#[test]
fn knows_what_is_not() {
    let long = format!("\"{}\n\"", "x".repeat(100));
    for text in [
        "",
        " ",
        "-",
        "01",
        "1.",
        ".1",
        "1e",
        "1e+",
        "+1",
        "nul",
        "tru",
        "truer",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        &long,
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[}",
        "{",
        "{]",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[1}",
        "{\"a\":1]",
        "1 1",
        "\u{b}1",
    ] {
        assert!(!is_json(text.as_bytes()), "{text}");
        assert_eq!(walk(text.as_bytes()), Err(Stop::Malformed), "{text}");
    }
}

#[test]
fn says_of_what_nests_too_deep_that_it_does() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(walk(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(walk(nested(MAX_DEPTH + 1).as_bytes()), Err(Stop::TooDeep));
    assert_eq!(
        Walk::new(nested(MAX_DEPTH).as_bytes()).value(1),
        Err(Stop::TooDeep)
    );
    let mixed = format!("{}1{}", r#"[{"a":"#.repeat(64), "}]".repeat(64));
    assert!(walk(mixed.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn finds_the_first_byte_that_is_not_plain(
        plain_bytes in prop::collection::vec(prop::sample::select(vec![b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa0, 0xa2, 0xdc, 0xff]), 0..40),
        special in prop::sample::select(vec![0, 0x1f, b'"', b'\\']),
        rest: Vec<u8>,
    ) {
        prop_assert_eq!(plain(&plain_bytes), plain_bytes.len());
        let text = [plain_bytes.as_slice(), &[special], &rest].concat();
        prop_assert_eq!(plain(&text), plain_bytes.len());
    }

    #[test]
    fn agrees_with_the_library_on_what_is_json(text in arbitrary::value()) {
        prop_assert!(walk(text.as_bytes()).is_ok());
    }

    #[test]
    fn agrees_with_the_library_on_what_was_damaged(
        text in arbitrary::value(),
        at: prop::sample::Index,
        byte in prop::sample::select(b"\"\\{}[],:0e.-+ \nutf".to_vec()),
        kind in 0..3,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, byte),
        }
        if std::str::from_utf8(&bytes).is_ok() {
            prop_assert_eq!(walk(&bytes).is_ok(), is_json(&bytes), "{:?}", bytes);
        }
    }
}
