//! From a key to the place of its series.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

use super::series::Series;
use crate::key::Key;

/// A hash table of places. The keys are with the series, each once; here is only so much of
/// their hashes that the table can grow without looking at them.
#[derive(Default)]
pub struct Index {
    slots: HashTable<Slot>,
    hasher: RandomState,
}

/// Eight bytes a series.
struct Slot {
    hash: u32,
    place: u32,
}

/// A key's hash, found once for looking up and adding.
#[derive(Clone, Copy)]
pub struct KeyHash(u32);

impl KeyHash {
    /// The hash as the table wants it, which takes the place of a slot from the low bits and a
    /// tag to compare from the high ones.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

impl Index {
    #[inline]
    pub fn hash(&self, key: Key) -> KeyHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_bytes());
        let hash = (hasher.finish() >> 16) as u32;
        // Tests are to meet keys of one hash.
        KeyHash(if cfg!(test) { hash % 4 } else { hash })
    }

    /// The place in `series` of the one that has this key.
    #[inline]
    pub fn find(&self, hash: KeyHash, key: Key, series: &[Series]) -> Option<usize> {
        let is_key = |slot: &Slot| slot.hash == hash.0 && series[slot.place as usize].has(key);
        self.slots
            .find(hash.spread(), is_key)
            .map(|slot| slot.place as usize)
    }

    /// The place that this hash leads to first: that of its key, unless there are two keys of one
    /// hash, or none with this one. Looks at no key.
    #[inline]
    pub fn guess(&self, hash: KeyHash) -> Option<usize> {
        let slot = self.slots.find(hash.spread(), |slot| slot.hash == hash.0);
        slot.map(|slot| slot.place as usize)
    }

    /// Adds the place of a key that has none.
    ///
    /// # Panics
    ///
    /// At 2^32 series, which take more than 400 GiB.
    pub fn insert(&mut self, hash: KeyHash, place: usize) {
        let place = u32::try_from(place).expect("a store of less than 2^32 series");
        let slot = Slot {
            hash: hash.0,
            place,
        };
        self.slots
            .insert_unique(hash.spread(), slot, |slot| KeyHash(slot.hash).spread());
    }

    /// Bytes that are allocated: a slot and a tag for each place of the table.
    pub fn allocated_bytes(&self) -> usize {
        self.slots.allocation_size()
    }
}
