//! What is cut out of an array, and which arrays are refused.

use proptest::prelude::*;

use super::*;
use crate::json::arbitrary::{space, value};

const MOST: usize = 8;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"n"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":[1]}"#;

fn read(text: &str) -> Result<Vec<Message>, BatchError> {
    scan(&Bytes::copy_from_slice(text.as_bytes()), MOST)
}

fn refusal(text: &str) -> (i64, String) {
    let error = read(text).unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn reads_messages_of_every_kind_in_their_order() {
    // The client's request and its answer to a server may well have the same id.
    let messages = read(&format!(" [ {PING} ,\n{NOTE},{ANSWER}]\n")).unwrap();
    let texts: Vec<_> = messages.iter().map(Message::bytes).collect();
    assert_eq!(texts, [PING, NOTE, ANSWER]);
}

#[test]
fn says_of_a_batch_what_is_wrong_and_where() {
    let many = [NOTE; MOST + 3].join(",");
    for (text, reason) in [
        ("[]".to_owned(), "the batch is empty"),
        (
            format!("[{many}]"),
            "holds 11 messages: send no more than 8",
        ),
        (
            format!("[{NOTE},1]"),
            "member 2 of the batch: this is not a JSON-RPC 2.0 message",
        ),
        (
            format!("[{NOTE},{{}}]"),
            "member 2 of the batch: this is not a JSON-RPC 2.0 message",
        ),
        (
            format!("[[{PING}]]"),
            "member 1 of the batch: the message is a batch",
        ),
        (
            format!("[{PING},{NOTE},{PING}]"),
            "member 3 of the batch has the id 1, as another",
        ),
        (
            format!("[{NOTE},{}]", PING.replace("ping", "initialize")),
            "member 2 of the batch is initialize",
        ),
    ] {
        let (code, told) = refusal(&text);
        assert_eq!(code, code::INVALID_REQUEST, "{text}");
        assert!(told.contains(reason), "{text}: {told}");
    }
    assert_eq!(refusal(&format!("[{PING}")).0, code::PARSE_ERROR);
    assert_eq!(refusal(&format!("[{PING}] 1")).0, code::PARSE_ERROR);
}

#[test]
fn ids_are_the_same_however_they_are_spelt_and_differ_by_their_type() {
    let ping = |id: &str| PING.replace("\"id\":1", &format!("\"id\":{id}"));
    let (a, escaped) = (ping(r#""a""#), ping(r#""\u0061""#));
    assert!(
        refusal(&format!("[{a},{escaped}]"))
            .1
            .contains("has the id")
    );
    assert!(read(&format!("[{},{}]", ping("1"), ping(r#""1""#))).is_ok());
}

#[test]
fn a_flood_of_members_is_counted_and_not_kept() {
    let flood = format!("[{}]", vec!["0"; 100_000].join(","));
    let error = cut(flood.as_bytes(), MOST).unwrap_err();
    let (count, most) = (100_000, MOST);
    assert_eq!(error, BatchError::TooMany { count, most });
}

proptest! {
    #[test]
    fn the_members_joined_again_are_the_input(
        members in prop::collection::vec((space(), value(), space()), 1..=MOST),
    ) {
        let spaced: Vec<_> = members.iter().map(|(a, text, b)| format!("{a}{text}{b}")).collect();
        let text = format!("[{}]", spaced.join(","));
        let places = cut(text.as_bytes(), MOST).unwrap();
        prop_assert_eq!(places.len(), members.len());
        let mut joined = String::from("[");
        for (at, (place, (before, member, after))) in places.into_iter().zip(&members).enumerate() {
            let cut = text.get(place).unwrap();
            prop_assert_eq!(cut, member);
            let comma = if at == 0 { "" } else { "," };
            joined.push_str(&format!("{comma}{before}{cut}{after}"));
        }
        joined.push(']');
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn no_text_makes_it_fail_otherwise_than_by_an_error(text in ".{0,64}") {
        drop(cut(text.as_bytes(), MOST));
        drop(cut(format!("[{text}]").as_bytes(), MOST));
    }
}
