//! Where series are: a table whose items do not move, and whose free places are used again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Items of a segment. With items of 90 bytes it is small enough to fit where the points of other series
/// were freed, and large enough that a walk over all items goes through memory mostly in order.
const SEGMENT_ITEMS: usize = 64;

/// Items at places that stay theirs until they are removed, in segments of one size, so that
/// no insertion waits for all items to be copied.
///
/// An item that is inserted goes into the first segment with a free place; the memory of a segment
/// is freed with its last item.
pub struct Places<T> {
    segments: Vec<Segment<T>>,
    /// The numbers of those that have a free place, the lowest one first.
    with_room: BinaryHeap<Reverse<u32>>,
    len: usize,
    /// Segments that have memory.
    allocated: usize,
}

struct Segment<T> {
    /// Allocated if there is any.
    items: Option<Box<[Option<T>; SEGMENT_ITEMS]>>,
    /// A bit for each item, set if it is there.
    present: u64,
}

impl<T> Places<T> {
    /// The place that the next item goes to.
    pub fn vacant_place(&self) -> usize {
        let Some(&Reverse(number)) = self.with_room.peek() else {
            return self.end();
        };
        let present = self.segments[number as usize].present;
        number as usize * SEGMENT_ITEMS + present.trailing_ones() as usize
    }

    /// Adds an item at the [vacant place](Self::vacant_place). Moves at most the list of segments.
    pub fn insert(&mut self, item: T) {
        let place = self.vacant_place();
        let (number, at) = (place / SEGMENT_ITEMS, place % SEGMENT_ITEMS);
        if number == self.segments.len() {
            let (items, present) = (None, 0);
            self.segments.push(Segment { items, present });
            self.with_room.push(Reverse(number as u32));
        }
        let segment = &mut self.segments[number];
        self.allocated += usize::from(segment.items.is_none());
        let items = segment
            .items
            .get_or_insert_with(|| Box::new([const { None }; _]));
        items[at] = Some(item);
        segment.present |= 1 << at;
        if segment.present == u64::MAX {
            self.with_room.pop();
        }
        self.len += 1;
    }

    /// Takes out the item at a place, if there is one, and frees the place.
    pub fn remove(&mut self, place: usize) -> Option<T> {
        let (number, at) = (place / SEGMENT_ITEMS, place % SEGMENT_ITEMS);
        let segment = self.segments.get_mut(number)?;
        let item = segment.items.as_mut()?[at].take()?;
        if segment.present == u64::MAX {
            self.with_room.push(Reverse(number as u32));
        }
        segment.present &= !(1 << at);
        if segment.present == 0 {
            segment.items = None;
            self.allocated -= 1;
        }
        self.len -= 1;
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
        let segment = self.segments.get(place / SEGMENT_ITEMS)?;
        segment.items.as_ref()?[place % SEGMENT_ITEMS].as_ref()
    }

    /// The item at a place, if there is one, to be changed.
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        let segment = self.segments.get_mut(place / SEGMENT_ITEMS)?;
        segment.items.as_mut()?[place % SEGMENT_ITEMS].as_mut()
    }

    /// Bytes that are allocated, without what the items themselves have, in constant time.
    pub fn allocated_bytes(&self) -> usize {
        self.allocated * size_of::<[Option<T>; SEGMENT_ITEMS]>()
            + self.segments.capacity() * size_of::<Segment<T>>()
            + self.with_room.capacity() * size_of::<u32>()
    }
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places {
            segments: Vec::new(),
            with_room: BinaryHeap::new(),
            len: 0,
            allocated: 0,
        }
    }
}

#[cfg(test)]
impl<T> Places<T> {
    /// The items and their places, by ascending place.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        (0..self.end()).filter_map(|place| Some((place, self.get(place)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::store::series::Series;

    /// Many segments and a bit.
    const ITEMS: usize = 192 * SEGMENT_ITEMS + 5;

    fn counted_bytes<T>(places: &Places<T>) -> usize {
        let allocated = places.segments.iter().filter(|one| one.items.is_some());
        allocated.count() * SEGMENT_ITEMS * size_of::<Option<T>>()
            + places.segments.capacity() * size_of::<Segment<T>>()
            + places.with_room.capacity() * size_of::<u32>()
    }

    #[test]
    fn a_series_takes_no_more_since_it_may_be_absent() {
        assert_eq!(size_of::<Option<Series>>(), size_of::<Series>());
    }

    #[test]
    fn no_item_moves() {
        let mut items = Places::default();
        assert_eq!(items.allocated_bytes(), 0);
        let mut addresses = Vec::new();
        for place in 0..ITEMS {
            assert_eq!((items.len(), items.vacant_place()), (place, place));
            assert!(items.get(place).is_none() && items.get_mut(place).is_none());
            items.insert(place);
            addresses.push(items.get(place).map(std::ptr::from_ref));
            assert_eq!(items.allocated_bytes(), counted_bytes(&items));
        }
        let now = (0..ITEMS).map(|place| items.get(place).map(std::ptr::from_ref));
        assert!(now.eq(addresses));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn places_are_used_again(steps in proptest::collection::vec((any::<bool>(), 0usize..ITEMS, 1usize..1_000), 1..30)) {
            let (mut items, mut map) = (Places::default(), BTreeMap::new());
            for (is_removal, first, count) in steps {
                let mut lowest = 0;
                for place in first..first + count {
                    if is_removal {
                        prop_assert_eq!(items.remove(place), map.remove(&place));
                    } else {
                        let place = items.vacant_place();
                        lowest = (lowest..).find(|place| !map.contains_key(place)).expect("one is free");
                        prop_assert_eq!(place, lowest);
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
                prop_assert_eq!(used.len(), items.allocated);
            }
        }
    }
}
