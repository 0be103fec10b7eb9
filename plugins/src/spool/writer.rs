//! Appends lines to the last segment, and begins another when that is large enough.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::error;

use super::segment;
use crate::files::{self, Allocate};

/// How much room the file system is asked for at once, and how much there always is beyond what is promised.
const STEP: u64 = 512 * 1024;
const SPARE: u64 = 64 * 1024;

/// Where the whole lines of a spool end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct End {
    /// The segment that is written to, if there is one.
    pub(super) segment: Option<u64>,
    pub(super) length: u64,
    /// The number that the next event will have.
    pub(super) next: u64,
}

/// The end of a spool. Nobody else writes there.
pub(super) struct Writer {
    folder: PathBuf,
    segment_bytes: u64,
    allocate: Allocate,
    current: Option<Current>,
    next: u64,
    /// Whether what is written is to last beyond the end of the machine.
    to_disk: bool,
    /// What was written to and may not be on the disk.
    unsynced: Vec<Arc<File>>,
    /// Whether there are files whose names may not be.
    has_new_files: bool,
}

struct Current {
    first: u64,
    file: Arc<File>,
    /// Up to here it is whole lines.
    length: u64,
    /// Up to here the file system has room for it.
    allocated: u64,
    /// Whether something of a line that failed may stand behind the last whole one.
    torn: bool,
}

impl Writer {
    /// One that goes on with event `next`, in a segment of its own: what a crash may have left of a line stays where
    /// it is.
    pub(super) fn new(folder: PathBuf, next: u64, segment_bytes: u64, allocate: Allocate) -> Self {
        Self {
            folder,
            segment_bytes,
            allocate,
            current: None,
            next,
            to_disk: false,
            unsynced: Vec::new(),
            has_new_files: false,
        }
    }

    pub(super) fn end(&self) -> End {
        End {
            segment: self.current.as_ref().map(|current| current.first),
            length: self.current.as_ref().map_or(0, |current| current.length),
            next: self.next,
        }
    }

    pub(super) fn set_to_disk(&mut self, to_disk: bool) {
        self.to_disk = to_disk;
    }

    /// Writes `count` whole lines with one write, while so many bytes are promised to others. Says whether the file
    /// system has room for those.
    pub(super) fn append(&mut self, lines: &[u8], count: u64, promised: u64) -> io::Result<bool> {
        let is_full = |current: &Current| current.length >= self.segment_bytes;
        if self.current.as_ref().is_none_or(is_full)
            && let Err(error) = self.begin(promised)
        {
            if self.current.is_none() {
                return Err(error);
            }
            // The events matter more than the size of their segment.
            error!(%error, folder = %self.folder.display(), "no further segment of the audit spool could be begun");
        }
        let Some(current) = &mut self.current else {
            return Err(io::ErrorKind::NotFound.into());
        };
        current.write(lines)?;
        self.next += count;
        Ok(self.make_room(promised).is_ok())
    }

    /// Sees to it that the file system has room for what is promised.
    pub(super) fn make_room(&mut self, promised: u64) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return self.begin(promised);
        };
        let needed = current.length + promised + SPARE;
        if current.allocated < needed {
            let further = needed - current.length + STEP;
            (self.allocate)(&current.file, current.length, further)?;
            current.allocated = current.length + further;
        }
        Ok(())
    }

    /// Begins another segment.
    fn begin(&mut self, promised: u64) -> io::Result<()> {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.length == 0)
        {
            return Ok(());
        }
        let file = files::private()
            .append(true)
            .create(true)
            .open(segment::path(&self.folder, self.next))?;
        let allocated = promised + SPARE + STEP;
        (self.allocate)(&file, 0, allocated)?;
        self.give_back();
        if let Some(before) = self.current.take()
            && self.to_disk
        {
            self.unsynced.push(before.file);
        }
        self.has_new_files = true;
        self.current = Some(Current {
            first: self.next,
            file: Arc::new(file),
            length: 0,
            allocated,
            torn: false,
        });
        Ok(())
    }

    /// Ends the segment that is written to, all of which is acknowledged, if it is worth it.
    pub(super) fn retire(&mut self) -> bool {
        let is_large = |current: &mut Current| current.length >= self.segment_bytes / 4;
        self.current.take_if(is_large).is_some()
    }

    /// Gives back the room behind the end of the segment that is written to.
    pub(super) fn give_back(&mut self) {
        if let Some(current) = &mut self.current {
            // It is no more than room on the disk.
            current.file.set_len(current.length).ok();
            current.allocated = current.length;
        }
    }

    /// What has to be synced for everything so far to last: the folder if there are new names in it.
    pub(super) fn unsynced(&mut self) -> (Vec<Arc<File>>, bool) {
        let current = self.current.as_ref().map(|current| &current.file);
        let files = self.unsynced.iter().chain(current).cloned();
        (files.collect(), self.has_new_files)
    }

    /// Takes note of what was synced.
    pub(super) fn is_synced(&mut self, files: &[Arc<File>], folder: bool) {
        let is_synced = |file: &Arc<File>| files.iter().any(|synced| Arc::ptr_eq(synced, file));
        self.unsynced.retain(|file| !is_synced(file));
        let current_is = |current: &Current| is_synced(&current.file);
        if folder && self.current.as_ref().is_none_or(current_is) {
            self.has_new_files = false;
        }
    }
}

impl Current {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
            self.torn = false;
        }
        if let Err(error) = (&*self.file).write_all(lines) {
            self.torn = self.file.set_len(self.length).is_err();
            self.allocated = self.length;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }
}
