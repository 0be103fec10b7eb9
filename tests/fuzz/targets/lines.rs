//! The lines of a stream are the same however it is cut, and what a plain reader finds.
#![no_main]

use bytes::Bytes;
use gateway_fuzz::pieces;
use gateway_mcp::Message;
use gateway_mcp::lines::{LineDecoder, encode_line};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs reach it.
const MAX_BYTES: usize = 48;

fuzz_target!(|data: &[u8]| {
    let Some((seed, stream)) = data.split_first() else {
        return;
    };
    let expected = read_plainly(stream);
    assert_eq!(decode(&[stream], MAX_BYTES), expected);
    assert_eq!(decode(&pieces(stream, *seed), MAX_BYTES), expected);
    check_round_trip(stream);
});

/// The lines of a stream that comes in these pieces; `None` for one that is too long.
fn decode(pieces: &[&[u8]], max_bytes: usize) -> Vec<Option<Bytes>> {
    let mut decoder = LineDecoder::new(max_bytes);
    let mut lines = Vec::new();
    for piece in pieces {
        decoder.push(piece.to_vec());
        lines.extend(std::iter::from_fn(|| decoder.next_line()));
    }
    lines.extend(decoder.finish());
    lines.into_iter().map(Result::ok).collect()
}

fn read_plainly(stream: &[u8]) -> Vec<Option<Bytes>> {
    let lines = stream.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let kept = lines.filter_map(|line| match line {
        _ if line.len() > MAX_BYTES => Some(None),
        _ if line.trim_ascii().is_empty() => None,
        _ => Some(Some(Bytes::copy_from_slice(line))),
    });
    kept.collect()
}

/// A message that is written is read as one line that says the same.
fn check_round_trip(text: &[u8]) {
    let Ok(message) = Message::scan(Bytes::copy_from_slice(text)) else {
        return;
    };
    let line = encode_line(&message);
    let lines = decode(&[&line, &line], usize::MAX);
    assert_eq!(lines.len(), 2);
    for line in lines {
        let read = Message::scan(line.expect("no line is too long")).expect("it is the message");
        assert_eq!(read.kind(), message.kind());
        assert_eq!(read.id(), message.id());
        assert_eq!(read.method(), message.method());
    }
}
