use proptest::prelude::*;

use super::*;

/// The events of `text` when it comes in pieces of the given sizes.
fn events(text: &[u8], sizes: &[usize], max_bytes: usize) -> Vec<Result<SseEvent, EventTooLong>> {
    let mut decoder = SseDecoder::new(max_bytes);
    let mut found = Vec::new();
    let mut rest = text;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = after;
        decoder.push(piece.to_vec());
        found.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    found
}

fn all(text: &str) -> Vec<SseEvent> {
    events(text.as_bytes(), &[usize::MAX], 1000)
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

fn data(text: &'static str) -> SseEvent {
    SseEvent {
        data: Bytes::from_static(text.as_bytes()),
        ..SseEvent::default()
    }
}

#[test]
fn reads_every_field_of_an_event() {
    let found = all("event: message\nid: 7\nretry: 1500\ndata: {}\n\n");
    let expected = SseEvent {
        event: Some("message".to_owned()),
        id: Some("7".to_owned()),
        retry: Some(Duration::from_millis(1500)),
        ..data("{}")
    };
    assert_eq!(found, [expected]);
}

#[test]
fn takes_every_line_end_and_a_byte_order_mark() {
    assert_eq!(
        all("\u{feff}data:a\r\rdata: b\r\n\r\ndata:  c\n\ndata:d\r\n\n"),
        [data("a"), data("b"), data(" c"), data("d")]
    );
}

#[test]
fn joins_lines_of_data() {
    assert_eq!(all("data: a\ndata\ndata:b\n\n"), [data("a\n\nb")]);
}

#[test]
fn passes_over_comments_and_what_it_does_not_know() {
    assert_eq!(
        all(":\n\n: ping\r\n\r\nother: x\n\nretry: soon\n\nid: a\0b\n\ndata: a\n\n"),
        [data("a")]
    );
}

#[test]
fn tells_of_an_id_without_data() {
    let primed = SseEvent {
        id: Some("1".to_owned()),
        ..data("")
    };
    assert_eq!(all("id: 1\ndata:\n\nid: 1\n\n"), [primed.clone(), primed]);
}

#[test]
fn holds_an_event_back_until_it_is_whole() {
    assert_eq!(all("data: a\n"), []);
    assert_eq!(all("data: a\n\ndata: b"), [data("a")]);
}

#[test]
fn gives_data_without_copying_where_it_came_in_one_piece() {
    let chunk = Bytes::from_static(b"data: {\"a\":1}\n\n");
    let mut decoder = SseDecoder::new(100);
    decoder.push(chunk.clone());
    let event = decoder.next_event().unwrap().unwrap();
    assert!(chunk.as_ptr_range().contains(&event.data.as_ptr()));
}

#[test]
fn fails_once_on_an_event_that_is_too_long() {
    let long = "x".repeat(30);
    for text in [
        format!("data: {long}\n\ndata: a\n\n"),
        format!("data: {long}"),
        "data: 12345\ndata: 12345\ndata: 1234\n\ndata: a\n\n".to_owned(),
        format!(":{long}"),
    ] {
        for size in [1, 5, 1000] {
            let found = events(text.as_bytes(), &[size], 28);
            assert_eq!(found, [Err(EventTooLong { max_bytes: 28 })], "{text}");
        }
    }
}

#[test]
fn a_byte_order_mark_counts_as_little_in_pieces_as_in_one() {
    for text in ["\u{feff}data: 12", "\u{feff}data: 12\n\n"] {
        let whole = events(text.as_bytes(), &[1000], 8);
        for size in [1, 2, 3, 4, 7] {
            assert_eq!(events(text.as_bytes(), &[size], 8), whole, "{size}");
        }
    }
}

#[test]
fn lets_any_number_of_comments_pass() {
    let text = ":\r\n".repeat(100) + "data: a\n\n";
    assert_eq!(events(text.as_bytes(), &[3], 20), [Ok(data("a"))]);
}

#[test]
fn writes_one_line_of_data_for_each_of_the_message() {
    assert_eq!(encode_event(b"{}", None), "event: message\ndata: {}\n\n");
    assert_eq!(
        encode_event(b"{\r\n\"a\":\r1\n}", Some("s/1")),
        "event: message\nid: s/1\ndata: {\ndata: \"a\":\ndata: 1\ndata: }\n\n"
    );
    assert_eq!(
        encode_event(b"", Some("a\nb")),
        "event: message\ndata: \n\n"
    );
}

proptest! {
    #[test]
    fn finds_the_same_events_however_the_stream_is_cut(
        text in "((data|event|id|retry|x|):?[ a-z0-9:]{0,6}|\r|\n|\r\n|\n\n|\u{feff}){0,40}",
        sizes in prop::collection::vec(1usize..9, 1..6),
    ) {
        let whole = events(text.as_bytes(), &[usize::MAX], 40);
        prop_assert_eq!(events(text.as_bytes(), &sizes, 40), whole);
    }

    #[test]
    fn reads_what_it_writes(text in "[^\r]{0,60}", sizes in prop::collection::vec(1usize..20, 1..4)) {
        let found = events(&encode_event(text.as_bytes(), Some("7")), &sizes, 2000);
        let event = found.into_iter().next().unwrap().unwrap();
        prop_assert_eq!(event.data, text);
        prop_assert_eq!(event.id.as_deref(), Some("7"));
    }
}
