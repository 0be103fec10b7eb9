//! A sorted map whose copies share what they have in common.

use std::sync::Arc;

/// Of thousands of entries, in the order of their keys. A copy costs a pointer for every hundred entries, and a change of
/// it what it costs to copy those hundred: each change of a tenant makes a new map of all tenants, and
/// earlier ones are held for as long as some replica is there.
#[derive(Debug, Clone)]
pub(super) struct SharedMap<K, V> {
    /// None is empty.
    chunks: Vec<Arc<Vec<(K, V)>>>,
}

/// A chunk that has more is made two.
const MOST: usize = 128;

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunks.get(self.place(key))?;
        let place = find(chunk, key).ok()?;
        chunk.get(place).map(|(_, value)| value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let place = self.place(&key);
        let Some(chunk) = self.chunks.get_mut(place) else {
            self.chunks.push(Arc::new(vec![(key, value)]));
            return;
        };
        let chunk = Arc::make_mut(chunk);
        match find(chunk, &key) {
            Ok(known) => {
                if let Some((_, known)) = chunk.get_mut(known) {
                    *known = value;
                }
            }
            Err(between) => chunk.insert(between, (key, value)),
        }
        if chunk.len() > MOST {
            let upper = chunk.split_off(chunk.len() / 2);
            self.chunks.insert(place + 1, Arc::new(upper));
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        let place = self.place(key);
        let Some(chunk) = self.chunks.get_mut(place) else {
            return;
        };
        let Ok(known) = find(chunk, key) else {
            return;
        };
        let chunk = Arc::make_mut(chunk);
        chunk.remove(known);
        if chunk.is_empty() {
            self.chunks.remove(place);
        }
    }

    /// The one chunk that has the key, if any has; 0 where there is none.
    fn place(&self, key: &K) -> usize {
        let begins_before =
            |chunk: &Arc<Vec<(K, V)>>| chunk.first().is_some_and(|(first, _)| first <= key);
        self.chunks.partition_point(begins_before).saturating_sub(1)
    }
}

impl<K, V> SharedMap<K, V> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        entries.map(|(key, value)| (key, value))
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
}

/// Every key of two sorted maps with what each has, in order.
pub(super) fn side_by_side<'a, K: Ord + 'a, A: 'a, B: 'a>(
    left: impl Iterator<Item = (&'a K, &'a A)>,
    right: impl Iterator<Item = (&'a K, &'a B)>,
) -> impl Iterator<Item = (&'a K, Option<&'a A>, Option<&'a B>)> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || {
        let key = match (left.peek(), right.peek()) {
            (Some((one, _)), Some((other, _))) => std::cmp::min(*one, *other),
            (Some((key, _)), None) | (None, Some((key, _))) => *key,
            (None, None) => return None,
        };
        let of_left = left.next_if(|(of_left, _)| *of_left == key);
        let of_right = right.next_if(|(of_right, _)| *of_right == key);
        let (of_left, of_right) = (of_left.map(|(_, a)| a), of_right.map(|(_, b)| b));
        Some((key, of_left, of_right))
    })
}

fn find<K: Ord, V>(chunk: &[(K, V)], key: &K) -> Result<usize, usize> {
    chunk.binary_search_by(|(known, _)| known.cmp(key))
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

/// Where the chunks begin is no difference.
impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for SharedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers that come in no order, and some of them again.
    fn numbers() -> impl Iterator<Item = u32> {
        (0..5_000_u32).map(|number| number.wrapping_mul(2_654_435_761) % 2_000)
    }

    #[test]
    fn it_has_what_a_sorted_map_has_after_every_change() {
        let (mut shared, mut sorted) = (SharedMap::default(), BTreeMap::new());
        for (change, key) in numbers().enumerate() {
            if change % 3 == 2 {
                shared.remove(&key);
                sorted.remove(&key);
            } else {
                shared.insert(key, change);
                sorted.insert(key, change);
            }
            assert_eq!(shared.get(&key), sorted.get(&key));
            let both = (shared.get(&(key + 1)), sorted.get(&(key + 1)));
            assert_eq!(both.0, both.1);
        }
        assert!(shared.iter().eq(sorted.iter()));
        assert!(shared.keys().eq(sorted.keys()));
        assert_eq!(shared.len(), sorted.len());
        assert!(shared.chunks.iter().all(|chunk| chunk.len() <= MOST));
        for key in sorted.keys() {
            shared.remove(key);
        }
        assert_eq!((shared.get(&1), shared.chunks.len()), (None, 0));
    }

    #[test]
    fn a_copy_stays_as_it_was_and_shares_all_but_what_changes() {
        let before: SharedMap<u32, u32> = (0..2_000).map(|key| (key, 0)).collect();
        let mut after = before.clone();
        after.insert(700, 1);
        assert_eq!((before.get(&700), after.get(&700)), (Some(&0), Some(&1)));
        let pairs = before.chunks.iter().zip(&after.chunks);
        let copied = pairs.filter(|(before, after)| !Arc::ptr_eq(before, after));
        assert_eq!(copied.count(), 1);
        assert_ne!(before, after);
        after.insert(700, 0);
        assert_eq!(before, after);
    }

    #[test]
    fn two_maps_are_walked_side_by_side() {
        let left = BTreeMap::from([(1, 'a'), (2, 'b'), (4, 'd')]);
        let right = BTreeMap::from([(0, "z"), (2, "b"), (5, "e")]);
        let pairs = side_by_side(left.iter(), right.iter());
        let pairs: Vec<_> = pairs
            .map(|(key, a, b)| (*key, a.copied(), b.copied()))
            .collect();
        let expected = [
            (0, None, Some("z")),
            (1, Some('a'), None),
            (2, Some('b'), Some("b")),
            (4, Some('d'), None),
            (5, None, Some("e")),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn where_chunks_begin_is_no_difference() {
        let up: SharedMap<u32, ()> = (0..1_000).map(|key| (key, ())).collect();
        let down: SharedMap<u32, ()> = (0..1_000).rev().map(|key| (key, ())).collect();
        assert_eq!(up, down);
    }
}
