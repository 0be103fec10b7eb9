//! The file of audit `file`: whole lines, set aside when it is large or old enough.

mod rotate;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use gateway_core::config::{AuditDurability, Settings, TimeSpan, Violation};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{error, warn};

use super::line_writer::LineOutput;
use super::pace::Pace;
use crate::files::{self, Allocate};
use crate::settings;

/// How much room is kept free for events of requests that are under way: 800 bytes for each of
/// the 10,000 that a tenant may have.
const HEADROOM: u64 = 8 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSettings {
    path: PathBuf,
    max_bytes: u64,
    max_age: Option<TimeSpan>,
    keep: usize,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            path: "audit.jsonl".into(),
            max_bytes: 100 * 1024 * 1024,
            max_age: None,
            keep: 10,
        }
    }
}

/// When a file is set aside, how many are kept, and what is promised of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    max_bytes: u64,
    max_age: Option<Duration>,
    keep: usize,
    to_disk: bool,
}

impl Limits {
    /// Reads the settings of `file`: where it is, and its limits.
    pub(crate) fn read(
        settings: &Settings,
        durability: Option<AuditDurability>,
    ) -> Result<(PathBuf, Self), Vec<Violation>> {
        let settings: FileSettings = settings::read(settings)?;
        let mut violations = Vec::new();
        if settings.path.file_name().is_none() {
            violations.push(Violation::new("path", "names no file"));
        }
        if settings.max_bytes < 4096 {
            let reason = "is too small: one event may be as large; write 4096 or more";
            violations.push(Violation::new("max_bytes", reason));
        }
        let limits = Self {
            max_bytes: settings.max_bytes,
            max_age: settings.max_age.map(TimeSpan::as_duration),
            keep: settings.keep,
            to_disk: durability == Some(AuditDurability::Disk),
        };
        match violations.is_empty() {
            true => Ok((settings.path, limits)),
            false => Err(violations),
        }
    }
}

/// An audit file that is being written to. No other process does so at the same time.
pub(crate) struct RotatingFile {
    path: PathBuf,
    limits: Arc<ArcSwap<Limits>>,
    file: File,
    /// Up to here the file is whole lines.
    length: u64,
    /// Up to here the file system has room for it.
    allocated: u64,
    allocate: Allocate,
    /// Told whether requests must ask for room.
    low: Arc<AtomicBool>,
    /// When the file's first line was written.
    began: Timestamp,
    /// Whether something of a line that failed may stand behind the last whole one.
    torn: bool,
    dirty: bool,
    pace: Pace,
    _lock: File,
}

impl RotatingFile {
    /// Opens the file, or makes it. A last line that the end of an earlier process cut off, which
    /// nobody was told was written, is removed.
    pub(crate) fn open(
        path: &Path,
        limits: Arc<ArcSwap<Limits>>,
        low: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        Self::open_with(path, limits, low, files::allocate)
    }

    fn open_with(
        path: &Path,
        limits: Arc<ArcSwap<Limits>>,
        low: Arc<AtomicBool>,
        allocate: Allocate,
    ) -> io::Result<Self> {
        let lock = files::lock(path)?;
        let mut file = append_to(path)?;
        let (length, began) = mend(&mut file, path)?;
        files::sync_folder_of(path)?;
        let mut opened = Self {
            path: path.to_owned(),
            limits,
            file,
            length,
            allocated: length,
            allocate,
            low,
            began,
            torn: false,
            dirty: false,
            pace: Pace::default(),
            _lock: lock,
        };
        opened.make_room().ok();
        Ok(opened)
    }

    fn is_due(&self, limits: &Limits, further: usize) -> bool {
        let old = limits.max_age.is_some_and(|age| {
            let age = jiff::SignedDuration::try_from(age).unwrap_or(jiff::SignedDuration::MAX);
            self.began.duration_until(Timestamp::now()) >= age
        });
        self.length > 0 && (old || self.length + further as u64 > limits.max_bytes)
    }

    /// Sets the file aside and begins another. Whenever that is broken off, no line is lost.
    fn rotate(&mut self, limits: &Limits) -> io::Result<()> {
        self.commit()?;
        let aside = files::beside(&self.path, ".new");
        std::fs::remove_file(&aside).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let next = append_to(&aside)?;
        (self.allocate)(&next, 0, HEADROOM)?;
        rotate::set_aside(&self.path)?;
        std::fs::rename(&aside, &self.path)?;
        // Gives back what was allocated behind its end.
        self.file.set_len(self.length)?;
        self.file = next;
        self.length = 0;
        self.allocated = HEADROOM;
        self.began = Timestamp::now();
        files::sync_folder_of(&self.path)?;
        rotate::prune(&self.path, limits.keep)
    }
}

impl LineOutput for RotatingFile {
    const BATCH: usize = 128;

    fn write_at_once(&mut self, lines: &[u8]) -> Option<io::Result<()>> {
        let limits = **self.limits.load();
        let has_room = self.allocated >= self.length + lines.len() as u64 + HEADROOM;
        let waits = limits.to_disk || self.torn || !has_room || self.is_due(&limits, lines.len());
        if waits || !self.pace.allows() {
            return None;
        }
        // In a write of a few hundred bytes to the system's cache there is nothing to wait for.
        let began = Instant::now();
        let outcome = self.write_lines(lines);
        self.pace.note(began.elapsed());
        Some(outcome)
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
            self.torn = false;
        }
        let limits = **self.limits.load();
        if self.is_due(&limits, lines.len())
            && let Err(error) = self.rotate(&limits)
        {
            // The lines matter more than where they are.
            error!(%error, file = %self.path.display(), "the audit file was not set aside");
        }
        self.dirty = true;
        if let Err(error) = self.file.write_all(lines) {
            self.torn = self.file.set_len(self.length).is_err();
            self.allocated = self.length;
            self.low.store(true, Ordering::Relaxed);
            return Err(error);
        }
        if self.length == 0 {
            self.began = Timestamp::now();
        }
        self.length += lines.len() as u64;
        // That there is no room is for the next request to find out; these lines are written.
        self.make_room().ok();
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        if self.dirty && self.limits.load().to_disk {
            self.file.sync_data()?;
        }
        self.dirty = false;
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.allocated >= self.length + HEADROOM {
            return Ok(());
        }
        // Twice as much as is needed, so that not every line asks.
        let outcome = (self.allocate)(&self.file, self.length, 2 * HEADROOM);
        self.low.store(outcome.is_err(), Ordering::Relaxed);
        if outcome.is_ok() {
            self.allocated = self.length + 2 * HEADROOM;
        }
        outcome
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    files::private()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
}

/// Removes what stands behind the last whole line. Says how long the file is then, and when its
/// first event was.
fn mend(file: &mut File, path: &Path) -> io::Result<(u64, Timestamp)> {
    let size = file.metadata()?.len();
    let mut whole = size;
    let mut block = [0; 8192];
    'search: while whole > 0 {
        let start = whole.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(start))?;
        let part = usize::try_from(whole - start).unwrap_or(block.len());
        let part = block.get_mut(..part).unwrap_or_default();
        file.read_exact(part)?;
        if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
            whole = start + end as u64 + 1;
            break 'search;
        }
        whole = start;
    }
    if whole < size {
        warn!(file = %path.display(), bytes = size - whole, "an audit event that was cut off was removed");
        file.set_len(whole)?;
    }
    file.seek(SeekFrom::Start(0))?;
    let mut first = Vec::new();
    io::BufRead::read_until(
        &mut io::BufReader::new(file.take(64 * 1024)),
        b'\n',
        &mut first,
    )?;
    let event: serde_json::Value = serde_json::from_slice(&first).unwrap_or_default();
    let began = event.get("timestamp").and_then(|time| time.as_str());
    let began = began.and_then(|time| time.parse().ok());
    Ok((whole, began.unwrap_or_else(Timestamp::now)))
}

/// Everything in a file and in those that were set aside, the oldest first.
#[cfg(test)]
pub(crate) fn everything(path: &Path) -> String {
    let mut files = rotate::aside(path).unwrap();
    files.push(path.to_owned());
    let read = |file: PathBuf| std::fs::read_to_string(file).unwrap();
    files.into_iter().map(read).collect()
}

#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;
