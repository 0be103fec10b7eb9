//! The events of a stream are the same however it is cut, and what a plain reader finds.
#![no_main]

use std::time::Duration;

use gateway_fuzz::pieces;
use gateway_mcp::sse::{SseDecoder, SseEvent, encode_event};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs reach it.
const MAX_BYTES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let Some((seed, stream)) = data.split_first() else {
        return;
    };
    let whole = decode(&[stream], MAX_BYTES);
    assert_eq!(decode(&pieces(stream, *seed), MAX_BYTES), whole);
    let unbounded = decode(&[stream], usize::MAX);
    assert_eq!(unbounded.0, read_plainly(stream));
    assert!(unbounded.0.starts_with(&whole.0));
    if !whole.1 {
        assert_eq!(whole.0, unbounded.0);
    }
    check_round_trip(stream, *seed);
});

/// The events of a stream that comes in these pieces, and whether it ended with one too long.
fn decode(pieces: &[&[u8]], max_bytes: usize) -> (Vec<SseEvent>, bool) {
    let mut decoder = SseDecoder::new(max_bytes);
    let mut events = Vec::new();
    let mut failed = false;
    for piece in pieces {
        decoder.push(piece.to_vec());
        while let Some(event) = decoder.next_event() {
            assert!(!failed, "there is nothing behind an error");
            match event {
                Ok(event) => {
                    assert!(event.data.len() <= max_bytes);
                    events.push(event);
                }
                Err(_) => failed = true,
            }
        }
    }
    (events, failed)
}

/// Reads the whole text line by line, as the specification words it.
fn read_plainly(stream: &[u8]) -> Vec<SseEvent> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut events = Vec::new();
    let mut event = SseEvent::default();
    let mut data: Vec<Vec<u8>> = Vec::new();
    let mut has_fields = false;
    for line in lines_of(stream) {
        if line.is_empty() {
            let joined = std::mem::take(&mut data).join(&b'\n');
            let finished = std::mem::take(&mut event);
            if std::mem::take(&mut has_fields) {
                events.push(SseEvent {
                    data: joined.into(),
                    ..finished
                });
            }
            continue;
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"data" => data.push(value.to_vec()),
            b"event" => event.event = Some(text()),
            b"id" if !value.contains(&0) => event.id = Some(text()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                event.retry = text().parse().ok().map(Duration::from_millis);
            }
            _ => continue,
        }
        has_fields = true;
    }
    events
}

/// The lines that have an end: line feed, carriage return, or both.
fn lines_of(stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = stream;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&rest[..end]);
        let length = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + length..];
    }
    lines
}

/// An event that is written is read as it was, line ends in the data aside.
fn check_round_trip(data: &[u8], seed: u8) {
    let id = format!("{seed:x}");
    let written = encode_event(data, Some(&id));
    let (events, failed) = decode(&pieces(&written, seed), usize::MAX);
    assert!(!failed);
    let mut expected = data.to_vec();
    if expected.iter().any(|byte| *byte == b'\r') {
        let mut lines = lines_of(data);
        let read: usize = data
            .iter()
            .rposition(|byte| matches!(byte, b'\n' | b'\r'))
            .map_or(0, |at| at + 1);
        lines.push(&data[read..]);
        expected = lines.join(&b'\n');
    }
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data, expected);
    assert_eq!(events[0].id.as_deref(), Some(id.as_str()));
}
