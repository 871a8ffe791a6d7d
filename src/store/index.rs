//! From a key to the place of its series.

use std::hash::{BuildHasher, Hasher};
use std::mem;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::key::Key;

/// Bits of a hash that choose a bucket of the largest usual table.
const BUCKET_BITS: u32 = 13;

/// Entries of a table, on average. A table has twice as many before it is split, which still fit
/// into 2^[`BUCKET_BITS`] buckets: hashbrown fills seven eighths of them. Smaller tables would be freed so
/// often that keys, which go where these were, would be scattered over the memory.
const TABLE_ENTRIES: usize = 3_250;

/// A table that is full, or whose free slots are all taken up by removed entries, is rewritten with
/// one free slot for every so many entries.
const ROOM: usize = 16;

/// A hash table from the hash of a key to the place of its series. The keys themselves are with
/// the series; a slot has enough of the hash to be moved without reading the key.
///
/// The slots are in many small tables, so that no insertion waits for a large table to grow. When
/// these have more than [`TABLE_ENTRIES`] on average, one table is added, and the next in turn is
/// split between itself and the new one (Litwin, "Linear Hashing: A New Tool for File and Table
/// Addressing", VLDB 1980).
pub struct Index {
    /// At least one.
    tables: Vec<HashTable<Slot>>,
    /// The least 2^n - 1 that no table's number exceeds.
    mask: usize,
    entries: usize,
    /// [`TABLE_ENTRIES`], except in tests.
    table_entries: usize,
    /// Bytes that all tables together have allocated.
    table_bytes: usize,
    hasher: RandomState,
}

/// Eight bytes a series.
struct Slot {
    hash: KeyHash,
    place: u32,
}

impl Slot {
    fn spread(&self) -> u64 {
        self.hash.spread()
    }
}

/// A key's hash, computed once for lookup and insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(u32);

impl KeyHash {
    /// The hash as hashbrown wants it: it takes the bucket from the low bits, and a tag to compare
    /// first from the seven highest.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }

    /// Bits for the number of the table, from the lowest up. They begin where those of the bucket
    /// end, so that the entries of one table spread over all of its buckets.
    fn table_bits(self) -> usize {
        self.0.rotate_right(BUCKET_BITS) as usize
    }
}

impl Index {
    /// The hash of a key. The seed is random and of this index alone.
    #[inline]
    pub fn hash(&self, key: Key) -> KeyHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_bytes());
        KeyHash((hasher.finish() >> 16) as u32)
    }

    /// The first place inserted with this hash of which `is_key` says that the key is there.
    #[inline]
    pub fn find(&self, hash: KeyHash, mut is_key: impl FnMut(usize) -> bool) -> Option<usize> {
        let is_key = |slot: &Slot| slot.hash == hash && is_key(slot.place as usize);
        let slot = self.tables[self.table_of(hash)].find(hash.spread(), is_key);
        slot.map(|slot| slot.place as usize)
    }

    /// A place inserted with this hash. It is that of the key, unless the key is new or shares its
    /// hash with another. Reads no key.
    #[inline]
    pub fn guess(&self, hash: KeyHash) -> Option<usize> {
        self.find(hash, |_| true)
    }

    /// Adds the place of a key that has none.
    ///
    /// Moves the entries of at most two tables, however many there are: those of the one that is
    /// inserted into, if it must grow, and those of the one that is split.
    ///
    /// # Panics
    ///
    /// At 2^32 series, which take more than 400 GiB.
    pub fn insert(&mut self, hash: KeyHash, place: usize) {
        let Ok(place) = u32::try_from(place) else {
            panic!("a store of 2^32 series");
        };
        let number = self.table_of(hash);
        let table = &self.tables[number];
        if table.len() == table.capacity() {
            self.resize(number, table.len() + table.len() / ROOM + 1);
        }
        self.tables[number].insert_unique(hash.spread(), Slot { hash, place }, Slot::spread);
        self.entries += 1;
        if self.entries > self.tables.len() * self.table_entries {
            self.split();
        }
    }

    /// Removes the place of a key.
    ///
    /// Now and then moves the entries of one table to a smaller one.
    pub fn remove(&mut self, hash: KeyHash, place: usize) {
        let number = self.table_of(hash);
        let table = &mut self.tables[number];
        let is_slot = |slot: &Slot| slot.hash == hash && slot.place as usize == place;
        if let Ok(entry) = table.find_entry(hash.spread(), is_slot) {
            entry.remove();
            self.entries -= 1;
            let entries = table.len();
            // An empty one keeps nothing: a few bytes here and there hold back all that is freed around them.
            // One that chance has made long gets short again: with churn, all of them would become long.
            if entries == 0 || entries < table.num_buckets() / 4 {
                self.resize(number, entries + entries / 3);
            }
        }
    }

    /// Moves the entries of a table to one that has room for so many.
    fn resize(&mut self, number: usize, capacity: usize) {
        let mut table = HashTable::with_capacity(capacity);
        let before = mem::take(&mut self.tables[number]);
        self.table_bytes -= before.allocation_size();
        self.table_bytes += table.allocation_size();
        for slot in before {
            table.insert_unique(slot.spread(), slot, Slot::spread);
        }
        self.tables[number] = table;
    }

    /// Number of the table for this hash.
    #[inline]
    fn table_of(&self, hash: KeyHash) -> usize {
        let number = hash.table_bits() & self.mask;
        if number < self.tables.len() {
            number
        } else {
            // Not added yet: the entries are in the table that will be split for it.
            number & (self.mask >> 1)
        }
    }

    /// Adds a table, and moves about half of the entries of another to it. Both get the size that
    /// fits what they have then.
    fn split(&mut self) {
        let added = self.tables.len();
        self.mask = (added + 1).next_power_of_two() - 1;
        let split = added & (self.mask >> 1);
        let entries = mem::take(&mut self.tables[split]);
        self.tables.push(HashTable::new());
        self.table_bytes -= entries.allocation_size();

        let moves = |slot: &&Slot| self.table_of(slot.hash) == added;
        let moved = entries.iter().filter(moves).count();
        self.tables[added].reserve(moved, Slot::spread);
        self.tables[split].reserve(entries.len() - moved, Slot::spread);
        for slot in entries {
            let number = self.table_of(slot.hash);
            self.tables[number].insert_unique(slot.spread(), slot, Slot::spread);
        }
        for number in [added, split] {
            self.table_bytes += self.tables[number].allocation_size();
        }
    }

    /// Bytes that are allocated, in constant time: mostly a slot and a tag for each bucket.
    pub fn allocated_bytes(&self) -> usize {
        self.table_bytes + self.tables.capacity() * size_of::<HashTable<Slot>>()
    }
}

impl Default for Index {
    fn default() -> Self {
        Index {
            tables: vec![HashTable::new()],
            mask: 0,
            entries: 0,
            table_entries: TABLE_ENTRIES,
            table_bytes: 0,
            hasher: RandomState::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// Small tables with places 0, 1, 2 and so on of these hashes.
    fn index_of(hashes: &[u32]) -> Index {
        let mut index = Index {
            table_entries: 4,
            ..Index::default()
        };
        for (place, &hash) in hashes.iter().enumerate() {
            index.insert(KeyHash(hash), place);
        }
        index
    }

    fn counted_bytes(index: &Index) -> usize {
        let tables = index.tables.iter().map(HashTable::allocation_size);
        tables.sum::<usize>() + index.tables.capacity() * size_of::<HashTable<Slot>>()
    }

    /// Hashes of which some differ in a few bits only, and some are the same.
    fn hash() -> impl Strategy<Value = u32> {
        prop_oneof![
            4 => any::<u32>(),
            1 => 0u32..8,
            1 => (0u32..64).prop_map(|bits| bits << BUCKET_BITS),
            1 => (0u32..64).prop_map(|bits| bits.rotate_right(6)),
        ]
    }

    proptest! {
        #[test]
        fn finds_what_a_map_has(hashes in proptest::collection::vec(hash(), 1..1_500), removed in proptest::collection::vec(0usize..1_500, 0..1_500), others in proptest::collection::vec(hash(), 100)) {
            let mut index = index_of(&hashes);
            let mut map: HashMap<u32, Vec<usize>> = HashMap::new();
            for (place, &hash) in hashes.iter().enumerate() {
                map.entry(hash).or_default().push(place);
            }
            for place in removed {
                if let Some(&hash) = hashes.get(place) {
                    index.remove(KeyHash(hash), place);
                    map.entry(hash).or_default().retain(|&other| other != place);
                }
            }
            for &other in &others {
                map.entry(other).or_default();
            }
            for (hash, expected) in map {
                let mut places = Vec::new();
                let found = index.find(KeyHash(hash), |place| {
                    places.push(place);
                    false
                });
                prop_assert_eq!(found, None);
                places.sort_unstable();
                prop_assert_eq!(&places, &expected);
                prop_assert_eq!(index.guess(KeyHash(hash)).is_some(), !expected.is_empty());
            }
            prop_assert_eq!(index.tables.len(), hashes.len().div_ceil(4));
            prop_assert_eq!(index.allocated_bytes(), counted_bytes(&index));
        }
    }

    /// A permutation that looks like chance: multiples of an odd number.
    fn hash_of(number: usize) -> KeyHash {
        KeyHash(((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24) as u32)
    }

    #[test]
    fn memory_is_that_of_the_entries_there_are() {
        const ENTRIES: usize = 30 * TABLE_ENTRIES;
        let mut index = Index::default();
        (0..ENTRIES).for_each(|place| index.insert(hash_of(place), place));
        let bytes = index.allocated_bytes();
        for place in 0..10 * ENTRIES {
            index.remove(hash_of(place), place);
            index.insert(hash_of(ENTRIES + place), ENTRIES + place);
        }
        let after = index.allocated_bytes();
        assert!(after < bytes + bytes / 20, "{after}, and {bytes} at first");
        assert_eq!((index.entries, after), (ENTRIES, counted_bytes(&index)));
        (0..11 * ENTRIES).for_each(|place| index.remove(hash_of(place), place));
        let left = index.allocated_bytes();
        assert!(left < bytes / 10, "{left} of {bytes} are left");
        assert_eq!((index.entries, left), (0, counted_bytes(&index)));
    }

    #[test]
    fn many_keys_of_one_hash() {
        let index = index_of(&[7; 1_000]);
        for place in 0..1_000 {
            assert_eq!(index.find(KeyHash(7), |at| at == place), Some(place));
        }
        assert_eq!(index.guess(KeyHash(8)), None);
    }

    #[test]
    fn no_insertion_moves_much() {
        let mut index = Index::default();
        let mut bytes_before = Vec::new();
        let mut most_moved = 0;
        for place in 0..60 * TABLE_ENTRIES {
            index.insert(hash_of(place), place);
            bytes_before.resize(index.tables.len(), 0);
            let mut moved = 0;
            for (table, bytes) in index.tables.iter().zip(&mut bytes_before) {
                if mem::replace(bytes, table.allocation_size()) != *bytes {
                    moved += table.len();
                }
            }
            most_moved = most_moved.max(moved);
        }
        assert_eq!(index.tables.len(), 60);
        assert!(
            (TABLE_ENTRIES..4 * TABLE_ENTRIES).contains(&most_moved),
            "{most_moved}"
        );
        for table in &index.tables {
            let bucket = |slot: &Slot| slot.spread() as usize % table.num_buckets();
            let buckets: HashSet<usize> = table.iter().map(bucket).collect();
            assert!(buckets.len() > table.len() / 2, "they crowd in few buckets");
        }
        let largest = index.tables.iter().map(HashTable::num_buckets).max();
        assert!(largest <= Some(1 << BUCKET_BITS));
        assert_eq!(index.allocated_bytes(), counted_bytes(&index));
    }
}
