//! The order in which series were first put.

use std::collections::VecDeque;
use std::ops::Range;

/// Positions of a segment: a bit for each in a word.
const SEGMENT_POSITIONS: usize = u64::BITS as usize;

/// The places of all series, by ascending position: the number of series that there ever were when
/// this one was first put. A series that is removed leaves its position for good, so
/// whoever walks the list goes on where it was, whatever was removed and added meanwhile.
///
/// Four bytes and a half a series, and up to 290 for each whose neighbours are all removed.
#[derive(Debug, Default)]
pub struct Order {
    /// By ascending number, each with a place at least. The oldest are mostly the first to be removed.
    segments: VecDeque<Segment>,
    /// The next position.
    end: u64,
}

/// The places at so many positions.
#[derive(Debug)]
struct Segment {
    /// That of the first one, divided by how many they are.
    number: u64,
    /// A bit for each position, set if there is a place.
    present: u64,
    places: Box<[u32; SEGMENT_POSITIONS]>,
}

impl Order {
    /// The position that the next series has.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends a place, and returns the low bits of its position.
    pub fn push(&mut self, place: usize) -> u32 {
        let (number, offset) = split(self.end);
        if self.segments.back().is_none_or(|last| last.number < number) {
            self.segments.push_back(Segment {
                number,
                present: 0,
                places: Box::new([0; _]),
            });
        }
        if let Some(last) = self.segments.back_mut() {
            last.present |= 1 << offset;
            last.places[offset] = place as u32;
        }
        self.end += 1;
        (self.end - 1) as u32
    }

    /// The first position from this one on that has a place, and the place.
    pub fn next(&self, from: u64) -> Option<(u64, usize)> {
        let (number, offset) = split(from);
        let at = self.first_from(number);
        let segment = self.segments.get(at)?;
        let offset = if segment.number == number { offset } else { 0 };
        let next = || self.segments.get(at + 1)?.next(0);
        segment.next(offset).or_else(next)
    }

    /// The first of these positions that has a place, and the place.
    pub fn next_in(&self, positions: &Range<u64>) -> Option<(u64, usize)> {
        let next = self.next(positions.start);
        next.filter(|(position, _)| positions.contains(position))
    }

    /// Where the segments begin whose numbers are this one or higher.
    fn first_from(&self, number: u64) -> usize {
        let first = self.segments.front().map_or(0, |first| first.number);
        // Mostly, those that are removed are the oldest.
        let guess = number.saturating_sub(first) as usize;
        match self.segments.get(guess) {
            Some(segment) if segment.number == number => guess,
            _ => self.segments.partition_point(|one| one.number < number),
        }
    }

    /// The position of a place that is here, by its low bits.
    pub fn position(&self, place: usize, low_bits: u32) -> u64 {
        // Each 2^32 series these begin again. Only one of the positions that have them has the place.
        let mut position = self.end & !u64::from(u32::MAX) | u64::from(low_bits);
        while let Some(earlier) = position.checked_sub(1 << u32::BITS)
            && self.next(position) != Some((position, place))
        {
            position = earlier;
        }
        position
    }

    /// Removes the place at a position.
    pub fn remove(&mut self, position: u64) {
        let (number, offset) = split(position);
        let at = self.first_from(number);
        let segment = self.segments.get_mut(at);
        if let Some(segment) = segment.filter(|segment| segment.number == number) {
            segment.present &= !(1 << offset);
            if segment.present == 0 {
                self.segments.remove(at);
            }
        }
    }

    /// Any place, chosen by a random number, if there is one: of each segment with the same chance.
    pub fn sample(&self, random: u64) -> Option<usize> {
        let (random, offset) = split(random);
        let at = random.checked_rem(self.segments.len() as u64)?;
        let segment = self.segments.get(at as usize)?;
        let found = segment.next(offset).or_else(|| segment.next(0));
        found.map(|(_, place)| place)
    }

    /// Bytes that are allocated, in constant time.
    pub fn allocated_bytes(&self) -> usize {
        self.segments.len() * size_of::<[u32; SEGMENT_POSITIONS]>()
            + self.segments.capacity() * size_of::<Segment>()
    }
}

/// The number of a position's segment, and which one of its positions this is.
fn split(position: u64) -> (u64, usize) {
    let positions = SEGMENT_POSITIONS as u64;
    (position / positions, (position % positions) as usize)
}

impl Segment {
    /// The first position from the one at this offset on that has a place here, and the place.
    fn next(&self, offset: usize) -> Option<(u64, usize)> {
        let left = self.present & u64::MAX << offset;
        let offset = left.trailing_zeros() as usize;
        let place = *self.places.get(offset)?;
        Some((
            self.number * SEGMENT_POSITIONS as u64 + offset as u64,
            place as usize,
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn walks_what_a_map_has(
            end in prop_oneof![Just(0), (1u64 << 32) - 2_000..(1 << 32) + 5, Just(5 << 32)],
            steps in proptest::collection::vec((any::<bool>(), 0u64..5_000, 1usize..2_000, 1u64..4), 1..20),
        ) {
            let mut order = Order { end, ..Order::default() };
            let mut map = BTreeMap::new();
            for (is_removal, from, count, step) in steps {
                for at in 0..count as u64 {
                    if is_removal {
                        let position = end + from + step * at;
                        if let Some(place) = map.remove(&position) {
                            prop_assert_eq!(order.position(place, position as u32), position);
                        }
                        order.remove(position);
                    } else {
                        let place = (order.end() * 7) as u32 as usize;
                        map.insert(order.end(), place);
                        prop_assert_eq!(order.push(place), (order.end() - 1) as u32);
                    }
                }
                let mut walked = Vec::new();
                let mut next = 0;
                while let Some((position, place)) = order.next(next) {
                    walked.push((position, place));
                    next = position + 1;
                }
                prop_assert!(walked.into_iter().eq(map.clone()));
                prop_assert!(order.segments.iter().all(|segment| segment.present != 0));
            }
        }
    }

    #[test]
    fn positions_whose_low_bits_are_the_same() {
        let mut order = Order::default();
        for end in 0..3 {
            order.end = end << 32;
            for place in 0..3 {
                order.push(10 * end as usize + place);
            }
        }
        for (place, expected) in [(2, 2), (12, (1 << 32) + 2), (22, (2 << 32) + 2)] {
            assert_eq!(order.position(place, 2), expected);
        }
    }

    #[test]
    fn memory_is_that_of_the_series_that_are_left() {
        let mut order = Order::default();
        for place in 0..100_000 {
            order.push(place);
        }
        assert!(order.allocated_bytes() < 100_000 * 5);
        for position in (0..100_000).filter(|position| position % 1_024 != 7) {
            order.remove(position);
        }
        // The list of segments has as much room as before.
        assert!(order.allocated_bytes() < 100 * 300 + 2_048 * size_of::<Segment>());
        assert_eq!(order.next(0), Some((7, 7)));
        assert_eq!(order.next(8), Some((1_031, 1_031)));
    }
}
