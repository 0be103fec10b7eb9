//! Streams of a legacy session that survive a lost connection: what was sent is kept for a while,
//! and a client goes on where it stopped (2025-11-25, transports, "Resumability and Redelivery").

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use gateway_mcp::sse;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::session::ReplicaTag;

/// How much of a stream is kept for clients that come back. What is older is lost to them.
const KEPT_EVENTS: usize = 1_000;
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// How many streams that have ended are kept for clients that come back.
const KEPT_FEEDS: usize = 16;

/// How long a reader may take nothing before it is taken for gone.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// The stream of what belongs to no request; its id is never given to another one.
const STANDING: u64 = 0;

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
type Mutex<T> = std::sync::Mutex<T>;

/// The replica that has the stream of an event. `None` for the standing stream, of which each
/// replica has one, and for an id that does not say.
pub(crate) fn replica_of_stream(event_id: &str) -> Option<ReplicaTag> {
    let id = EventId::parse(event_id)?;
    id.replica.filter(|_| id.feed != STANDING)
}

/// The id of an event: `FEED-EVENT`, and where there are several replicas `FEED-EVENT-REPLICA`,
/// because each of them counts for itself.
struct EventId {
    feed: u64,
    event: u64,
    replica: Option<ReplicaTag>,
}

impl EventId {
    fn parse(text: &str) -> Option<Self> {
        let (feed, rest) = text.split_once('-')?;
        let (event, replica) = match rest.split_once('-') {
            Some((event, replica)) => (event, Some(ReplicaTag::parse(replica)?)),
            None => (rest, None),
        };
        Some(Self {
            feed: feed.parse().ok()?,
            event: event.parse().ok()?,
            replica,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            feed,
            event,
            replica,
        } = self;
        match replica {
            Some(replica) => write!(f, "{feed}-{event}-{replica}"),
            None => write!(f, "{feed}-{event}"),
        }
    }
}

/// The streams of one session.
#[derive(Debug)]
pub(crate) struct Feeds {
    /// Where they are, if there are several replicas.
    replica: Option<ReplicaTag>,
    standing: Arc<Feed>,
    next: AtomicU64,
    recent: Mutex<VecDeque<Arc<Feed>>>,
}

/// One stream. Whoever writes to it need not care whether anybody reads it just now.
#[derive(Debug)]
pub(crate) struct Feed {
    id: u64,
    replica: Option<ReplicaTag>,
    kept: Mutex<Kept>,
    /// Counts what happens, to wake the reader.
    changes: watch::Sender<u64>,
    /// Tells who waits for room that a reader has taken an event.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the first kept event.
    first: u64,
    closed: bool,
    /// The number after that of the last event that a reader was given.
    given: u64,
    /// Counts readers: only the latest one reads on.
    reader: u64,
}

/// What a reader finds.
enum Found {
    /// The event, and the number of the next one.
    Event(Bytes, u64),
    Nothing,
    End,
}

impl Feeds {
    /// None yet; `replica`: where they are, if there are several.
    pub(crate) fn new(replica: Option<ReplicaTag>) -> Self {
        Self {
            replica,
            standing: Arc::new(Feed::new(STANDING, replica)),
            next: AtomicU64::new(STANDING + 1),
            recent: Mutex::default(),
        }
    }

    /// The stream of what belongs to no request.
    pub(crate) fn standing(&self) -> &Arc<Feed> {
        &self.standing
    }

    /// A new stream for the answer to a request.
    pub(crate) fn open(&self) -> Arc<Feed> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let feed = Arc::new(Feed::new(id, self.replica));
        if let Ok(mut recent) = self.recent.lock() {
            recent.push_back(Arc::clone(&feed));
            while recent.len() > KEPT_FEEDS {
                // The oldest that has ended; one that is under way is never given up.
                match recent.iter().position(|feed| feed.is_closed()) {
                    Some(ended) => drop(recent.remove(ended)),
                    None => break,
                }
            }
        }
        feed
    }

    /// The stream of an event, and how many of its events the client has seen. `None` for an id
    /// that this session never gave, or that is too long ago.
    pub(crate) fn resume(&self, event_id: &str) -> Option<(Arc<Feed>, u64)> {
        let EventId {
            feed,
            event,
            replica,
        } = EventId::parse(event_id)?;
        let seen = event.checked_add(1)?;
        if feed == STANDING {
            let standing = Arc::clone(&self.standing);
            // What was seen of another replica's says nothing about this one's.
            let seen = match replica == self.replica {
                true => seen,
                false => standing.given(),
            };
            return Some((standing, seen));
        }
        if replica != self.replica {
            return None;
        }
        let recent = self.recent.lock().ok()?;
        let found = recent.iter().find(|candidate| candidate.id == feed)?;
        Some((Arc::clone(found), seen))
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        self.standing.close();
        if let Ok(recent) = self.recent.lock() {
            recent.iter().for_each(|feed| feed.close());
        }
    }
}

impl Feed {
    fn new(id: u64, replica: Option<ReplicaTag>) -> Self {
        Self {
            id,
            replica,
            kept: Mutex::default(),
            changes: watch::Sender::new(0),
            taken: Notify::new(),
        }
    }

    /// Adds a message once the reader has left room for it, so that none is lost to one that is
    /// slow. Nobody waits for a reader that is gone.
    pub(crate) async fn deliver(&self, message: &[u8]) {
        loop {
            let mut taken = pin!(self.taken.notified());
            // From here on nothing is missed that is taken after the look.
            taken.as_mut().enable();
            if self.changes.receiver_count() == 0 || self.has_room(message.len()) {
                break;
            }
            let waiting = async {
                tokio::select! {
                    () = taken => {}
                    () = self.changes.closed() => {}
                }
            };
            if timeout(READER_PATIENCE, waiting).await.is_err() {
                break;
            }
        }
        self.push(message);
    }

    /// Whether a message can be kept without giving up one that no reader has seen.
    fn has_room(&self, length: usize) -> bool {
        self.kept.lock().is_ok_and(|kept| {
            let seen = usize::try_from(kept.given.saturating_sub(kept.first)).unwrap_or(usize::MAX);
            let (mut unseen, mut bytes) = (0, length);
            for event in kept.events.iter().skip(seen) {
                unseen += 1;
                bytes = bytes.saturating_add(event.len());
            }
            kept.closed || unseen == 0 || (unseen < KEPT_EVENTS && bytes <= KEPT_BYTES)
        })
    }

    /// Adds a message. What no reader has seen and there is no more room for is lost.
    pub(crate) fn push(&self, message: &[u8]) {
        if let Ok(mut kept) = self.kept.lock()
            && !kept.closed
        {
            let id = EventId {
                feed: self.id,
                event: kept.first.saturating_add(kept.events.len() as u64),
                replica: self.replica,
            };
            let event = sse::encode_event(message, Some(&id.to_string()));
            kept.bytes = kept.bytes.saturating_add(event.len());
            kept.events.push_back(event);
            while kept.events.len() > 1
                && (kept.events.len() > KEPT_EVENTS || kept.bytes > KEPT_BYTES)
            {
                let oldest = kept.events.pop_front().map_or(0, |event| event.len());
                kept.bytes = kept.bytes.saturating_sub(oldest);
                kept.first = kept.first.saturating_add(1);
            }
        }
        self.wake();
    }

    /// Ends the stream; a reader still gets what is kept.
    pub(crate) fn close(&self) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.closed = true;
        }
        self.wake();
    }

    fn is_closed(&self) -> bool {
        self.kept.lock().is_ok_and(|kept| kept.closed)
    }

    /// Reads from the first event on that no reader was given yet.
    pub(crate) fn read_on(self: &Arc<Self>) -> impl Stream<Item = Bytes> + Send + use<> {
        self.read(self.given())
    }

    /// The number after that of the last event that a reader was given.
    fn given(&self) -> u64 {
        self.kept.lock().map_or(0, |kept| kept.given)
    }

    /// Reads from the event with this number on. An earlier reader ends: a message is sent on one
    /// connection only.
    pub(crate) fn read(self: &Arc<Self>, from: u64) -> impl Stream<Item = Bytes> + Send + use<> {
        let reader = self.kept.lock().map_or(0, |mut kept| {
            kept.reader = kept.reader.saturating_add(1);
            kept.reader
        });
        self.wake();
        let start = (Arc::clone(self), self.changes.subscribe(), from);
        futures_util::stream::unfold(start, move |(feed, mut changes, next)| async move {
            loop {
                // Marked as seen before looking, so that nothing that comes in between is missed.
                changes.mark_unchanged();
                match feed.find(next, reader) {
                    Found::Event(event, next) => return Some((event, (feed, changes, next))),
                    Found::End => return None,
                    Found::Nothing => changes.changed().await.ok()?,
                }
            }
        })
    }

    fn find(&self, number: u64, reader: u64) -> Found {
        let Ok(mut kept) = self.kept.lock() else {
            return Found::End;
        };
        if kept.reader != reader {
            return Found::End;
        }
        // What is not kept any more is passed over.
        let number = number.max(kept.first);
        let index = usize::try_from(number - kept.first).unwrap_or(usize::MAX);
        match kept.events.get(index).cloned() {
            Some(event) => {
                let next = number.saturating_add(1);
                kept.given = kept.given.max(next);
                self.taken.notify_waiters();
                Found::Event(event, next)
            }
            None if kept.closed => Found::End,
            None => Found::Nothing,
        }
    }

    fn wake(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests;
