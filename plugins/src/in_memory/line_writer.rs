//! Writes lines to a standard stream from a thread of its own, so that a reader who stops reading
//! blocks that thread and nothing else.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;
use std::time::Duration;
use std::{mem, thread};

use tokio::sync::{mpsc, oneshot};

/// How many writes may wait. Beyond that a caller waits for room until its deadline.
const QUEUE: usize = 256;

/// How long to wait before trying a stream again that another process has made non-blocking.
const RETRY: Duration = Duration::from_millis(5);

/// The process's standard streams as line writers. Each is started when it is first wanted; all
/// tenants share it, because lines of two writers could mix.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    stdout: OnceLock<LineWriter>,
    stderr: OnceLock<LineWriter>,
}

impl Outputs {
    pub(crate) fn stdout(&self) -> io::Result<LineWriter> {
        started(&self.stdout, || LineWriter::start("stdout", io::stdout()))
    }

    pub(crate) fn stderr(&self) -> io::Result<LineWriter> {
        started(&self.stderr, || LineWriter::start("stderr", io::stderr()))
    }
}

fn started(
    cell: &OnceLock<LineWriter>,
    start: impl FnOnce() -> io::Result<LineWriter>,
) -> io::Result<LineWriter> {
    if let Some(writer) = cell.get() {
        return Ok(writer.clone());
    }
    // Of two that start one at the same time, the second drops its own, whose thread then ends.
    let writer = start()?;
    Ok(cell.get_or_init(|| writer).clone())
}

/// A handle to the thread that writes. The thread ends when the last handle is gone and what was
/// queued is written. Nobody joins it: a reader that never reads again must not keep the process.
#[derive(Debug, Clone)]
pub(crate) struct LineWriter {
    name: &'static str,
    queue: mpsc::Sender<Lines>,
}

/// One or several whole lines, written together.
struct Lines {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<()>>,
}

impl LineWriter {
    pub(crate) fn start(
        name: &'static str,
        output: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, lines) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name(format!("lines-{name}"))
            .spawn(move || write_all(lines, output))?;
        Ok(Self { name, queue })
    }

    /// The stream's name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Writes `bytes`, whole lines, and returns when the stream has them. Dropped while it waits
    /// for room, nothing is written; dropped later, the lines are written all the same.
    pub(crate) async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (written, outcome) = oneshot::channel();
        let lines = Lines { bytes, written };
        self.queue.send(lines).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, "the writer has stopped")
}

fn write_all(mut queue: mpsc::Receiver<Lines>, output: impl Write) {
    let mut output = WholeLines {
        output,
        torn: false,
    };
    while let Some(lines) = queue.blocking_recv() {
        let outcome = output.write(&lines.bytes);
        // A caller that no longer waits has no use for the outcome.
        drop(lines.written.send(outcome));
    }
}

/// Keeps lines apart even when a write fails in the middle of one.
struct WholeLines<W> {
    output: W,
    torn: bool,
}

impl<W: Write> WholeLines<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if mem::take(&mut self.torn) {
            self.write_counted(b"\n")
                .inspect_err(|_| self.torn = true)?;
        }
        self.write_counted(lines)?;
        persist(|| self.output.flush())
    }

    fn write_counted(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut begun = false;
        while !bytes.is_empty() {
            match persist(|| self.output.write(bytes)) {
                Ok(0) => {
                    self.torn = begun;
                    return Err(ErrorKind::WriteZero.into());
                }
                Ok(count) => {
                    begun = true;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) => {
                    self.torn = begun;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Repeats what only failed because it was interrupted or would have had to wait.
fn persist<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at a time, and fails where told.
    struct Reluctant {
        taken: Vec<u8>,
        outcomes: Vec<Option<ErrorKind>>,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(Some(kind)) = self.outcomes.pop() {
                return Err(kind.into());
            }
            let count = bytes.len().min(3);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn whole_lines(outcomes: &[Option<ErrorKind>]) -> WholeLines<Reluctant> {
        let outcomes = outcomes.iter().rev().copied().collect();
        let output = Reluctant {
            taken: Vec::new(),
            outcomes,
        };
        WholeLines {
            output,
            torn: false,
        }
    }

    #[test]
    fn carries_on_after_an_interruption_or_a_full_pipe() {
        let waits = [
            None,
            Some(ErrorKind::Interrupted),
            None,
            Some(ErrorKind::WouldBlock),
        ];
        let mut lines = whole_lines(&waits);
        lines.write(b"one two three\n").unwrap();
        assert_eq!(lines.output.taken, b"one two three\n");
    }

    #[test]
    fn a_line_that_failed_in_the_middle_does_not_swallow_the_next() {
        let mut lines = whole_lines(&[None, Some(ErrorKind::StorageFull)]);
        assert!(lines.write(b"broken off\n").is_err());
        lines.write(b"whole\n").unwrap();
        assert_eq!(lines.output.taken, b"bro\nwhole\n");
    }

    #[test]
    fn a_line_that_failed_at_its_beginning_leaves_no_empty_line() {
        let mut lines = whole_lines(&[Some(ErrorKind::StorageFull)]);
        assert!(lines.write(b"lost\n").is_err());
        lines.write(b"whole\n").unwrap();
        assert_eq!(lines.output.taken, b"whole\n");
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_last_handle() {
        let (reader, writer) = io::pipe().unwrap();
        let lines = LineWriter::start("test", writer).unwrap();
        lines.write(b"last words\n".to_vec()).await.unwrap();
        drop(lines);
        // The thread owns the other end of the pipe: it closes when the thread ends.
        let read = tokio::task::spawn_blocking(|| io::read_to_string(reader));
        assert_eq!(read.await.unwrap().unwrap(), "last words\n");
    }
}
