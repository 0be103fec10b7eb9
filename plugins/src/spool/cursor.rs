//! How far a sink has acknowledged what it was sent: one line, put in place as a whole.

use std::io;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use crate::files;

/// The first event that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The number of the segment that it is in, or will be.
    pub(crate) segment: u64,
    /// Where in there it begins.
    pub(crate) offset: u64,
    /// Its own number.
    pub(crate) event: u64,
}

impl Cursor {
    pub(super) const FILE: &str = "cursor";

    /// The very first event.
    pub(super) const START: Self = Self {
        segment: 0,
        offset: 0,
        event: 0,
    };

    /// Reads what [`text`](Self::text) has written. Anything else is no cursor: one that points too far would
    /// lose events, so that it carries a checksum.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let cursor = Self {
            segment: number()?,
            offset: number()?,
            event: number()?,
        };
        (cursor.text() == text).then_some(cursor)
    }

    pub(crate) fn text(self) -> String {
        let Self {
            segment,
            offset,
            event,
        } = self;
        let numbers = format!("{segment} {offset} {event}");
        let sum = digest(&SHA256, numbers.as_bytes());
        let sum = sum.as_ref().iter().take(8);
        let sum: String = sum.map(|byte| format!("{byte:02x}")).collect();
        format!("{numbers} {sum}\n")
    }

    /// What a folder has; `None` where there is none, or none that can be read.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(folder.join(Self::FILE)) {
            Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(Self::parse)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a folder has one, though it may be damaged.
    pub(super) fn is_in(folder: &Path) -> bool {
        folder.join(Self::FILE).exists()
    }

    /// Not made to last beyond the end of the machine: an earlier one only has events sent again.
    pub(super) fn save(self, folder: &Path) -> io::Result<()> {
        let path = folder.join(Self::FILE);
        let aside = files::beside(&path, ".new");
        let mut file = files::private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&aside)?;
        io::Write::write_all(&mut file, self.text().as_bytes())?;
        std::fs::rename(&aside, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_whole_is_a_cursor() {
        let cursor = Cursor {
            segment: 12,
            offset: 345,
            event: 67,
        };
        let text = cursor.text();
        assert_eq!(text, "12 345 67 444c822247b7b6da\n");
        assert_eq!(Cursor::parse(&text), Some(cursor));
        for end in 0..text.len() {
            assert_eq!(text.get(..end).and_then(Cursor::parse), None);
        }
        for (place, byte) in text.bytes().enumerate() {
            let mut damaged = text.clone().into_bytes();
            damaged[place] = byte ^ 1;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(Cursor::parse(&damaged), None, "{damaged}");
        }
    }
}
