//! What is kept for each reader of a list alone, bounded in number and in size.

#[expect(
    clippy::disallowed_types,
    reason = "held for a few lines, never over an await"
)]
use std::sync::Mutex;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::UserId;
use tokio::time::Instant;

use super::authorization::AuthorizationContext;
use super::shelf::Place;

/// How many readers a list is kept for, and how many items for all of them together; the longest
/// unused goes first.
const MOST: usize = 1_000;
const MOST_ITEMS: usize = 100_000;

/// How long what nobody asks for is kept.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Who reads a list that is not for everybody: one user, with the rights of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    pub(super) context: AuthorizationContext,
    /// `None`: nobody but the gateway.
    user: Option<UserId>,
}

impl Reader {
    pub(super) fn of(context: &AuthorizationContext, user: Option<&UserId>) -> Self {
        Self {
            context: context.clone(),
            user: user.cloned(),
        }
    }

    #[cfg(test)]
    pub(super) fn named(user: &str) -> Self {
        let user = user.parse().unwrap();
        Self::of(&AuthorizationContext::GATEWAY, Some(&user))
    }
}

/// A place for each reader.
#[derive(Debug, Default)]
pub(super) struct Readers {
    #[expect(
        clippy::disallowed_types,
        reason = "held for a few lines, never over an await"
    )]
    slots: Mutex<HashMap<Reader, Slot>>,
}

#[derive(Debug)]
struct Slot {
    place: Arc<Place>,
    used: Instant,
}

impl Readers {
    /// The reader's own place, which is used now.
    pub(super) fn place(&self, reader: &Reader, now: Instant) -> Arc<Place> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get_mut(reader) {
            slot.used = now;
            return Arc::clone(&slot.place);
        }
        slots.retain(|_, slot| now.duration_since(slot.used) < IDLE);
        if slots.len() >= MOST {
            drop_longest_unused(&mut slots);
        }
        let place = Arc::new(Place::default());
        let slot = Slot {
            place: Arc::clone(&place),
            used: now,
        };
        slots.insert(reader.clone(), slot);
        place
    }

    /// Makes everything be asked for anew that was said to those with these rights.
    pub(super) fn distrust(&self, context: &AuthorizationContext) {
        let slots = self.lock();
        let own = slots
            .iter()
            .filter(|(reader, _)| reader.context == *context);
        for (_, slot) in own {
            slot.place.distrust();
        }
    }

    /// Lets go of the longest unused until the rest are few enough items. One reader may have
    /// more than all are meant to have.
    pub(super) fn shrink(&self) {
        let mut slots = self.lock();
        while slots.len() > 1 && items(&slots) > MOST_ITEMS {
            drop_longest_unused(&mut slots);
        }
    }

    /// For how many readers something is kept, and how many items.
    pub(super) fn size(&self) -> (usize, usize) {
        let slots = self.lock();
        let filled = slots.values().filter(|slot| slot.place.items() > 0);
        (filled.count(), items(&slots))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Reader, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn items(slots: &HashMap<Reader, Slot>) -> usize {
    slots.values().map(|slot| slot.place.items()).sum()
}

fn drop_longest_unused(slots: &mut HashMap<Reader, Slot>) {
    let longest = slots.iter().min_by_key(|(_, slot)| slot.used);
    if let Some(reader) = longest.map(|(reader, _)| reader.clone()) {
        slots.remove(&reader);
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::testing::listing;
    use super::*;

    fn reader(number: usize) -> Reader {
        Reader::named(&format!("user-{number}"))
    }

    fn is_kept(readers: &Readers, number: usize) -> bool {
        readers.lock().contains_key(&reader(number))
    }

    #[test]
    fn each_reader_has_a_place_of_its_own() {
        let (readers, now) = (Readers::default(), Instant::now());
        let one = readers.place(&reader(1), now);
        assert!(Arc::ptr_eq(&one, &readers.place(&reader(1), now)));
        assert!(!Arc::ptr_eq(&one, &readers.place(&reader(2), now)));
    }

    #[test]
    fn only_so_many_readers_are_kept_and_the_longest_unused_goes_first() {
        let (readers, now) = (Readers::default(), Instant::now());
        for number in 0..MOST {
            readers.place(&reader(number), now + Duration::from_millis(number as u64));
        }
        readers.place(&reader(0), now + IDLE / 2);
        readers.place(&reader(MOST), now + IDLE / 2);
        assert_eq!(readers.lock().len(), MOST);
        assert!(is_kept(&readers, 0) && !is_kept(&readers, 1));
    }

    #[test]
    fn only_so_many_items_are_kept_for_all_readers_together() {
        let (readers, now) = (Readers::default(), Instant::now());
        for number in 0..3 {
            let used = now + Duration::from_secs(number as u64);
            let place = readers.place(&reader(number), used);
            place.put(&Arc::new(listing("ada", MOST_ITEMS / 2)));
        }
        readers.shrink();
        assert_eq!(readers.size(), (2, MOST_ITEMS));
        assert!(!is_kept(&readers, 0));
        let place = readers.place(&reader(3), now + IDLE / 2);
        place.put(&Arc::new(listing("ada", MOST_ITEMS + 1)));
        readers.shrink();
        assert_eq!(readers.size(), (1, MOST_ITEMS + 1));
    }

    #[test]
    fn what_nobody_asks_for_is_let_go_of() {
        let (readers, now) = (Readers::default(), Instant::now());
        readers.place(&reader(1), now);
        readers.place(&reader(2), now + IDLE / 2);
        readers.place(&reader(3), now + IDLE);
        assert!(!is_kept(&readers, 1) && is_kept(&readers, 2));
    }
}
