//! Audit events on their way to a sink that may be away: kept in files until the sink has acknowledged them.
//!
//! A spool is a folder, `DIR/TENANT/SINK`, of segments (whole JSON lines), a cursor (how far the sink has
//! acknowledged them) and `refused.jsonl` (what it refuses for good). A request's event is one `write` at the end of
//! the last segment; a task sends what is behind the cursor, in order, and never gives up.

mod cursor;
mod delivery;
mod folder;
mod reader;
mod segment;
mod sink;
mod space;
mod table;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gateway_core::TenantId;
use gateway_core::plugin::AuditSink;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use crate::Metrics;
use crate::files::{self, Allocate};
use crate::in_memory::Pace;
use folder::{Contents, Folder};
use space::{Quota, Space};
use writer::Writer;

#[cfg(feature = "fuzzing")]
pub(crate) use cursor::Cursor;
#[cfg(feature = "fuzzing")]
pub(crate) use segment::{Found, decode};
pub(crate) use sink::{Promises, SpoolSink};
pub use table::{SpoolOptions, SpoolState, Spools};

/// The largest segment, and into how many the smallest quota goes.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
const SEGMENTS: u64 = 16;

/// How often a request tries to be the one that writes before it leaves that to another thread. Who writes takes a
/// few microseconds.
const SPINS: usize = 200;

/// One sink's spool: what the requests that log events and the task that delivers them share.
pub(crate) struct Spool {
    tenant: TenantId,
    sink: String,
    folder: Folder,
    writer: Mutex<Writer>,
    pace: Pace,
    space: Space,
    /// Whether events are to last beyond the end of the machine.
    to_disk: AtomicBool,
    /// Whether the file system had no room for what is promised.
    is_low: AtomicBool,
    /// Whether the process is about to end, so that there is no time for long pauses.
    is_draining: AtomicBool,
    /// Told of new events, and of whatever else the delivery should look at once it has nothing to do.
    wake: Notify,
    /// Told when a pause after a failure should end.
    nudge: Notify,
    /// The number that the next event will have.
    next: AtomicU64,
    /// The number of the first event that is not acknowledged.
    acknowledged: watch::Sender<u64>,
    /// Up to which event everything is on the disk.
    synced: Mutex<u64>,
    /// Why the sink takes no events; `None`: it does, or nobody has tried yet.
    problem: watch::Sender<Option<Arc<str>>>,
    /// When the oldest event that waits happened, in milliseconds; 0: none does.
    oldest: AtomicI64,
    refused_bytes: AtomicU64,
    dropped: AtomicU64,
    /// Where events are delivered to: the sink that was configured last.
    target: ArcSwapOption<Arc<dyn AuditSink>>,
    /// How many configured sinks log to this.
    users: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Spool {
    fn open(
        (tenant, sink): (&TenantId, &str),
        folder: Folder,
        quota: Arc<Quota>,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, cursor::Cursor)> {
        Self::open_with(
            (tenant, sink),
            folder,
            (quota, SEGMENT_BYTES),
            metrics,
            files::allocate,
        )
    }

    fn open_with(
        (tenant, sink): (&TenantId, &str),
        folder: Folder,
        (quota, segment_bytes): (Arc<Quota>, u64),
        metrics: Arc<Metrics>,
        allocate: Allocate,
    ) -> io::Result<(Self, cursor::Cursor)> {
        let Contents {
            cursor,
            next,
            waiting,
            refused,
        } = folder.look()?;
        let space = Space::new(quota);
        space.hold(waiting + refused);
        let segment_bytes = segment_bytes.min(space.limit() / SEGMENTS);
        let spool = Self {
            tenant: tenant.clone(),
            sink: sink.to_owned(),
            writer: Mutex::new(Writer::new(
                folder.path.clone(),
                next,
                segment_bytes,
                allocate,
            )),
            folder,
            pace: Pace::default(),
            space,
            to_disk: AtomicBool::new(false),
            is_low: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            wake: Notify::new(),
            nudge: Notify::new(),
            next: AtomicU64::new(next),
            acknowledged: watch::Sender::new(cursor.event),
            synced: Mutex::new(0),
            problem: watch::Sender::default(),
            oldest: AtomicI64::new(0),
            refused_bytes: AtomicU64::new(refused),
            dropped: AtomicU64::new(0),
            target: ArcSwapOption::empty(),
            users: AtomicUsize::new(0),
            metrics,
        };
        Ok((spool, cursor))
    }

    /// How many events wait.
    fn waiting(&self) -> u64 {
        let acknowledged = *self.acknowledged.borrow();
        self.next
            .load(Ordering::SeqCst)
            .saturating_sub(acknowledged)
    }

    /// Writes `count` lines at the end; gives the number that the event behind them will have. Dropped halfway, they
    /// may be written all the same.
    async fn append(self: &Arc<Self>, lines: Vec<u8>, count: u64) -> io::Result<u64> {
        if self.pace.allows() {
            for _ in 0..SPINS {
                if let Ok(mut writer) = self.writer.try_lock() {
                    // In a write of a few hundred bytes to the system's cache there is nothing to wait for.
                    let began = Instant::now();
                    let outcome = self.append_to(&mut writer, &lines, count);
                    self.pace.note(began.elapsed());
                    return outcome;
                }
                std::hint::spin_loop();
            }
        }
        let spool = Arc::clone(self);
        blocking(move || {
            let mut writer = spool.writer.blocking_lock();
            spool.append_to(&mut writer, &lines, count)
        })
        .await
    }

    fn append_to(&self, writer: &mut Writer, lines: &[u8], count: u64) -> io::Result<u64> {
        writer.set_to_disk(self.to_disk.load(Ordering::Relaxed));
        let written = writer.append(lines, count, self.space.promised());
        let has_room = *written.as_ref().unwrap_or(&false);
        self.is_low.store(!has_room, Ordering::Relaxed);
        written?;
        self.space.hold(lines.len() as u64);
        let next = writer.end().next;
        self.next.store(next, Ordering::SeqCst);
        self.wake.notify_one();
        Ok(next)
    }

    /// Asks the file system once more for room that it did not have. That there was some is known otherwise.
    async fn make_room(self: &Arc<Self>) -> io::Result<()> {
        if !self.is_low.load(Ordering::Relaxed) {
            return Ok(());
        }
        let spool = Arc::clone(self);
        blocking(move || {
            let mut writer = spool.writer.blocking_lock();
            writer.make_room(spool.space.promised())?;
            spool.is_low.store(false, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    /// Waits until everything before event `number` is on the disk. Who comes while another waits is served by
    /// the same turn as the others who do.
    async fn sync(self: &Arc<Self>, number: u64) -> io::Result<()> {
        let mut synced = self.synced.lock().await;
        if *synced >= number {
            return Ok(());
        }
        let spool = Arc::clone(self);
        *synced = blocking(move || {
            let mut writer = spool.writer.blocking_lock();
            let (files, has_new) = writer.unsynced();
            let next = writer.end().next;
            drop(writer);
            for file in &files {
                file.sync_data()?;
            }
            if has_new {
                files::sync_folder_of(&spool.folder.path.join("spool"))?;
            }
            spool.writer.blocking_lock().is_synced(&files, has_new);
            Ok(next)
        })
        .await?;
        Ok(())
    }

    /// Takes note of whether the sink has taken what it was sent. Says what it was before.
    fn note_health(&self, problem: Option<Arc<str>>) -> Option<Arc<str>> {
        self.problem.send_replace(problem)
    }

    /// Has everything delivered that waits, as far as the sink takes it by then.
    async fn flush(&self, patience: Duration) {
        let last = self.next.load(Ordering::SeqCst);
        let mut acknowledged = self.acknowledged.subscribe();
        self.is_draining.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
        self.wake.notify_one();
        let delivered = acknowledged.wait_for(|acknowledged| *acknowledged >= last);
        tokio::time::timeout(patience, delivered).await.ok();
    }

    fn count(&self, metric: &'static str, events: u64) {
        let labels = [
            ("sink", self.sink.as_str()),
            ("tenant", self.tenant.as_str()),
        ];
        self.metrics.count(metric, events, &labels);
    }
}

/// Does something that waits for the disk in a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
