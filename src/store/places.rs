//! Where series are: a table whose items do not move, and whose free places are used again.

use slab::Slab;

/// Items of a segment. A power of two: a place is found by a shift and a mask. With items of 90
/// bytes it is small enough for an allocator not to round it up to whole pages.
const SEGMENT_ITEMS: usize = 1_024;

/// Items at places that stay theirs until they are removed, in segments of one size, so that
/// no insertion waits for all items to be copied.
///
/// Only the first segment grows, as a [`Vec`] does, so that few items take little memory. An item
/// that is inserted goes into the first segment with a free place; the memory of a segment
/// is freed with its last item.
pub struct Places<T> {
    segments: Vec<Slab<T>>,
    /// So many of the first segments have no free place. Later ones may have none either.
    full: usize,
    len: usize,
    /// Items that all segments together have memory for.
    capacity: usize,
}

impl<T> Places<T> {
    /// The place that the next item goes to.
    pub fn vacant_place(&self) -> usize {
        let number = self.with_room();
        let segment = self.segments.get(number);
        number * SEGMENT_ITEMS + segment.map_or(0, Slab::vacant_key)
    }

    /// The number of the first segment that has a free place, or of the next one to be. Looks at no
    /// segment again that was full, until an item of it or of one before it is removed.
    fn with_room(&self) -> usize {
        let is_full = |segment: &&Slab<T>| segment.len() == SEGMENT_ITEMS;
        self.full
            + self.segments[self.full..]
                .iter()
                .take_while(is_full)
                .count()
    }

    /// Adds an item at the [vacant place](Self::vacant_place). Moves at most the items of the first
    /// segment, or the list of segments.
    pub fn insert(&mut self, item: T) {
        let number = self.with_room();
        self.full = number;
        if number == self.segments.len() {
            self.segments.push(Slab::new());
        }
        let segment = &mut self.segments[number];
        let before = segment.capacity();
        if before == 0 && number > 0 {
            *segment = Slab::with_capacity(SEGMENT_ITEMS);
        }
        segment.insert(item);
        self.len += 1;
        self.capacity += segment.capacity() - before;
    }

    /// Takes out the item at a place, if there is one, and frees the place.
    pub fn remove(&mut self, place: usize) -> Option<T> {
        let number = place / SEGMENT_ITEMS;
        let segment = self.segments.get_mut(number)?;
        let item = segment.try_remove(place % SEGMENT_ITEMS)?;
        self.len -= 1;
        self.full = self.full.min(number);
        if segment.is_empty() {
            self.capacity -= segment.capacity();
            *segment = Slab::new();
        }
        Some(item)
    }

    /// How many items there are, in constant time.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A place past all that ever had an item.
    pub fn end(&self) -> usize {
        self.segments.len() * SEGMENT_ITEMS
    }

    /// The item at a place, if there is one.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.segments
            .get(place / SEGMENT_ITEMS)?
            .get(place % SEGMENT_ITEMS)
    }

    /// The item at a place, if there is one, to be changed.
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.segments
            .get_mut(place / SEGMENT_ITEMS)?
            .get_mut(place % SEGMENT_ITEMS)
    }

    /// Bytes that are allocated, without what the items themselves have, in constant time.
    pub fn allocated_bytes(&self) -> usize {
        // A slab needs no more than that for an item that has a niche.
        self.capacity * size_of::<T>() + self.segments.capacity() * size_of::<Slab<T>>()
    }
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places {
            segments: Vec::new(),
            full: 0,
            len: 0,
            capacity: 0,
        }
    }
}

#[cfg(test)]
impl<T> Places<T> {
    /// The items and their places, by ascending place.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let items = |(number, segment): (usize, _)| {
            Slab::iter(segment).map(move |(at, item)| (number * SEGMENT_ITEMS + at, item))
        };
        self.segments.iter().enumerate().flat_map(items)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::store::series::Series;

    /// Three segments and a bit.
    const ITEMS: usize = 3 * SEGMENT_ITEMS + 5;

    fn counted_bytes<T>(places: &Places<T>) -> usize {
        let capacities = places.segments.iter().map(Slab::capacity);
        capacities.sum::<usize>() * size_of::<T>()
            + places.segments.capacity() * size_of::<Slab<T>>()
    }

    #[test]
    fn a_series_takes_no_more_in_a_slab() {
        // What a slab has an array of.
        #[expect(dead_code, reason = "its size counts")]
        enum Entry<T> {
            Vacant(usize),
            Occupied(T),
        }
        assert_eq!(size_of::<Entry<Series>>(), size_of::<Series>());
    }

    #[test]
    fn only_the_first_segment_grows() {
        let mut items = Places::default();
        assert_eq!(items.allocated_bytes(), 0);
        let mut addresses = Vec::new();
        for place in 0..ITEMS {
            assert_eq!((items.len(), items.vacant_place()), (place, place));
            assert!(items.get(place).is_none() && items.get_mut(place).is_none());
            items.insert(place);
            addresses.push(items.get(place).map(std::ptr::from_ref));
            assert_eq!(items.allocated_bytes(), counted_bytes(&items));
            let mut capacities = items.segments.iter().map(Slab::capacity);
            assert!(capacities.next() <= Some(4.max(2 * place)));
            assert!(capacities.all(|items| items == SEGMENT_ITEMS));
        }
        let now = (SEGMENT_ITEMS..ITEMS).map(|place| items.get(place).map(std::ptr::from_ref));
        assert!(now.eq(addresses.into_iter().skip(SEGMENT_ITEMS)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn places_are_used_again(steps in proptest::collection::vec((any::<bool>(), 0usize..ITEMS, 1usize..1_500), 1..30)) {
            let (mut items, mut map) = (Places::default(), BTreeMap::new());
            for (is_removal, first, count) in steps {
                for place in first..first + count {
                    if is_removal {
                        prop_assert_eq!(items.remove(place), map.remove(&place));
                    } else {
                        let place = items.vacant_place();
                        prop_assert!(place <= map.len() / SEGMENT_ITEMS * SEGMENT_ITEMS + SEGMENT_ITEMS);
                        items.insert(place);
                        prop_assert_eq!(map.insert(place, place), None);
                        *items.get_mut(place).expect("it was inserted") += 1;
                        *map.get_mut(&place).expect("it was inserted") += 1;
                    }
                }
                prop_assert_eq!(items.len(), map.len());
                prop_assert!(items.iter().eq(map.iter().map(|(&place, item)| (place, item))));
                prop_assert!(map.keys().all(|&place| place < items.end()));
                prop_assert_eq!(items.allocated_bytes(), counted_bytes(&items));
                let used: BTreeSet<usize> = map.keys().map(|place| place / SEGMENT_ITEMS).collect();
                let allocated = items.segments.iter().filter(|segment| segment.capacity() > 0).count();
                prop_assert_eq!(used.len(), allocated);
            }
        }
    }
}
