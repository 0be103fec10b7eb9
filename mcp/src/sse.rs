//! Server-sent events: an incremental reader with bounded memory, and the writer.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

/// A comment, to be sent now and then so that nothing between closes a quiet stream.
pub const COMMENT_KEEP_ALIVE: &[u8] = b":\n\n";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event: whatever stood between two blank lines, if it was more than comments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The event's type; `None` means `message`.
    pub event: Option<String>,
    /// The lines of data, joined; empty also if there were none.
    pub data: Bytes,
    /// The id from which the stream can be resumed.
    pub id: Option<String>,
    /// How long to wait before connecting again.
    pub retry: Option<Duration>,
}

/// An event was longer than allowed; the stream cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {max_bytes} bytes")]
pub struct EventTooLong {
    pub max_bytes: usize,
}

/// Reads events from a stream that comes in pieces.
///
/// After each [`push`](SseDecoder::push), take events until there is none. An event's data is a
/// slice of the piece that brought it if it is one line that came in one piece.
#[derive(Debug)]
pub struct SseDecoder {
    max_bytes: usize,
    chunk: Bytes,
    /// The beginning of a line whose end has not come yet.
    partial: BytesMut,
    /// Whether the last line ended with a carriage return, so that a line feed belongs to it.
    after_return: bool,
    at_start: bool,
    failed: bool,
    event: Pending,
}

/// The event whose lines are being read.
#[derive(Debug, Default)]
struct Pending {
    event: SseEvent,
    /// The data from its second line on; the first stays a slice of what came.
    joined: Option<BytesMut>,
    has_data: bool,
    has_fields: bool,
    /// The bytes of its lines so far.
    length: usize,
}

impl SseDecoder {
    pub fn new(max_bytes: usize) -> SseDecoder {
        SseDecoder {
            max_bytes,
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            after_return: false,
            at_start: true,
            failed: false,
            event: Pending::default(),
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

    /// The next whole event; after an error there is none any more.
    pub fn next_event(&mut self) -> Option<Result<SseEvent, EventTooLong>> {
        while !self.failed {
            let line = self.next_line();
            let length = line.as_ref().map_or(self.partial.len(), Bytes::len);
            if self.event.length.saturating_add(length) > self.max_bytes {
                self.failed = true;
                self.event = Pending::default();
                self.partial = BytesMut::new();
                return Some(Err(EventTooLong {
                    max_bytes: self.max_bytes,
                }));
            }
            let line = line?;
            if !line.is_empty() {
                self.event.take_line(&line);
            } else if let Some(event) = std::mem::take(&mut self.event).finish() {
                return Some(Ok(event));
            }
        }
        None
    }

    fn next_line(&mut self) -> Option<Bytes> {
        if self.after_return && !self.chunk.is_empty() {
            self.after_return = false;
            if self.chunk.first() == Some(&b'\n') {
                self.chunk.advance(1);
            }
        }
        let Some(end) = memchr2(b'\n', b'\r', &self.chunk) else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            // Taken off before the length is measured, as it is where the line came whole.
            if self.at_start && self.partial.starts_with(BYTE_ORDER_MARK) {
                self.partial.advance(BYTE_ORDER_MARK.len());
                self.at_start = false;
            }
            return None;
        };
        self.after_return = self.chunk.get(end) == Some(&b'\r');
        let piece = self.chunk.split_to(end);
        self.chunk.advance(1);
        let mut line = if self.partial.is_empty() {
            piece
        } else {
            self.partial.extend_from_slice(&piece);
            std::mem::take(&mut self.partial).freeze()
        };
        if std::mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        Some(line)
    }
}

impl Pending {
    fn take_line(&mut self, line: &Bytes) {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let mut value = line.slice((colon + 1).min(line.len())..);
        if value.first() == Some(&b' ') {
            value.advance(1);
        }
        match line.get(..colon).unwrap_or_default() {
            b"data" => self.take_data(value),
            b"event" => self.event.event = Some(String::from_utf8_lossy(&value).into_owned()),
            b"id" if !value.contains(&0) => {
                self.event.id = Some(String::from_utf8_lossy(&value).into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = std::str::from_utf8(&value).unwrap_or_default();
                self.event.retry = digits.parse().ok().map(Duration::from_millis);
            }
            // Comments, whose name is empty, and whatever later versions of the format add. They
            // are not kept, so that any number of them may pass on a quiet stream.
            _ => return,
        }
        self.has_fields = true;
        self.length = self.length.saturating_add(line.len()).saturating_add(1);
    }

    fn take_data(&mut self, line: Bytes) {
        if !std::mem::replace(&mut self.has_data, true) {
            self.event.data = line;
            return;
        }
        let first = std::mem::take(&mut self.event.data);
        let joined = self
            .joined
            .get_or_insert_with(|| BytesMut::from(first.as_ref()));
        joined.extend_from_slice(b"\n");
        joined.extend_from_slice(&line);
    }

    fn finish(self) -> Option<SseEvent> {
        if !self.has_fields {
            return None;
        }
        let data = self.joined.map_or(self.event.data, BytesMut::freeze);
        Some(SseEvent { data, ..self.event })
    }
}

/// Writes a message as one event.
///
/// Line breaks in `data` divide it into several lines, which the reader joins again. An id that
/// cannot stand on one line is left out.
pub fn encode_event(data: &[u8], id: Option<&str>) -> Bytes {
    let mut head = "event: message\n".to_owned();
    if let Some(id) = id.filter(|id| !id.contains(['\n', '\r', '\0'])) {
        head.push_str("id: ");
        head.push_str(id);
        head.push('\n');
    }
    let mut text = Vec::with_capacity(head.len() + data.len() + 8);
    text.extend_from_slice(head.as_bytes());
    let mut rest = data;
    loop {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(rest.get(..end).unwrap_or_default());
        text.push(b'\n');
        let length = if rest
            .get(end..)
            .is_some_and(|rest| rest.starts_with(b"\r\n"))
        {
            2
        } else {
            1
        };
        match rest.get(end + length..) {
            Some(after) => rest = after,
            None => break,
        }
    }
    text.push(b'\n');
    Bytes::from(text)
}

#[cfg(test)]
mod tests;
