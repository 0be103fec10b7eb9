//! The files that events wait in: whole JSON lines, each file named after the number of its first event.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gateway_core::plugin::AuditEvent;

/// How many events are sent at once, and how many bytes of them are read at once. A larger event goes alone.
pub(super) const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

const ENDING: &str = ".jsonl";

/// A segment as the folder shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first event.
    pub(super) first: u64,
    pub(super) length: u64,
}

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}{ENDING}"))
}

/// The segments of a folder, in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        let Some(digits) = digits.filter(|digits| digits.len() == 20) else {
            continue;
        };
        if let Ok(first) = digits.parse() {
            let length = entry.metadata()?.len();
            segments.push(Segment { first, length });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// How many lines a segment has, one that was cut off included: its number was given away.
pub(super) fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 64 * 1024];
    let (mut lines, mut last) = (0, b'\n');
    loop {
        let count = file.read(&mut block)?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        lines += memchr::memchr_iter(b'\n', read).count() as u64;
        last = read.last().copied().unwrap_or(last);
    }
    Ok(lines + u64::from(last != b'\n'))
}

/// What stands next in a segment.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// Events, and the bytes that they were read from.
    Events(Batch),
    /// A line that is no event.
    Damaged(Vec<u8>),
    /// No whole line; so many bytes of one that is not.
    Nothing(u64),
}

/// Events in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) events: Vec<AuditEvent>,
    /// The lines as they are, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
}

impl Batch {
    /// The first so many events.
    pub(super) fn first(&self, count: usize) -> &[AuditEvent] {
        self.events.get(..count).unwrap_or(&self.events)
    }

    /// How many bytes the first so many events take.
    pub(super) fn bytes_of(&self, count: usize) -> usize {
        let last = count.checked_sub(1).and_then(|last| self.ends.get(last));
        last.copied().unwrap_or_default()
    }

    pub(crate) fn line(&self, number: usize) -> &[u8] {
        let range = self.bytes_of(number)..self.bytes_of(number + 1);
        self.bytes.get(range).unwrap_or_default()
    }
}

/// Reads what stands in `file` from `offset` on, and before `limit`: that is how far whole lines go, as
/// far as the writer knows.
pub(super) fn read(file: &mut File, offset: u64, limit: u64) -> io::Result<Found> {
    let mut bytes = Vec::new();
    let mut wanted = BATCH_BYTES;
    loop {
        let there = limit.saturating_sub(offset).min(wanted as u64);
        file.seek(SeekFrom::Start(offset + bytes.len() as u64))?;
        let missing = there.saturating_sub(bytes.len() as u64);
        let count = Read::take(&mut *file, missing).read_to_end(&mut bytes)?;
        // Not even one line: it is longer than what was read, or it is all that there is.
        if memchr::memchr(b'\n', &bytes).is_some() || count == 0 {
            return Ok(decode(bytes));
        }
        wanted = wanted.saturating_mul(2);
    }
}

/// The events at the beginning of `bytes`, up to a line that is none.
pub(crate) fn decode(mut bytes: Vec<u8>) -> Found {
    let mut batch = Batch::default();
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', &bytes) {
        let line: Range<usize> = begin..end;
        let text = bytes.get(line).unwrap_or_default();
        let Ok(event) = serde_json::from_slice(text) else {
            if !batch.events.is_empty() {
                break;
            }
            bytes.truncate(end + 1);
            return Found::Damaged(bytes);
        };
        batch.events.push(event);
        begin = end + 1;
        batch.ends.push(begin);
        if batch.events.len() == BATCH_EVENTS {
            break;
        }
    }
    if batch.events.is_empty() {
        return Found::Nothing(bytes.len() as u64);
    }
    bytes.truncate(begin);
    batch.bytes = bytes;
    Found::Events(batch)
}

/// Whether a line begins at `offset`.
pub(super) fn is_line_start(file: &mut File, offset: u64) -> io::Result<bool> {
    let Some(before) = offset.checked_sub(1) else {
        return Ok(true);
    };
    let mut byte = [0];
    file.seek(SeekFrom::Start(before))?;
    let count = file.read(&mut byte)?;
    Ok(count == 1 && byte == *b"\n")
}
