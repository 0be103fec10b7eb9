//! The folder of one spool: `DIR/TENANT/SINK`, for one process at a time.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use gateway_core::TenantId;
use tracing::warn;

use super::cursor::Cursor;
use super::segment::{self, Segment};
use crate::files;

/// What a sink refuses for good.
const REFUSED: &str = "refused.jsonl";

/// The longest name of a folder that is made of a sink's as it is.
const MAX_NAME: usize = 100;

/// A folder that no other process has.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    lock: File,
}

/// What is found in a folder.
pub(super) struct Contents {
    /// From where on events wait.
    pub(super) cursor: Cursor,
    /// The number that the next event will have.
    pub(super) next: u64,
    /// How many bytes wait, and how many are refused.
    pub(super) waiting: u64,
    pub(super) refused: u64,
}

/// Where the spool of a sink is below the folder of all.
pub(super) fn place(dir: &Path, tenant: &TenantId, sink: &str) -> PathBuf {
    dir.join(tenant.as_str()).join(file_name(sink))
}

/// The name of a folder for a sink of any name; different names have different ones, on any file system.
fn file_name(sink: &str) -> String {
    let mut name = String::new();
    for byte in sink.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.is_empty() || name.len() > MAX_NAME {
        let sum = digest(&SHA256, sink.as_bytes());
        let sum = sum.as_ref().iter().take(16);
        let sum: String = sum.map(|byte| format!("{byte:02x}")).collect();
        name.truncate(MAX_NAME - 40);
        name = format!("{name}%%{sum}");
    }
    name
}

impl Folder {
    /// Makes or finds the folder. Fails if another process has it.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        files::create_private_folder(&path)?;
        let lock = files::lock(&path.join("spool"))?;
        Ok(Self { path, lock })
    }

    /// Leaves the folder to whoever wants it next.
    pub(super) fn leave(&self) {
        // It would be left at the latest when this is dropped.
        self.lock.unlock().ok();
    }

    /// Looks at what is there. Of the events only those of the last segment are counted one by one, so that it takes
    /// no longer when many wait.
    pub(super) fn look(&self) -> io::Result<Contents> {
        let mut segments = segment::list(&self.path)?;
        let saved = Cursor::read(&self.path)?;
        let cursor = saved.unwrap_or_else(|| {
            if segments.iter().any(|segment| segment.first > 0) || Cursor::is_in(&self.path) {
                let folder = self.path.display();
                warn!(%folder, "how far the audit events of a spool were delivered is not known: all are sent again");
            }
            Cursor::START
        });
        // What was delivered before the last process ended.
        segments.retain(|segment| {
            let is_delivered = segment.first < cursor.segment;
            !(is_delivered
                && std::fs::remove_file(segment::path(&self.path, segment.first)).is_ok())
        });
        let mut cursor = within(cursor, &segments);
        if !self.is_line_start(cursor)? {
            let folder = self.path.display();
            warn!(%folder, segment = cursor.segment, "a segment of the audit spool is not as it was: its events are sent again");
            cursor.offset = 0;
            cursor.event = cursor.segment;
        }
        let mut next = cursor.event;
        if let Some(last) = segments.last() {
            let lines = segment::count_lines(&segment::path(&self.path, last.first))?;
            next = next.max(last.first + lines);
        }
        let ahead = segments
            .iter()
            .filter(|segment| segment.first >= cursor.segment);
        let length: u64 = ahead.map(|segment| segment.length).sum();
        Ok(Contents {
            cursor,
            next,
            waiting: length.saturating_sub(cursor.offset),
            refused: self.refused_bytes(),
        })
    }

    /// Whether the cursor is where a line begins. After the machine has stopped something else may stand there.
    fn is_line_start(&self, cursor: Cursor) -> io::Result<bool> {
        if cursor.offset == 0 {
            return Ok(true);
        }
        let mut file = File::open(segment::path(&self.path, cursor.segment))?;
        segment::is_line_start(&mut file, cursor.offset)
    }

    /// How many bytes there are of what the sink refused, until somebody takes them away.
    pub(super) fn refused_bytes(&self) -> u64 {
        let file = std::fs::metadata(self.path.join(REFUSED));
        file.map_or(0, |file| file.len())
    }

    /// Sets aside a line that can be delivered to nobody.
    pub(super) fn set_aside(&self, line: &[u8]) -> io::Result<()> {
        let mut file = files::private()
            .append(true)
            .create(true)
            .open(self.path.join(REFUSED))?;
        file.write_all(line)?;
        file.sync_data()
    }
}

/// The cursor, or the place that it must mean: never behind anything that it does not know of.
fn within(cursor: Cursor, segments: &[Segment]) -> Cursor {
    let start_of = |segment: &Segment| Cursor {
        segment: segment.first,
        offset: 0,
        event: segment.first,
    };
    let found = segments
        .iter()
        .find(|segment| segment.first >= cursor.segment);
    match found {
        Some(segment) if segment.first == cursor.segment => Cursor {
            // A machine that stopped may have lost what it was told to write.
            offset: cursor.offset.min(segment.length),
            ..cursor
        },
        Some(segment) => start_of(segment),
        // Everything is delivered.
        None => Cursor {
            segment: cursor.event,
            offset: 0,
            event: cursor.event,
        },
    }
}

/// The folders below `dir` in which events wait, by their tenants' names.
pub(super) fn with_events(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let tenants = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        other => other?,
    };
    for tenant in tenants {
        let Ok(sinks) = std::fs::read_dir(tenant?.path()) else {
            continue;
        };
        for sink in sinks {
            let path = sink?.path();
            let Ok(segments) = segment::list(&path) else {
                continue;
            };
            let cursor = Cursor::read(&path).ok().flatten().unwrap_or(Cursor::START);
            let waits = |segment: &Segment| {
                segment.first > cursor.segment
                    || segment.first == cursor.segment && segment.length > cursor.offset
            };
            if segments.iter().any(waits) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_of_different_names_have_different_folders() {
        assert_eq!(file_name("audit_sink"), "audit_sink");
        assert_eq!(file_name("../A b"), "%2e%2e%2f%41%20b");
        let long = "x".repeat(200);
        let longer = "x".repeat(201);
        assert_ne!(file_name(&long), file_name(&longer));
        assert_ne!(file_name(""), "");
        assert!(file_name(&long).len() <= MAX_NAME);
    }
}
