//! Finds the events that a sink has not acknowledged, segment by segment, and removes those that it has.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use tracing::warn;

use super::Spool;
use super::cursor::Cursor;
use super::segment::{self, Found};
use super::writer::End;

/// Where the delivery is, in the thread that reads.
pub(super) struct Reader {
    /// The next event. It moves on as events are acknowledged.
    pub(super) cursor: Cursor,
    /// What the folder says.
    saved: Cursor,
    /// The segment of the cursor, once it is open.
    file: Option<(u64, File)>,
}

impl Reader {
    pub(super) fn at(cursor: Cursor) -> Self {
        Self {
            cursor,
            saved: cursor,
            file: None,
        }
    }

    /// Saves how far it is, and finds what stands next. `end` is where whole lines ended a moment ago.
    pub(super) fn find(&mut self, spool: &Spool, mut end: End) -> io::Result<Found> {
        if spool.refused_bytes.load(Ordering::Relaxed) > 0 {
            spool.note_refused(spool.folder.refused_bytes());
        }
        loop {
            if self.cursor != self.saved {
                self.cursor.save(&spool.folder.path)?;
                self.saved = self.cursor;
            }
            let found = self.find_here(spool, end)?;
            if !matches!(found, Found::Nothing(_))
                || !self.leave_segment(spool, &mut end, &found)?
            {
                return Ok(found);
            }
        }
    }

    fn find_here(&mut self, spool: &Spool, end: End) -> io::Result<Found> {
        let folder = &spool.folder.path;
        let is_current = end.segment == Some(self.cursor.segment);
        if self.cursor.segment >= end.next && !is_current {
            // Begun since: how far its lines are whole is not known yet.
            return Ok(Found::Nothing(0));
        }
        let is_open = self
            .file
            .as_ref()
            .is_some_and(|(segment, _)| *segment == self.cursor.segment);
        if !is_open {
            match File::open(segment::path(folder, self.cursor.segment)) {
                Ok(file) => self.file = Some((self.cursor.segment, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Found::Nothing(0));
                }
                Err(error) => return Err(error),
            }
        }
        let Some((_, file)) = &mut self.file else {
            return Ok(Found::Nothing(0));
        };
        let limit = match is_current {
            true => end.length,
            false => file.metadata()?.len(),
        };
        segment::read(file, self.cursor.offset, limit)
    }

    /// Goes on to the next segment, if all of this one is delivered and it is not the last. Says whether it did.
    fn leave_segment(&mut self, spool: &Spool, end: &mut End, found: &Found) -> io::Result<bool> {
        let folder = &spool.folder.path;
        if end.segment == Some(self.cursor.segment) {
            // Nothing waits. The room on the disk is given back, unless something has come meanwhile.
            let mut writer = spool.writer.blocking_lock();
            if writer.end() != *end || !writer.retire() {
                return Ok(false);
            }
            *end = writer.end();
        }
        // What was begun since is for the next look.
        let last = end.segment.unwrap_or(end.next);
        if self.cursor.segment >= last {
            return Ok(false);
        }
        if let Found::Nothing(torn @ 1..) = found {
            warn!(folder = %folder.display(), bytes = torn, "an audit event that was cut off is left out");
            spool.space.release(*torn);
        }
        let all = segment::list(folder)?;
        let next = all
            .iter()
            .find(|segment| segment.first > self.cursor.segment);
        let first = next.map_or(last, |segment| segment.first.min(last));
        self.cursor = Cursor {
            segment: first,
            offset: 0,
            event: first,
        };
        self.cursor.save(folder)?;
        self.saved = self.cursor;
        self.file = None;
        spool.acknowledged.send_replace(first);
        for delivered in all.iter().filter(|segment| segment.first < first) {
            std::fs::remove_file(segment::path(folder, delivered.first))?;
        }
        Ok(true)
    }
}
