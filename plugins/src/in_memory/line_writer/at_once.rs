//! Writing a line in the thread of whoever has it. Handing it to another thread and waiting costs
//! several times as much as the write itself.

use std::io::{self, Write};

use super::WholeLines;

/// How long a line may be that a pipe takes whole or not at all (POSIX, `PIPE_BUF`).
const WHOLE: usize = 4096;

/// Writes without waiting; an error of kind `WouldBlock` if there is no room.
pub(crate) type WriteNow<W> = fn(&mut W, &[u8]) -> io::Result<usize>;

/// A stream of the process.
pub(crate) trait Stream: Write + Send + Sized + 'static {
    /// How short lines are written to it at once, where it takes them whole or not at all.
    fn write_now(&self) -> Option<WriteNow<Self>>;
}

#[cfg(target_os = "linux")]
impl<T: Write + std::os::fd::AsFd + Send + 'static> Stream for T {
    fn write_now(&self) -> Option<WriteNow<Self>> {
        use rustix::fs::FileType;
        use rustix::io::{ReadWriteFlags, pwritev2};
        let status = rustix::fs::fstat(self).ok()?;
        let kind = FileType::from_raw_mode(status.st_mode);
        matches!(kind, FileType::Fifo | FileType::CharacterDevice).then_some(|output, bytes| {
            let slices = [io::IoSlice::new(bytes)];
            // By this offset the call knows streams, which have none.
            let written = pwritev2(output, &slices, u64::MAX, ReadWriteFlags::NOWAIT);
            Ok(written?)
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl<T: Write + Send + 'static> Stream for T {
    fn write_now(&self) -> Option<WriteNow<Self>> {
        None
    }
}

impl<W> WholeLines<W> {
    /// Writes lines at once and whole, or, with `None`, leaves them to the thread. A way of doing so
    /// that turns out not to be one is given up.
    pub(super) fn write_now(&mut self, lines: &[u8]) -> Option<io::Result<()>> {
        let write = self.now.filter(|_| !self.torn && lines.len() <= WHOLE)?;
        match write(&mut self.output, lines) {
            Ok(count) if count == lines.len() => return Some(Ok(())),
            // A device that keeps no such promise.
            Ok(count) => self.torn = count > 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Some(Err(error)),
            // A system that does not know this way.
            Err(_) => {}
        }
        self.now = None;
        None
    }
}
