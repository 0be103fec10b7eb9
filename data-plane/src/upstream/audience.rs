//! Who wants to hear of which resources, on which of the connections to a server.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use gateway_mcp::client::Peer;
use gateway_mcp::json::Text;
use gateway_mcp::message::Message;
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;

/// What a server says of a resource that has changed.
pub(crate) const UPDATED: &str = "notifications/resources/updated";

/// Takes what a server says of a resource, for one who watches it.
pub(crate) type Told = Arc<dyn Fn(&Message) + Send + Sync>;

/// Those who watch resources of one server.
#[derive(Debug, Default)]
pub(super) struct Audience {
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    last: u64,
    by_number: BTreeMap<u64, Seat>,
}

struct Seat {
    peer: Weak<Peer>,
    uris: BTreeSet<String>,
    told: Told,
}

/// One who watches, for as long as this is held.
#[derive(Debug)]
pub(super) struct Place {
    audience: Arc<Audience>,
    number: u64,
}

impl Audience {
    /// A place for one who watches nothing yet.
    pub(super) fn join(self: &Arc<Self>, peer: &Arc<Peer>, told: Told) -> Place {
        let mut seats = self.lock();
        seats.last = seats.last.wrapping_add(1);
        let number = seats.last;
        let seat = Seat {
            peer: Arc::downgrade(peer),
            uris: BTreeSet::new(),
            told,
        };
        seats.by_number.insert(number, seat);
        Place {
            audience: Arc::clone(self),
            number,
        }
    }

    /// Tells those who watch a resource on this connection what the server says of it; `false` if
    /// the message is about something else.
    pub(super) fn tell(&self, peer: *const Peer, message: &Message) -> bool {
        if message.method() != Some(UPDATED) {
            return false;
        }
        let uri = uri_of(message).unwrap_or_default();
        let seats = self.lock();
        let on_it = seats.by_number.values().filter(|seat| {
            let is_watching = !seat.uris.is_empty();
            is_watching && std::ptr::eq(seat.peer.as_ptr(), peer)
        });
        let mut watching: Vec<_> = on_it.collect();
        // Of a single one the server knows best what it wants to hear of.
        if watching.len() > 1 {
            watching.retain(|seat| covers_any(&seat.uris, &uri));
        }
        let told: Vec<_> = watching.iter().map(|seat| Arc::clone(&seat.told)).collect();
        drop(watching);
        drop(seats);
        told.iter().for_each(|told| told(message));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn add(&self, uri: &str) {
        if let Some(seat) = self.audience.lock().by_number.get_mut(&self.number) {
            seat.uris.insert(uri.to_owned());
        }
    }

    pub(super) fn remove(&self, uri: &str) {
        if let Some(seat) = self.audience.lock().by_number.get_mut(&self.number) {
            seat.uris.remove(uri);
        }
    }

    /// Whether anybody watches a resource on this connection.
    pub(super) fn is_watched(&self, uri: &str) -> bool {
        let seats = self.audience.lock();
        let Some(own) = seats.by_number.get(&self.number) else {
            return false;
        };
        let mut on_it = seats
            .by_number
            .values()
            .filter(|seat| Weak::ptr_eq(&seat.peer, &own.peer));
        on_it.any(|seat| seat.uris.contains(uri))
    }

    /// What this one watches.
    pub(super) fn uris(&self) -> BTreeSet<String> {
        let seats = self.audience.lock();
        let own = seats.by_number.get(&self.number);
        own.map(|seat| seat.uris.clone()).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.audience.lock().by_number.remove(&self.number);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("uris", &self.uris)
            .finish_non_exhaustive()
    }
}

/// The resource that a notification is about.
pub(super) fn uri_of(message: &Message) -> Option<String> {
    let bytes = message.bytes();
    let place = find(bytes, 0..bytes.len(), &[Field("params"), Field("uri")]).pop()?;
    Some(Text::read(bytes, place)?.as_str(bytes).to_owned())
}

/// Whether who watches these resources wants to hear of this one, which may be a part of one.
pub(super) fn covers_any(uris: &BTreeSet<String>, uri: &str) -> bool {
    uris.contains(uri) || uris.iter().any(|watched| is_part(uri, watched))
}

fn is_part(uri: &str, whole: &str) -> bool {
    uri.strip_prefix(whole)
        .is_some_and(|rest| whole.ends_with('/') || rest.starts_with(['/', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_what_is_watched_are_heard_of_and_neighbours_are_not() {
        let watched = BTreeSet::from(["file:///a".to_owned(), "x:/b/".to_owned()]);
        for uri in ["file:///a", "file:///a/b", "file:///a#b", "x:/b/c"] {
            assert!(covers_any(&watched, uri), "{uri}");
        }
        for uri in ["file:///ab", "file:///", "x:/b", ""] {
            assert!(!covers_any(&watched, uri), "{uri}");
        }
    }
}
