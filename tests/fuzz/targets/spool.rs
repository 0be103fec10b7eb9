//! A segment of an audit spool is read whole, whatever is in it, and only what was written as a cursor is one.
#![no_main]

use gateway_plugins::fuzzing::{read_cursor, read_segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lines, rest) = read_segment(data);
    let whole = data.len() - rest;
    assert_eq!(lines.concat(), data[..whole], "nothing is left out");
    assert!(lines.iter().all(
        |line| line.ends_with(b"\n") && line.iter().filter(|byte| **byte == b'\n').count() == 1
    ));
    assert!(!data[whole..].contains(&b'\n'));
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(read_cursor(text).is_none_or(|cursor| cursor == text));
    }
});
