//! Messages over standard streams: one per line.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use crate::message::Message;

/// Cuts a stream into lines and keeps no more of it than one line may be long.
///
/// After each [`push`](LineDecoder::push), take lines until there is none.
#[derive(Debug)]
pub struct LineDecoder {
    max_bytes: usize,
    /// The beginning of a line whose end has not come yet.
    partial: BytesMut,
    chunk: Bytes,
    /// Whether the rest of a line that was too long is being passed over.
    skipping: bool,
}

/// A line was longer than allowed; it is passed over and the stream goes on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {max_bytes} bytes")]
pub struct LineTooLong {
    pub max_bytes: usize,
}

impl LineDecoder {
    pub fn new(max_bytes: usize) -> LineDecoder {
        LineDecoder {
            max_bytes,
            partial: BytesMut::new(),
            chunk: Bytes::new(),
            skipping: false,
        }
    }

    /// Takes the stream's next bytes.
    pub fn push(&mut self, chunk: impl Into<Bytes>) {
        let chunk = chunk.into();
        self.chunk = if self.chunk.is_empty() {
            chunk
        } else {
            Bytes::from([self.chunk.as_ref(), chunk.as_ref()].concat())
        };
    }

    /// The next whole line without its end; blank lines are passed over.
    pub fn next_line(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        while !self.chunk.is_empty() {
            let Some(end) = memchr(b'\n', &self.chunk) else {
                let rest = self.chunk.split_off(0);
                self.chunk = Bytes::new();
                return self.keep(rest);
            };
            let piece = self.chunk.split_to(end);
            self.chunk.advance(1);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if let Some(line) = self.complete(piece) {
                return Some(line);
            }
        }
        None
    }

    /// The last line if the stream ended without ending it.
    pub fn finish(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        if let Some(line) = self.next_line() {
            return Some(line);
        }
        self.complete(Bytes::new())
    }

    /// Keeps the beginning of a line, or reports that it is too long already.
    fn keep(&mut self, piece: Bytes) -> Option<Result<Bytes, LineTooLong>> {
        if self.skipping {
            return None;
        }
        // One byte more, as the last may be the carriage return that is not part of the line.
        if self.partial.len() + piece.len() > self.max_bytes.saturating_add(1) {
            self.partial = BytesMut::new();
            self.skipping = true;
            return Some(Err(LineTooLong {
                max_bytes: self.max_bytes,
            }));
        }
        self.extend(&piece);
        None
    }

    /// Grows by doubling, but not beyond the longest line: at the end that would be twice as much.
    fn extend(&mut self, piece: &[u8]) {
        let (length, capacity) = (self.partial.len(), self.partial.capacity());
        let needed = length.saturating_add(piece.len());
        if needed > capacity {
            let most = self.max_bytes.saturating_add(1).max(needed);
            let grown = needed.max(capacity.saturating_mul(2)).min(most);
            let shorter = std::mem::replace(&mut self.partial, BytesMut::with_capacity(grown));
            self.partial.extend_from_slice(&shorter);
        }
        self.partial.extend_from_slice(piece);
    }

    fn complete(&mut self, piece: Bytes) -> Option<Result<Bytes, LineTooLong>> {
        let mut line = if self.partial.is_empty() {
            piece
        } else {
            self.extend(&piece);
            std::mem::take(&mut self.partial).freeze()
        };
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if line.len() > self.max_bytes {
            return Some(Err(LineTooLong {
                max_bytes: self.max_bytes,
            }));
        }
        (!line.trim_ascii().is_empty()).then_some(Ok(line))
    }
}

/// Writes a message as one line, its end included.
///
/// Line breaks within the message are white space between its parts, since strings cannot hold
/// them unescaped; they become spaces.
pub fn encode_line(message: &Message) -> Bytes {
    let bytes = message.bytes();
    let mut line = Vec::with_capacity(bytes.len() + 1);
    line.extend_from_slice(bytes);
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Bytes::from(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_more_is_taken_than_the_longest_line_needs() {
        let most = 1 << 20;
        let mut decoder = LineDecoder::new(most);
        for _ in 0..1 << 10 {
            decoder.push(vec![b'x'; 1 << 10]);
            assert_eq!(decoder.next_line(), None);
            assert!(decoder.partial.capacity() <= most + 1);
        }
        decoder.push(&b"\n"[..]);
        assert_eq!(decoder.next_line(), Some(Ok(vec![b'x'; most].into())));
    }

    /// The lines of `text` when it comes in pieces of the given sizes; `None` for one too long.
    fn lines(text: &[u8], sizes: &[usize], max_bytes: usize) -> Vec<Option<Vec<u8>>> {
        let mut decoder = LineDecoder::new(max_bytes);
        let mut found = Vec::new();
        let mut rest = text;
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            rest = after;
            decoder.push(piece.to_vec());
            found.extend(std::iter::from_fn(|| decoder.next_line()));
            assert!(decoder.partial.len() <= max_bytes + 1);
        }
        found.extend(decoder.finish());
        found
            .into_iter()
            .map(|line| line.ok().map(|line| line.to_vec()))
            .collect()
    }

    #[test]
    fn cuts_at_either_line_end_and_passes_over_blank_lines() {
        let found = lines(b"{\"a\":1}\r\n\n  \n{}\nlast", &[1000], 100);
        let texts: Vec<_> = found.iter().map(|line| line.as_deref().unwrap()).collect();
        assert_eq!(texts, [b"{\"a\":1}".as_slice(), b"{}", b"last"]);
    }

    #[test]
    fn reports_a_long_line_once_and_goes_on_behind_it() {
        let text = [b"ok\n".as_slice(), &[b'x'; 500], b"\nafter\n"].concat();
        for size in [1, 3, 7, 1000] {
            let found = lines(&text, &[size], 10);
            assert_eq!(found, [Some(b"ok".to_vec()), None, Some(b"after".to_vec())]);
        }
    }

    #[test]
    fn allows_a_line_of_just_the_greatest_length() {
        for text in [b"12345\n".as_slice(), b"12345\r\n"] {
            for size in [1, 100] {
                assert_eq!(lines(text, &[size], 5), [Some(b"12345".to_vec())]);
            }
        }
        assert_eq!(lines(b"123456\n", &[1], 5), [None]);
    }

    #[test]
    fn writes_one_line_whatever_white_space_the_message_has() {
        let text = "{\r\n\"jsonrpc\":\"2.0\",\n\"method\":\"a\\nb\"\r\n}\n";
        let message = Message::scan(Bytes::from_static(text.as_bytes())).unwrap();
        let line = encode_line(&message);
        assert_eq!(line, "{  \"jsonrpc\":\"2.0\", \"method\":\"a\\nb\"  } \n");
        assert_eq!(Message::scan(line).unwrap().method(), Some("a\nb"));
    }

    proptest! {
        #[test]
        fn finds_the_same_lines_however_the_stream_is_cut(
            text in "([a-c]{0,12}|\r|\n|\r\n| ){0,30}",
            sizes in prop::collection::vec(1usize..9, 1..6),
        ) {
            let whole = lines(text.as_bytes(), &[usize::MAX], 8);
            prop_assert_eq!(lines(text.as_bytes(), &sizes, 8), whole);
        }
    }
}
