//! Writes lines: at once where that takes no time worth speaking of, and otherwise from a thread of
//! its own, so that a reader who stops reading, or a disk that is slow, blocks that thread and
//! nothing else.

mod at_once;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use std::{fmt, mem, thread};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::audit_file::{Limits, RotatingFile};
use crate::Metrics;

use at_once::{Stream, WriteNow};

/// How many writes may wait. Beyond that a caller waits for room until its deadline.
const QUEUE: usize = 256;

/// How long to wait before trying a stream again that another process has made non-blocking.
const RETRY: Duration = Duration::from_millis(5);

/// What the tenants' plugins share: the process's standard streams and audit files as line writers,
/// and its measurements. Each is started when it is
/// first wanted; all share it, because lines of two writers could mix.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    stdout: OnceLock<LineWriter>,
    /// Standard output is for something else: what should go there goes to standard error.
    stdout_is_taken: bool,
    stderr: OnceLock<LineWriter>,
    /// The files that somebody writes to, and those that nobody does any more.
    files: ArcSwap<BTreeMap<PathBuf, OpenFile>>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct OpenFile {
    queue: mpsc::WeakSender<Job>,
    output: Weak<dyn AtOnce>,
    waiting: Arc<AtomicUsize>,
    low: Arc<AtomicBool>,
    limits: Arc<ArcSwap<Limits>>,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").finish_non_exhaustive()
    }
}

impl Outputs {
    /// From now on, what should go to standard output goes to standard error.
    pub(crate) fn take_stdout(&mut self) {
        self.stdout_is_taken = true;
    }

    pub(crate) fn stdout(&self) -> io::Result<LineWriter> {
        if self.stdout_is_taken {
            return self.stderr();
        }
        started(&self.stdout, || LineWriter::start("stdout", io::stdout()))
    }

    pub(crate) fn stderr(&self) -> io::Result<LineWriter> {
        started(&self.stderr, || LineWriter::start("stderr", io::stderr()))
    }

    /// What the process measured.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// An audit file. One that is open already gets these limits from now on.
    pub(crate) fn file(&self, path: &Path, limits: Limits) -> io::Result<LineWriter> {
        let name = "the audit file";
        let files = self.files.load();
        if let Some(open) = files.get(path)
            && let Some(queue) = open.queue.upgrade()
            // Whoever holds the queue keeps the thread, and that the output.
            && let Some(output) = open.output.upgrade()
        {
            open.limits.store(Arc::new(limits));
            return Ok(LineWriter {
                name,
                queue,
                output,
                waiting: Arc::clone(&open.waiting),
                low: Arc::clone(&open.low),
            });
        }
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let low = Arc::new(AtomicBool::new(false));
        let file = RotatingFile::open(path, Arc::clone(&limits), Arc::clone(&low))?;
        let writer = LineWriter::over(name, file, low)?;
        let open = OpenFile {
            queue: writer.queue.downgrade(),
            output: Arc::downgrade(&writer.output),
            waiting: Arc::clone(&writer.waiting),
            low: Arc::clone(&writer.low),
            limits,
        };
        let mut files = BTreeMap::clone(&files);
        files.retain(|_, open| open.queue.upgrade().is_some());
        files.insert(path.to_owned(), open);
        self.files.store(Arc::new(files));
        Ok(writer)
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

/// A handle to an output and to the thread that writes what has to wait. The thread ends when the
/// last handle is gone and what was queued is written. Nobody joins it: a reader that never reads
/// again must not keep the process.
#[derive(Clone)]
pub(crate) struct LineWriter {
    name: &'static str,
    queue: mpsc::Sender<Job>,
    output: Arc<dyn AtOnce>,
    /// How many writes the thread has still to make: none overtakes them.
    waiting: Arc<AtomicUsize>,
    /// Whether the output is running out of room.
    low: Arc<AtomicBool>,
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One or several whole lines, written together; none only asks for room.
struct Job {
    bytes: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
    waiting: Waiting,
}

/// Counts as a write that waits until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where lines go.
pub(crate) trait LineOutput: Send + 'static {
    /// How many writes are collected before they are made to last.
    const BATCH: usize;

    /// Writes whole lines, and makes them last, in the thread of whoever asks: nothing and `None` if
    /// they might have to wait for somebody.
    fn write_at_once(&mut self, lines: &[u8]) -> Option<io::Result<()>>;

    /// Writes whole lines. After an error the next lines begin a line of their own.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Makes what was written last, as far as the output promises.
    fn commit(&mut self) -> io::Result<()>;

    /// Sees to it that there is room for what is under way.
    fn make_room(&mut self) -> io::Result<()>;
}

/// An output that nobody else writes to just now.
trait AtOnce: Send + Sync {
    /// As [`LineOutput::write_at_once`].
    fn write_at_once(&self, lines: &[u8]) -> Option<io::Result<()>>;
}

impl<O: LineOutput> AtOnce for Mutex<O> {
    fn write_at_once(&self, lines: &[u8]) -> Option<io::Result<()>> {
        self.try_lock().ok()?.write_at_once(lines)
    }
}

impl LineWriter {
    pub(crate) fn start(name: &'static str, output: impl Stream) -> io::Result<Self> {
        let output = WholeLines {
            now: output.write_now(),
            output,
            torn: false,
        };
        Self::over(name, output, Arc::default())
    }

    fn over(name: &'static str, output: impl LineOutput, low: Arc<AtomicBool>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let output = Arc::new(Mutex::new(output));
        let shared = Arc::clone(&output);
        thread::Builder::new()
            .name("audit-lines".to_owned())
            .spawn(move || work(jobs, &shared))?;
        Ok(Self {
            name,
            queue,
            output,
            waiting: Arc::default(),
            low,
        })
    }

    /// The output's name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Writes `bytes`, whole lines, and returns when the stream has them. Dropped while it waits
    /// for room, nothing is written; dropped later, the lines are written all the same.
    pub(crate) async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        let is_next = self.waiting.load(Ordering::SeqCst) == 0 && !bytes.is_empty();
        if is_next && let Some(outcome) = self.output.write_at_once(&bytes) {
            return outcome;
        }
        let (done, outcome) = oneshot::channel();
        let job = Job {
            bytes,
            done,
            waiting: Waiting::begin(&self.waiting),
        };
        self.queue.send(job).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Sees to it that there is room for further lines. That is known while there is plenty.
    pub(crate) async fn make_room(&self) -> io::Result<()> {
        match self.low.load(Ordering::Relaxed) {
            true => self.write(Vec::new()).await,
            false => Ok(()),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, "the writer has stopped")
}

fn work<O: LineOutput>(mut queue: mpsc::Receiver<Job>, output: &Mutex<O>) {
    let mut batch = Vec::with_capacity(O::BATCH);
    while queue.blocking_recv_many(&mut batch, O::BATCH) > 0 {
        let mut output = output.blocking_lock();
        let run = |job: Job| {
            let outcome = match job.bytes.is_empty() {
                true => output.make_room(),
                false => output.write_lines(&job.bytes),
            };
            (job.done, job.waiting, outcome)
        };
        let written: Vec<_> = batch.drain(..).map(run).collect();
        let committed = output.commit();
        for (done, waiting, outcome) in written {
            // Before its caller may write the next one.
            drop(waiting);
            let lasting = match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // A caller that no longer waits has no use for the outcome.
            drop(done.send(outcome.and(lasting)));
        }
    }
}

/// Keeps lines apart even when a write fails in the middle of one.
struct WholeLines<W> {
    output: W,
    /// How it is written to at once, where it can be.
    now: Option<WriteNow<W>>,
    torn: bool,
}

impl<W: Write + Send + 'static> LineOutput for WholeLines<W> {
    // What a stream has taken is out of the gateway's hands.
    const BATCH: usize = 1;

    fn write_at_once(&mut self, lines: &[u8]) -> Option<io::Result<()>> {
        self.write_now(lines)
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if mem::take(&mut self.torn) {
            self.write_counted(b"\n")
                .inspect_err(|_| self.torn = true)?;
        }
        self.write_counted(lines)?;
        persist(|| self.output.flush())
    }

    fn commit(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> WholeLines<W> {
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
mod tests;
