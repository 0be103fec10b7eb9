//! What the fuzz targets of `tests/fuzz` reach of this crate, and nobody else.

pub use crate::over_mcp::fuzzing::{Readings, read_answer};
use crate::spool::{Cursor, Found, decode};

/// Reads a segment of an audit spool as its delivery does: the lines in order, each as it is, and how many bytes are
/// behind the last whole one.
pub fn read_segment(mut bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut lines = Vec::new();
    loop {
        let read = match decode(bytes.to_vec()) {
            Found::Events(batch) => {
                assert_eq!(batch.events.len(), batch.ends.len());
                let count = batch.events.len();
                lines.extend((0..count).map(|number| batch.line(number).to_vec()));
                batch.bytes.len()
            }
            Found::Damaged(line) => {
                let length = line.len();
                lines.push(line);
                length
            }
            Found::Nothing(rest) => {
                assert_eq!(rest, bytes.len() as u64);
                return (lines, bytes.len());
            }
        };
        bytes = bytes.get(read..).unwrap_or_default();
    }
}

/// Reads a cursor; gives it as it is written.
pub fn read_cursor(text: &str) -> Option<String> {
    Cursor::parse(text).map(Cursor::text)
}
