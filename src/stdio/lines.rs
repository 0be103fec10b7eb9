//! Standard input and output as lines. Each has a thread of its own, so that a client which neither
//! writes nor reads keeps nothing from ending.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use gateway_mcp::lines::{LineDecoder, LineTooLong};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How many lines may wait, in either direction.
const WAITING: usize = 64;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// How long to wait before trying a stream again that another process has made non-blocking.
const RETRY: Duration = Duration::from_millis(5);

/// How long the client may take to read what is left at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A line of the client's, or that it wrote one that is too long.
pub(super) type Line = Result<Bytes, LineTooLong>;

/// Reads standard input until its end, in lines of up to `max_bytes`.
pub(super) fn read_input(max_bytes: usize) -> anyhow::Result<mpsc::Receiver<Line>> {
    let (sender, lines) = mpsc::channel(WAITING);
    spawn("stdin", move || {
        let mut decoder = LineDecoder::new(max_bytes);
        let mut chunk = vec![0; CHUNK];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut chunk) {
                // One that cannot be read any more is at its end.
                Ok(0) => break,
                Ok(length) => decoder.push(chunk.get(..length).unwrap_or_default().to_vec()),
                Err(error) if is_passing(&error) => thread::sleep(RETRY),
                Err(_) => break,
            }
            while let Some(line) = decoder.next_line() {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        }
        if let Some(line) = decoder.finish() {
            drop(sender.blocking_send(line));
        }
    })?;
    Ok(lines)
}

/// Writes standard output.
pub(super) struct Output {
    lines: mpsc::Sender<Bytes>,
    closed: CancellationToken,
    /// Ends when the thread does.
    written: oneshot::Receiver<()>,
}

impl Output {
    pub(super) fn start() -> anyhow::Result<Self> {
        let (lines, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let (done, written) = oneshot::channel::<()>();
        let closed = CancellationToken::new();
        let closing = closed.clone();
        spawn("stdout", move || {
            while let Some(line) = waiting.blocking_recv() {
                if write(&line).is_err() {
                    break;
                }
            }
            closing.cancel();
            drop(done);
        })?;
        Ok(Self {
            lines,
            closed,
            written,
        })
    }

    /// Takes whole lines.
    pub(super) fn sender(&self) -> mpsc::Sender<Bytes> {
        self.lines.clone()
    }

    /// Waits until nobody reads any more.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Waits for what is left to be read, once every sender is gone.
    pub(super) async fn finish(self) {
        drop(self.lines);
        drop(timeout(LAST_WORDS, self.written).await);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(work);
    started.map(drop).context("a thread cannot be started")
}

/// Writes a line, all of it.
fn write(line: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut rest = line;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => rest = rest.get(length..).unwrap_or_default(),
            Err(error) if is_passing(&error) => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    loop {
        match out.flush() {
            Err(error) if is_passing(&error) => thread::sleep(RETRY),
            flushed => return flushed,
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
