//! The task that sends what waits in a spool to its sink: in order, and for as long as it takes.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway_core::plugin::AuditEvent;
use gateway_core::{CallContext, Deadline, ErrorKind, PluginError, RequestId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::cursor::Cursor;
use super::reader::Reader;
use super::segment::{BATCH_EVENTS, Batch, Found};
use super::{Spool, blocking};

/// How long one batch may take, whatever the sink's own timeout for a call is.
const BATCH_TIME: Duration = Duration::from_secs(30);

/// How long to wait after a failure: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// For how long events are gathered before they are sent, unless somebody waits for the sink to have them.
const GATHER: Duration = Duration::from_millis(2);

/// How often an event that is sent alone is refused as invalid before it is set aside.
const MAX_REFUSALS: u32 = 3;

/// Delivers until it is told to stop, or until nobody needs the spool any more.
pub(super) struct Delivery {
    spool: Arc<Spool>,
    reader: Reader,
    stop: CancellationToken,
    /// How many events are sent at once: few after a failure, so that those before one that is refused get through.
    size: usize,
    pause: Duration,
    /// How often the first event was refused, sent alone.
    refusals: u32,
    /// The event behind the last that was ever sent.
    sent: u64,
}

impl Delivery {
    pub(super) fn new(spool: Arc<Spool>, cursor: Cursor, stop: CancellationToken) -> Self {
        Self {
            spool,
            reader: Reader::at(cursor),
            stop,
            size: BATCH_EVENTS,
            pause: FIRST_PAUSE,
            refusals: 0,
            sent: cursor.event,
        }
    }

    /// `is_over` says, when nothing waits, whether nobody needs the spool any more.
    pub(super) async fn run(mut self, is_over: impl Fn(&Arc<Spool>) -> bool) {
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let woken = match self.find().await {
                Ok(Found::Events(batch)) => {
                    self.send(batch).await;
                    continue;
                }
                Ok(Found::Damaged(line)) => {
                    let reason = "it is no event: the file was damaged";
                    self.set_aside(&line, reason).await;
                    continue;
                }
                Ok(Found::Nothing(_)) if is_over(&self.spool) => return,
                Ok(Found::Nothing(_)) => self.spool.wake.notified(),
                Err(error) => {
                    self.cannot_read(&error).await;
                    continue;
                }
            };
            stop.run_until_cancelled(woken).await;
            if !self.spool.is_waited_for() {
                stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
            }
        }
        // What it is for: that as little as possible comes again.
        self.find().await.ok();
    }

    /// Saves how far it is, and finds what stands next.
    async fn find(&mut self) -> io::Result<Found> {
        let end = self.spool.writer.lock().await.end();
        let spool = Arc::clone(&self.spool);
        // What the thread does not give back is read anew.
        let anew = Reader::at(self.reader.cursor);
        let mut reader = std::mem::replace(&mut self.reader, anew);
        let (reader, found) = blocking(move || {
            let found = reader.find(&spool, end);
            Ok((reader, found))
        })
        .await?;
        self.reader = reader;
        if let Ok(found) = &found {
            self.note_oldest(found);
        }
        found
    }

    fn note_oldest(&self, found: &Found) {
        let first = match found {
            Found::Events(batch) => batch.events.first(),
            Found::Damaged(_) => return,
            Found::Nothing(_) => None,
        };
        let oldest = first.map_or(0, |event| event.timestamp.as_millisecond());
        self.spool.oldest.store(oldest, Ordering::Relaxed);
    }

    async fn cannot_read(&mut self, error: &io::Error) {
        let spool = &self.spool;
        let problem = format!("the spool cannot be read: {error}");
        error!(tenant = %spool.tenant, sink = spool.sink, folder = %spool.folder.path.display(), %error, "an audit spool cannot be read");
        spool.note_health(Some(problem.into()));
        self.rest().await;
    }

    async fn send(&mut self, batch: Batch) {
        let count = batch.events.len().min(self.size);
        let first = self.reader.cursor.event;
        let repeated = self.sent.saturating_sub(first).min(count as u64);
        if repeated > 0 {
            self.spool.count("mcp_gateway_audit_repeated", repeated);
        }
        self.sent = self.sent.max(first + count as u64);
        let stop = self.stop.clone();
        let sending = self.hand_over(batch.first(count));
        let Some(outcome) = stop.run_until_cancelled(sending).await else {
            return;
        };
        match outcome {
            Ok(()) => self.delivered(&batch, count),
            Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                self.works_again();
                self.refused(&batch, count, &error).await;
            }
            Err(error) => self.failed(&error).await,
        }
    }

    async fn hand_over(&self, events: &[AuditEvent]) -> Result<(), PluginError> {
        let spool = &self.spool;
        let Some(target) = spool.target.load_full() else {
            return Err(PluginError::new(
                ErrorKind::Unavailable,
                "no sink is configured yet",
            ));
        };
        let deadline = Deadline::after(BATCH_TIME);
        let context = CallContext::new(
            spool.tenant.clone(),
            deadline,
            RequestId::new("audit-spool"),
        );
        let sending = async {
            match events {
                [event] => target.log_event(&context, event).await,
                events => target.log_events(&context, events).await,
            }
        };
        let late = |_| {
            PluginError::new(
                ErrorKind::DeadlineExceeded,
                "the sink did not answer in time",
            )
        };
        timeout(BATCH_TIME, sending).await.map_err(late)?
    }

    fn delivered(&mut self, batch: &Batch, count: usize) {
        self.works_again();
        self.spool
            .count("mcp_gateway_audit_delivered", count as u64);
        self.advance(batch.bytes_of(count), count);
        self.size = (self.size * 2).min(BATCH_EVENTS);
    }

    /// Goes on behind so many bytes and events.
    fn advance(&mut self, bytes: usize, events: usize) {
        let cursor = &mut self.reader.cursor;
        cursor.offset += bytes as u64;
        cursor.event += events as u64;
        self.refusals = 0;
        self.spool.space.release(bytes as u64);
        self.spool.acknowledged.send_replace(cursor.event);
    }

    fn works_again(&mut self) {
        self.pause = FIRST_PAUSE;
        let spool = &self.spool;
        if spool.note_health(None).is_some() {
            info!(tenant = %spool.tenant, sink = spool.sink, waiting = spool.waiting(), "the audit sink takes events again");
        }
    }

    async fn failed(&mut self, error: &PluginError) {
        let spool = &self.spool;
        let problem = with_causes(error);
        if spool.note_health(Some(problem.as_str().into())).is_none() {
            let waiting = spool.waiting();
            warn!(tenant = %spool.tenant, sink = spool.sink, error = problem, waiting, "the audit sink takes no events: they are kept, and sent once it does");
        }
        self.size = 1;
        self.rest().await;
    }

    /// The sink says that one of these events is none that it can take. Which one, and whether it stays with that, is
    /// found out by sending each alone.
    async fn refused(&mut self, batch: &Batch, count: usize, error: &PluginError) {
        if count > 1 {
            self.size = 1;
            return;
        }
        self.refusals += 1;
        if self.refusals < MAX_REFUSALS {
            self.rest().await;
            return;
        }
        self.set_aside(batch.line(0), &with_causes(error)).await;
    }

    /// Puts the next line where it is in nobody's way.
    async fn set_aside(&mut self, line: &[u8], reason: &str) {
        let spool = Arc::clone(&self.spool);
        let copy = line.to_vec();
        let written = blocking(move || {
            spool.folder.set_aside(&copy)?;
            Ok(spool.folder.refused_bytes())
        });
        let spool = Arc::clone(&self.spool);
        match written.await {
            Ok(refused) => {
                error!(tenant = %spool.tenant, sink = spool.sink, folder = %spool.folder.path.display(), reason, "an audit event cannot be delivered: it is in refused.jsonl of the folder");
                spool.count("mcp_gateway_audit_refused", 1);
                spool.note_refused(refused);
                self.advance(line.len(), 1);
            }
            Err(error) => {
                error!(tenant = %spool.tenant, sink = spool.sink, %error, "an audit event that the sink refuses cannot be set aside");
                self.rest().await;
            }
        }
    }

    /// Waits before the next attempt, each time longer.
    async fn rest(&mut self) {
        let pause = self.pause.mul_f64(0.5 + random_share() / 2.0);
        let longest = match self.spool.is_draining.load(Ordering::SeqCst) {
            true => FIRST_PAUSE,
            false => LONGEST_PAUSE,
        };
        self.pause = (self.pause * 2).min(longest);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.spool.nudge.notified() => self.pause = FIRST_PAUSE,
            () = self.stop.cancelled() => {}
        }
    }
}

impl Spool {
    /// Whether somebody waits for the sink to have what was written last.
    fn is_waited_for(&self) -> bool {
        self.acknowledged.receiver_count() > 0
    }

    /// Takes note of how much the sink has refused so far. It counts until somebody takes it away.
    pub(super) fn note_refused(&self, bytes: u64) {
        let before = self.refused_bytes.swap(bytes, Ordering::Relaxed);
        self.space.hold(bytes);
        self.space.release(before);
    }
}

/// What an error says, with what it came of.
fn with_causes(error: &PluginError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(because) = cause {
        text.push_str(&format!(": {because}"));
        cause = because.source();
    }
    text
}

/// From 0, and below 1.
fn random_share() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / (f64::from(u32::MAX) + 1.0)
}
