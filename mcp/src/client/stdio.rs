//! The channel to a command server: one child, whose input and output all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway_core::Deadline;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::abandon::Abandon;
use super::callback::Callbacks;
use super::child::{ChildCommand, Pipes, Process};
use super::error::{ClientError, excerpt};
use super::events::{self, EventReceiver, EventSlot};
use super::exchange::{Answers, Exchange};
use super::identity::Identity;
use super::last_words::{LINE_CHARACTERS, LastWords};
use super::pending::{ChannelEnd, Pending};
use super::router::{Outlet, Router};
use crate::lines::{LineDecoder, encode_line};
use crate::message::Message;
use crate::version::Era;

/// Messages that wait for the child to read its input.
const WAITING_LINES: usize = 64;
/// The longest line of stderr that is logged.
const STDERR_LINE_BYTES: usize = 8 * 1024;
/// How long the last output of a child that has ended is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a peer can answer nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedReason {
    /// The child ended by itself; the status is missing if it could not be waited for.
    Exited(Option<std::process::ExitStatus>),
    /// The gateway ended it.
    Ended,
}

/// A child and the requests under way on it. The child is ended when this is dropped.
#[derive(Debug)]
pub(super) struct StdioLink {
    label: Arc<str>,
    next_wire: AtomicU64,
    pending: Arc<Pending>,
    callbacks: Callbacks,
    lines: mpsc::Sender<Bytes>,
    events: EventSlot,
    era: watch::Sender<Option<Era>>,
    closed: watch::Receiver<Option<ClosedReason>>,
    stop: CancellationToken,
}

impl StdioLink {
    /// Starts the command and the tasks that serve it, which end with the child.
    ///
    /// `callbacks` are the server's requests that are not answered here.
    pub(super) fn start(
        command: &ChildCommand,
        callbacks: Callbacks,
    ) -> Result<Arc<Self>, ClientError> {
        let (
            process,
            Pipes {
                stdin,
                stdout,
                stderr,
            },
        ) = command.start()?;
        if let Some(kept) = &command.last_words {
            kept.begin();
        }
        let label: Arc<str> = command.label.as_str().into();
        let (lines, waiting_lines) = mpsc::channel(WAITING_LINES);
        let (event_sender, events) = events::kept_channel();
        let (closed_sender, closed) = watch::channel(None);
        let era = watch::Sender::new(None);
        let stop = CancellationToken::new();
        let pending = Arc::new(Pending::default());

        let router = Router {
            label: label.clone(),
            pending: pending.clone(),
            outlet: Outlet::Lines(lines.clone()),
            events: event_sender,
            callbacks,
            era: era.subscribe(),
            last_words: command.last_words.clone(),
            strays: 0,
        };
        let reader = tokio::spawn(read_messages(stdout, command.max_line_bytes, router));
        let logger = match command.last_words.clone() {
            Some(kept) => tokio::spawn(keep_stderr(stderr, kept)),
            None => tokio::spawn(log_stderr(stderr, label.clone())),
        };
        let writer = tokio::spawn(write_lines(stdin, waiting_lines, stop.clone()));
        let tasks = Tasks {
            reader,
            writer,
            logger,
            stop: stop.clone(),
        };
        let watching = supervise(process, tasks, pending.clone(), closed_sender);
        drop(command.tasks.spawn(watching));

        let next_wire = AtomicU64::new(1);
        Ok(Arc::new(Self {
            label,
            next_wire,
            pending,
            callbacks,
            lines,
            events,
            era,
            closed,
            stop,
        }))
    }

    pub(super) fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Sets what is known of the server, on which it depends whether its requests are answered.
    pub(super) fn set_era(&self, era: Era) {
        self.era.send_replace(Some(era));
    }

    pub(super) async fn request(
        self: &Arc<Self>,
        message: &Message,
        deadline: Deadline,
    ) -> Result<Exchange, ClientError> {
        let wire = self.next_wire.fetch_add(1, Ordering::Relaxed);
        let (identity, outgoing) =
            Identity::assign(message, wire).map_err(|source| ClientError::Unsendable {
                server: self.label.clone(),
                source,
            })?;
        let arrivals = self
            .pending
            .insert(wire, message)
            .map_err(|end| end.refuse(&self.label))?;
        // From here on the place is given up again, also if the caller goes away while waiting.
        let mut abandon = Abandon::child(self.clone(), wire);
        self.send(encode_line(&outgoing), deadline).await?;
        abandon.set_tell(true);
        Ok(Exchange::new(
            self.label.clone(),
            identity,
            deadline,
            Answers::Shared(arrivals),
            Some(abandon),
        )
        .with_callbacks(self.callbacks))
    }

    /// Sends a message that wants no response: a notification, or a response.
    pub(super) async fn notify(
        &self,
        message: &Message,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        self.send(encode_line(message), deadline).await
    }

    /// Takes request `wire`'s place away; says whether it was still waiting.
    pub(super) fn forget(&self, wire: u64) -> bool {
        self.pending.remove(wire)
    }

    /// Sends a message for which nobody can wait. A child that has let its queue fill up would not
    /// read it soon enough anyway.
    pub(super) fn dispatch(&self, message: &Message) {
        if self.lines.try_send(encode_line(message)).is_err() {
            tracing::debug!(server = %self.label, "a cancellation was not sent: the queue is full");
        }
    }

    /// From now on what the child says without naming a request goes to the request that it is
    /// most likely for.
    pub(super) fn serve_one_client(&self) {
        self.pending.serve_one_client();
    }

    pub(super) fn events(&self) -> EventReceiver {
        self.events.take()
    }

    /// Completes when the child has ended and nothing more can be answered.
    pub(super) async fn closed(&self) -> ClosedReason {
        let mut closed = self.closed.clone();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(ClosedReason::Ended),
            // The supervisor is gone without a word: the runtime is shutting down.
            Err(_) => ClosedReason::Ended,
        }
    }

    /// Ends the child and waits until it is gone.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.closed().await;
    }

    async fn send(&self, line: Bytes, deadline: Deadline) -> Result<(), ClientError> {
        match timeout(deadline.remaining(), self.lines.send(line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => {
                // The input is closed; how the child ended is known only once it is reaped.
                let status = match timeout(deadline.remaining(), self.closed()).await {
                    Ok(ClosedReason::Exited(status)) => status,
                    _ => None,
                };
                Err(ChannelEnd::Exited(status).refuse(&self.label))
            }
            Err(_) => Err(ClientError::DeadlineExceeded {
                server: self.label.clone(),
                sent: false,
            }),
        }
    }
}

impl Drop for StdioLink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What serves a child, apart from the task that watches over it.
struct Tasks {
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
    logger: JoinHandle<()>,
    /// Closes the child's standard input.
    stop: CancellationToken,
}

/// Owns the child from its start until it is reaped, whoever wants it to end.
async fn supervise(
    mut process: Process,
    mut tasks: Tasks,
    pending: Arc<Pending>,
    closed: watch::Sender<Option<ClosedReason>>,
) {
    let exited = tokio::select! {
        end = process.wait() => Some(end),
        () = tasks.stop.cancelled() => None,
        // A server that closes its output or input will not answer any more.
        _ = &mut tasks.reader => None,
        _ = &mut tasks.writer => None,
    };
    let by_gateway = exited.is_none() && tasks.stop.is_cancelled();
    tasks.stop.cancel();
    let end = match exited {
        Some(end) => end,
        None => process.end().await,
    };
    // Kills what is left of the group: it would keep the output open, and nobody would end it.
    drop(process);
    // What the child said last is still in the pipes.
    for task in [&mut tasks.reader, &mut tasks.logger] {
        if !task.is_finished() && timeout(DRAIN_TIMEOUT, &mut *task).await.is_err() {
            task.abort();
        }
    }
    pending.end(ChannelEnd::Exited(end.status));
    let reason = if by_gateway {
        ClosedReason::Ended
    } else {
        ClosedReason::Exited(end.status)
    };
    closed.send_replace(Some(reason));
}

/// Writes to the child's input until the child closes it, or `stop`.
async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: mpsc::Receiver<Bytes>,
    stop: CancellationToken,
) {
    let writing = async {
        while let Some(line) = lines.recv().await {
            if stdin.write_all(&line).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        () = stop.cancelled() => {}
    }
}

async fn read_messages(stdout: impl AsyncRead + Unpin, max_line_bytes: usize, mut router: Router) {
    read_lines(stdout, max_line_bytes, |line| match line {
        Ok(line) => router.route(line),
        Err(limit) => tracing::warn!(
            server = %router.label,
            limit,
            "skipped a message that is longer than permitted; the request it answers will time out"
        ),
    })
    .await;
}

async fn log_stderr(stderr: impl AsyncRead + Unpin, label: Arc<str>) {
    read_lines(stderr, STDERR_LINE_BYTES, |line| match line {
        Ok(line) => {
            let line = excerpt(&line, STDERR_LINE_BYTES);
            tracing::info!(target: "mcp_server", server = %label, "stderr: {line}");
        }
        Err(limit) => {
            tracing::info!(target: "mcp_server", server = %label, "stderr: (a line of more than {limit} bytes)");
        }
    })
    .await;
}

async fn keep_stderr(stderr: impl AsyncRead + Unpin, kept: LastWords) {
    read_lines(stderr, STDERR_LINE_BYTES, |line| {
        let line = line.map_or_else(
            |limit| format!("(a line of more than {limit} bytes)"),
            |line| excerpt(&line, LINE_CHARACTERS),
        );
        if !line.is_empty() {
            kept.add(line);
        }
    })
    .await;
}

/// Calls `take` with every line until the end; with the limit for a line that exceeds it.
async fn read_lines(
    mut source: impl AsyncRead + Unpin,
    limit: usize,
    mut take: impl FnMut(Result<Bytes, usize>),
) {
    let mut decoder = LineDecoder::new(limit);
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    // An error of the pipe and its end mean the same: nothing more comes.
    while let Ok(1..) = source.read_buf(&mut buffer).await {
        decoder.push(buffer.split().freeze());
        while let Some(line) = decoder.next_line() {
            take(line.map_err(|_| limit));
        }
    }
    if let Some(line) = decoder.finish() {
        take(line.map_err(|_| limit));
    }
}

#[cfg(test)]
mod tests;
