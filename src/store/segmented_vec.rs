//! A vector that grows without moving what it holds.

/// Items of a segment. A power of two: a place is found by a shift and a mask. With items of 90
/// bytes it is small enough for an allocator not to round it up to whole pages.
const SEGMENT_ITEMS: usize = 1_024;

/// A vector in segments of one size, so that no push waits for all items to be copied.
///
/// Only the first segment grows, as a [`Vec`] does, so that few items take little memory.
pub struct SegmentedVec<T> {
    /// All but the last are full.
    segments: Vec<Vec<T>>,
}

impl<T> SegmentedVec<T> {
    /// Appends an item. Moves at most the items of the first segment, or the list of segments.
    pub fn push(&mut self, item: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT_ITEMS => last.push(item),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT_ITEMS);
                segment.push(item);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![item]),
        }
    }

    /// How many items there are, in constant time.
    pub fn len(&self) -> usize {
        self.in_full_segments() + self.segments.last().map_or(0, Vec::len)
    }

    /// The item at a place, or `None` past the end.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.segments
            .get(place / SEGMENT_ITEMS)?
            .get(place % SEGMENT_ITEMS)
    }

    /// The item at a place, to be changed, or `None` past the end.
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.segments
            .get_mut(place / SEGMENT_ITEMS)?
            .get_mut(place % SEGMENT_ITEMS)
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    /// Bytes that are allocated, without what the items themselves have, in constant time.
    pub fn allocated_bytes(&self) -> usize {
        let items = self.in_full_segments() + self.segments.last().map_or(0, Vec::capacity);
        items * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }

    fn in_full_segments(&self) -> usize {
        self.segments.len().saturating_sub(1) * SEGMENT_ITEMS
    }
}

impl<T> Default for SegmentedVec<T> {
    fn default() -> Self {
        let segments = Vec::new();
        SegmentedVec { segments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three segments and a bit.
    const ITEMS: usize = 3 * SEGMENT_ITEMS + 5;

    #[test]
    fn items_are_found_counted_and_changed() {
        let mut items = SegmentedVec::default();
        for place in 0..ITEMS {
            assert_eq!(items.len(), place);
            assert!(items.get(place).is_none() && items.get_mut(place).is_none());
            items.push(place);
        }
        assert!(items.iter().copied().eq(0..ITEMS));
        for place in 0..ITEMS {
            *items.get_mut(place).expect("pushed") += 1;
            assert_eq!(items.get(place), Some(&(place + 1)));
        }
    }

    #[test]
    fn only_the_first_segment_grows() {
        let mut items = SegmentedVec::default();
        assert_eq!(items.allocated_bytes(), 0);
        let mut addresses = Vec::new();
        for place in 0..ITEMS {
            items.push(place);
            addresses.push(items.get(place).map(std::ptr::from_ref));
            let capacities = || items.segments.iter().map(Vec::capacity);
            let bytes = capacities().sum::<usize>() * size_of::<usize>()
                + items.segments.capacity() * size_of::<Vec<usize>>();
            assert_eq!(items.allocated_bytes(), bytes);
            assert!(capacities().skip(1).all(|items| items == SEGMENT_ITEMS));
            assert!(capacities().next() <= Some(4.max(2 * place)));
        }
        let now = items.iter().skip(SEGMENT_ITEMS).map(std::ptr::from_ref);
        assert!(now.eq(addresses.into_iter().skip(SEGMENT_ITEMS).flatten()));
    }
}
