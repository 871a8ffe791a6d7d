//! The whole store as bytes, in pieces, and back.
//!
//! A piece is a sequence of whole entries:
//!
//! ```text
//! byte  0      what it is: 0 to 3
//!       1 …    length of what follows, in bytes                        varint
//!       …      0: the key of the next series, UTF-8
//!              1: a block of its points: see block.rs
//!              2: its newest points: a chunk as chunk.rs has it, in a block that begins at 0
//!              3: nothing
//! ```
//!
//! A series is one entry 0, any number of entries 1, and one entry 2, which ends it. Entry 3 ends a
//! series that was removed after it had begun: it is no part of the image. Series come in
//! the order in which they were first put, and each key once. The timestamps of a series ascend
//! from entry to entry. A series may begin in one piece and end in a later one. A varint has seven
//! bits of the number in each byte, the lowest first, and the high bit set in all bytes but the last
//! (LEB128).
//!
//! Puts may go on between two pieces. The image has every point that was stored before the first
//! piece and neither put again nor removed since. It may have some of what is put or removed in between.

use super::Store;
use super::block::Block;
use super::chunk::{self, Header};
use super::index::KeyHash;
use super::packing::{read_varint, write_varint};
use super::run::Run;
use super::series::Series;
use super::timeline::Timeline;

const SERIES: u8 = 0;
const BLOCK: u8 = 1;
const NEWEST: u8 = 2;
const REMOVED: u8 = 3;

/// The timestamp from which that of the first of the newest points is counted.
const NEWEST_BASE: i64 = 0;

/// What a point that is encoded counts of the size of a piece: to copy so many bytes takes about as
/// long.
const ENCODED_POINT_BYTES: usize = 8;

/// To see that nothing of a series is to be kept takes about as long as to encode so many points.
const LEFT_OUT_POINTS: usize = 4;

/// After so many blocks, what was read of a series is stored, so that its oldest points can make room before
/// all of it is read.
const EARLY_BLOCKS: usize = 32;

/// Where the next piece of an image begins.
#[derive(Debug, Default)]
pub(crate) struct ImageCursor {
    /// The position past the last series at the first piece.
    end: Option<u64>,
    /// [Position](super::order::Order) of the series that comes next or has begun.
    position: u64,
    /// Timestamp up to which that is written, if it has begun.
    written_to: Option<i64>,
}

impl Store {
    /// Appends the next piece of the store's image, and says whether there is more.
    ///
    /// A piece has `bytes` bytes, and up to one block of points more. It has fewer if it is the last,
    /// or if many points had to be encoded: each of them counts as eight bytes. So a piece takes a
    /// time in proportion to `bytes`, some 100 µs for 64 KiB.
    pub(crate) fn append_image(
        &self,
        cursor: &mut ImageCursor,
        bytes: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let end = *cursor.end.get_or_insert(self.order.end());
        let (start, mut points_encoded) = (out.len(), 0);
        let (mut run, mut chunk) = (Run::new(), Vec::new());
        loop {
            let next = self.next_series(&(cursor.position..end));
            cursor.go_to(next.map_or(end, |(position, _)| position), out);
            let Some((_, (_, series))) = next else {
                return false;
            };
            points_encoded +=
                cursor.append_part(series, self.removed_to, &mut run, &mut chunk, out);
            if out.len() - start + ENCODED_POINT_BYTES * points_encoded >= bytes {
                return cursor.position < end;
            }
        }
    }
}

impl ImageCursor {
    /// Goes on to the series at this position, if it is not there yet.
    fn go_to(&mut self, position: u64, out: &mut Vec<u8>) {
        if position > self.position {
            self.position = position;
            if self.written_to.take().is_some() {
                append_entry(out, REMOVED, &[]);
            }
        }
    }

    /// Appends the next block of a series, or its newest points, after its key if that is due;
    /// points past `removed_to` alone. Returns how many points were encoded in the time that it took.
    fn append_part(
        &mut self,
        series: &Series,
        removed_to: Option<i64>,
        run: &mut Run,
        chunk: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> usize {
        if Some(series.timeline.last_timestamp()) <= removed_to {
            self.go_to(self.position + 1, out);
            return LEFT_OUT_POINTS;
        }
        if self.written_to.is_none() {
            append_entry(out, SERIES, series.key.as_bytes());
        }
        let after = self.written_to.max(removed_to);
        if let Some((blocks, to, points_encoded)) = series.timeline.next_blocks(after) {
            for block in &blocks {
                append_entry(out, BLOCK, block.as_bytes());
            }
            self.written_to = Some(to);
            return points_encoded;
        }
        series.timeline.newest(after, i64::MAX, run);
        chunk.clear();
        chunk::encode(chunk, run, NEWEST_BASE);
        append_entry(out, NEWEST, chunk);
        (self.position, self.written_to) = (self.position + 1, None);
        run.len()
    }
}

fn append_entry(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Makes a store of the pieces of its image.
///
/// These may be any bytes: what they hold is checked, and memory is taken in proportion to them.
#[derive(Default)]
pub(crate) struct ImageReader {
    /// The series that have ended, and what is stored early of the one that has begun.
    pub(crate) store: Store,
    /// The series that has begun, and not ended yet.
    begun: Option<(KeyHash, Box<str>)>,
    /// Its blocks that are not stored, by ascending timestamp.
    blocks: Vec<Block>,
    /// Timestamp of the last point of the last of them.
    last: Option<i64>,
    /// Room to decode a part of it.
    run: Run,
}

impl ImageReader {
    /// Takes in the next piece.
    ///
    /// # Errors
    ///
    /// If no image continues like this. Then this reader is of no more use.
    pub(crate) fn take_in(&mut self, mut piece: &[u8]) -> Result<(), &'static str> {
        while let Some(&kind) = piece.split_off_first() {
            let length = read_varint(&mut piece).and_then(|length| length.try_into().ok());
            let bytes = length.and_then(|length: usize| piece.split_off(..length));
            let bytes = bytes.ok_or("an entry is cut short")?;
            match kind {
                SERIES => self.begin_series(bytes)?,
                BLOCK => self.take_block(bytes)?,
                NEWEST => self.end_series(bytes)?,
                REMOVED => self.leave_out_series()?,
                _ => return Err("an entry is of no known kind"),
            }
        }
        Ok(())
    }

    /// How many points were stored, those included that were evicted since.
    pub(crate) fn points(&self) -> u64 {
        self.store.point_count() as u64 + self.store.evicted_points()
    }

    /// Whether the last series has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.begun.is_none()
    }

    /// The store of the series that have ended.
    pub(crate) fn into_store(mut self) -> Store {
        if let Some((_, key)) = &self.begun {
            self.store.remove(key);
        }
        self.store
    }

    fn begin_series(&mut self, key: &[u8]) -> Result<(), &'static str> {
        if self.begun.is_some() {
            return Err(UNENDED);
        }
        let key = str::from_utf8(key).map_err(|_| "a key is not UTF-8")?;
        let hash = self.store.index.hash(key.into());
        if self.store.find(hash, key.into()).is_some() {
            return Err("there are two series of one key");
        }
        self.begun = Some((hash, key.into()));
        Ok(())
    }

    fn take_block(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.begun.is_none() {
            return Err(UNBEGUN);
        }
        let read = Block::read(bytes, &mut self.run);
        let (block, last) = read.ok_or("a block does not decode")?;
        self.check_order(block.first_timestamp())?;
        if self.blocks.len() == EARLY_BLOCKS
            && let Some(begun) = self.begun.clone()
        {
            // A series needs newest points. Until this block is stored, they are the first ones of it.
            block.next_run(None, i64::MAX, &mut self.run);
            self.store_parts(begun);
        }
        self.last = Some(last);
        self.blocks.push(block);
        Ok(())
    }

    fn end_series(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        let header = Header::read(&mut bytes, NEWEST_BASE);
        let header = header.filter(|header| bytes.len() == header.packed_bytes());
        let decoded = header.and_then(|header| header.decode_checked(bytes, &mut self.run));
        decoded.ok_or("the newest points of a series do not decode")?;
        self.check_order(self.run.timestamps()[0])?;
        let begun = self.begun.take().ok_or(UNBEGUN)?;
        self.store_parts(begun);
        self.last = None;
        Ok(())
    }

    /// Stores the blocks of a series, and after them `run`.
    fn store_parts(&mut self, (hash, key): (KeyHash, Box<str>)) {
        let (store, sealed_to) = (&mut self.store, self.last.unwrap_or_default());
        let place = store.find(hash, (&*key).into()).unwrap_or_else(|| {
            let place = store.series.vacant_place();
            let newest = self.run.points().next().unwrap_or_default();
            store.add(hash, key, Timeline::new(newest, place));
            place
        });
        if let Some(Series { timeline, .. }) = store.series.get_mut(place) {
            let (blocks, totals) = (&mut self.blocks, &mut store.totals);
            timeline.replace_newest(blocks, sealed_to, &self.run, totals);
            store.removal.note_due(timeline.oldest_end());
        }
    }

    fn leave_out_series(&mut self) -> Result<(), &'static str> {
        let (_, key) = self.begun.take().ok_or(UNBEGUN)?;
        self.store.remove(&key);
        self.blocks.clear();
        self.last = None;
        Ok(())
    }

    /// Whether points may follow those before them, by the timestamp of their first.
    fn check_order(&self, first: i64) -> Result<(), &'static str> {
        match self.last {
            Some(last) if first <= last => Err("timestamps do not ascend"),
            _ => Ok(()),
        }
    }
}

const UNBEGUN: &str = "there are points before a key";
const UNENDED: &str = "a series is without its newest points";

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::store::Placed;

    type Put = (usize, i64, f64);

    /// A key, the empty one among them.
    fn key(series: usize) -> String {
        "ключ".chars().cycle().take(series).collect()
    }

    fn put_all(store: &mut Store, puts: &[Put]) {
        for &(series, timestamp, value) in puts {
            store.put(&key(series), timestamp, value);
        }
    }

    /// All points in the order of a client's `get *`.
    fn points(store: &Store) -> Vec<(&str, i64, u64)> {
        let of_key = |key| {
            let points = store.range(key, ..);
            points.map(move |point| (key, point.timestamp, point.value.to_bits()))
        };
        store.keys().flat_map(of_key).collect()
    }

    /// The pieces of an image, and what `between` puts after each of them but the last.
    fn pieces(
        store: &mut Store,
        mut bytes: impl FnMut() -> usize,
        mut between: impl FnMut(&mut Store),
    ) -> Vec<Vec<u8>> {
        let (mut cursor, mut pieces) = (ImageCursor::default(), Vec::new());
        loop {
            let mut piece = Vec::new();
            let is_more = store.append_image(&mut cursor, bytes(), &mut piece);
            pieces.push(piece);
            if !is_more {
                return pieces;
            }
            between(store);
        }
    }

    fn image(store: &mut Store) -> Vec<u8> {
        pieces(store, || usize::MAX, |_| ()).concat()
    }

    fn load(pieces: &[impl AsRef<[u8]>]) -> Result<Store, &'static str> {
        let mut reader = ImageReader::default();
        for piece in pieces {
            reader.take_in(piece.as_ref())?;
        }
        if !reader.is_complete() {
            return Err(UNENDED);
        }
        Ok(reader.into_store())
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            12 => (-10_000i64..10_000).prop_map(|digits| digits as f64 / 100.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(999_999_999_999_999.0)],
        ]
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            3 => proptest::collection::vec(value(), 1..400),
            2 => proptest::collection::vec((0i64..100).prop_map(|digits| digits as f64 / 10.0), 1..1_500),
            1 => proptest::collection::vec(any::<f64>(), 1..400),
        ]
    }

    /// Puts into a series: forwards, backwards, at one timestamp, at random.
    fn stretch() -> impl Strategy<Value = Vec<Put>> {
        let first = prop_oneof![
            6 => 0i64..6_000,
            1 => any::<i64>(),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX - 200)],
        ];
        let in_step = (first, -2i64..5).prop_map(|(first, step)| {
            (0..1_500)
                .map(|at| first.saturating_add(step * at))
                .collect::<Vec<i64>>()
        });
        let random = proptest::collection::vec(0i64..6_000, 1_500);
        let timestamps = prop_oneof![3 => in_step.boxed(), 1 => random.boxed()];
        (0usize..3, timestamps, values()).prop_map(|(series, timestamps, values)| {
            let points = timestamps.into_iter().zip(values);
            points
                .map(|(timestamp, value)| (series, timestamp, value))
                .collect()
        })
    }

    fn stretches(most: usize) -> impl Strategy<Value = Vec<Vec<Put>>> {
        proptest::collection::vec(stretch(), 1..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]
        #[test]
        fn a_loaded_store_is_as_the_one_that_was_written(
            before in stretches(8),
            meanwhile in stretches(6),
            after in stretches(3),
            sizes in proptest::collection::vec(prop_oneof![0usize..500, 0usize..5_000], 1..8),
        ) {
            let mut store = Store::new();
            put_all(&mut store, &before.concat());
            let at_first: BTreeMap<(String, i64), u64> =
                points(&store).into_iter().map(|(key, at, bits)| ((key.into(), at), bits)).collect();
            let (mut sizes, mut left) = (sizes.iter().cycle(), meanwhile.chunks(1));
            let mut recorded = Vec::new();
            let size = || *sizes.next().expect("it does not end");
            let pieces = pieces(&mut store, size, |store| {
                let puts = left.next().map(|stretches| stretches.concat()).unwrap_or_default();
                put_all(store, &puts);
                recorded.extend(puts);
            });

            let mut loaded = load(&pieces).expect("an image");
            loaded.check(false);
            let put: BTreeMap<(String, i64), BTreeSet<u64>> =
                recorded.iter().fold(BTreeMap::new(), |mut put, &(series, at, value)| {
                    put.entry((key(series), at)).or_default().insert(value.to_bits());
                    put
                });
            let found: BTreeMap<(String, i64), u64> =
                points(&loaded).into_iter().map(|(key, at, bits)| ((key.into(), at), bits)).collect();
            for (point, bits) in &found {
                let is_put = put.get(point).is_some_and(|put| put.contains(bits));
                prop_assert!(is_put || at_first.get(point) == Some(bits), "{:?}", point);
            }
            prop_assert!(at_first.keys().all(|point| found.contains_key(point)));
            prop_assert!(loaded.keys().eq(store.keys().take(loaded.series_count())));

            put_all(&mut loaded, &recorded);
            prop_assert!(points(&loaded) == points(&store));
            for puts in after {
                put_all(&mut loaded, &puts);
                put_all(&mut store, &puts);
                prop_assert!(points(&loaded) == points(&store));
                loaded.check(false);
            }
        }
    }

    #[test]
    fn a_piece_ends_though_all_series_are_left_out() {
        const SERIES: usize = 100;
        let mut store = Store::new();
        (0..SERIES).for_each(|number| store.put(&number.to_string(), 1, 0.5));
        store.set_floors(2, 2);
        let (mut cursor, mut out) = (ImageCursor::default(), Vec::new());
        let bytes = SERIES / 10 * LEFT_OUT_POINTS * ENCODED_POINT_BYTES;
        let mut pieces = 1;
        while store.append_image(&mut cursor, bytes, &mut out) {
            pieces += 1;
        }
        assert_eq!((pieces, out.len()), (10, 0));
    }

    /// What happens to a store between two pieces.
    #[derive(Clone, Debug)]
    enum Change {
        Puts(Vec<Put>),
        Floors(i64, i64),
        Evict(usize),
        Expire(usize),
        Remove(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => stretch().prop_map(Change::Puts),
            1 => (0i64..3_000, 0i64..3_000).prop_map(|(one, other)| Change::Floors(one, other)),
            2 => (1usize..50).prop_map(Change::Evict),
            1 => (1usize..50).prop_map(Change::Expire),
            2 => (0usize..3).prop_map(Change::Remove),
        ]
    }

    /// What a journal keeps of a change.
    enum Record {
        Put { put: Put, is_new: bool },
        Removal { key: String, up_to: i64 },
    }

    fn make(store: &mut Store, change: Change, records: &mut Vec<Record>) {
        match change {
            Change::Puts(puts) => {
                for put in puts {
                    let (series, timestamp, value) = put;
                    let key = key(series);
                    let one = crate::store::Put {
                        key: (&*key).into(),
                        timestamp,
                        value: value.into(),
                    };
                    let placed = store.put_all_noting_places(&[one])[0];
                    if placed != Placed::NotKept {
                        let is_new = matches!(placed, Placed::New(_));
                        records.push(Record::Put { put, is_new });
                    }
                }
            }
            Change::Floors(one, other) => {
                // What is removed may come back if it is not freed when the floor is lowered.
                let removed_below = one.min(other).max(store.floors().1);
                store.set_floors(one.max(other).max(removed_below), removed_below);
            }
            Change::Evict(most) => {
                store.evict(most, &mut |_, key, up_to| {
                    let key = key.into();
                    records.push(Record::Removal { key, up_to });
                });
            }
            Change::Expire(most) => {
                store.expire(most);
            }
            Change::Remove(series) => {
                let (key, up_to) = (key(series), i64::MAX);
                store.remove(&key);
                records.push(Record::Removal { key, up_to });
            }
        }
    }

    fn replay(store: &mut Store, record: Record) {
        match record {
            Record::Put { put, is_new } => {
                if is_new {
                    store.remove(&key(put.0));
                }
                put_all(store, &[put]);
            }
            Record::Removal { key, up_to } => {
                if let Some(place) = store.place_of(&key) {
                    store.remove_to(place, up_to);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn what_is_removed_meanwhile_is_by_a_replay_too(
            before in proptest::collection::vec(change(), 1..6),
            meanwhile in proptest::collection::vec(change(), 1..20),
            sizes in proptest::collection::vec(0usize..2_000, 1..8),
        ) {
            let mut store = Store::new();
            before.into_iter().for_each(|change| make(&mut store, change, &mut Vec::new()));
            let floor = store.floors().1;
            let (mut sizes, mut meanwhile) = (sizes.iter().cycle(), meanwhile.into_iter());
            let mut records = Vec::new();
            let size = || *sizes.next().expect("it does not end");
            let pieces = pieces(&mut store, size, |store| {
                let changes = meanwhile.by_ref().take(1);
                changes.for_each(|change| make(store, change, &mut records));
            });
            let mut reader = ImageReader::default();
            pieces.iter().for_each(|piece| reader.take_in(piece).expect("a piece"));
            prop_assert!(reader.is_complete());
            let read = reader.points();
            let mut loaded = reader.into_store();
            loaded.check(false);
            prop_assert_eq!(read, points(&loaded).len() as u64);
            prop_assert!(loaded.keys().all(|key| loaded.range(key, ..).count() > 0));
            prop_assert!(points(&loaded).iter().all(|&(_, timestamp, _)| timestamp >= floor));
            records.into_iter().for_each(|record| replay(&mut loaded, record));
            let (hidden_below, removed_below) = store.floors();
            loaded.set_floors(hidden_below, removed_below);
            prop_assert!(points(&loaded) == points(&store));
            loaded.check(false);
        }
    }

    /// A store of few bytes that has something of everything.
    fn small_store() -> Store {
        let mut store = Store::new();
        let walk = |at: i64| (at * 7_919 % 101) as f64 / 100.0;
        let point = |at: i64| match at {
            120..127 => (10 * at, walk(at) / 3.0),
            99 => (10 * at, f64::NAN),
            _ => (10 * at + i64::from(at > 160) * (at % 3), walk(at)),
        };
        for (series, count) in [(0, 1), (1, 170), (2, 3), (3, 200), (4, 60)] {
            let puts: Vec<Put> = (0..count)
                .map(|at| (series, point(at).0, point(at).1))
                .collect();
            put_all(&mut store, &puts);
        }
        put_all(&mut store, &[(3, 1_005, 5.5), (4, 580, 5.5), (4, 15, -0.0)]);
        store
    }

    /// Any store can be read whole and put into.
    fn use_all(store: &mut Store) {
        let bytes = points(store).len();
        assert!(bytes >= store.series_count());
        store.check(false);
        for key in store.keys().map(String::from).collect::<Vec<String>>() {
            for at in 0..3 {
                store.put(&key, 370 * at, 0.25);
            }
        }
        assert!(points(store).len() <= store.point_count());
    }

    #[test]
    fn what_is_cut_short_is_a_prefix_or_corrupt() {
        let mut store = small_store();
        let image = image(&mut store);
        let mut found = BTreeSet::new();
        for end in 0..image.len() {
            if let Ok(mut loaded) = load(&[&image[..end]]) {
                assert!(points(&store).starts_with(&points(&loaded)));
                found.insert(loaded.series_count());
                use_all(&mut loaded);
            }
        }
        assert!(found.into_iter().eq(0..store.series_count()));
    }

    #[test]
    fn flipped_bits_give_a_store_or_an_error() {
        let mut bytes = image(&mut small_store());
        let mut loaded = 0;
        for place in 0..bytes.len() {
            for flipped in [1 << (place % 8), 0x80] {
                bytes[place] ^= flipped;
                if let Ok(mut store) = load(&[&bytes]) {
                    loaded += 1;
                    use_all(&mut store);
                }
                bytes[place] ^= flipped;
            }
        }
        assert!((1..2 * bytes.len()).contains(&loaded), "{loaded}");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_store_or_an_error(
            spliced in proptest::collection::vec((any::<u16>(), 0usize..12, proptest::collection::vec(any::<u8>(), 0..12)), 1..4),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut image = image(&mut small_store());
            for (at, length, bytes) in spliced {
                let start = usize::from(at) % image.len();
                let end = image.len().min(start + length);
                image.splice(start..end, bytes);
            }
            for bytes in [image, bytes] {
                if let Ok(mut store) = load(&[&bytes]) {
                    use_all(&mut store);
                }
            }
        }
    }

    #[test]
    fn what_no_store_writes_is_corrupt() {
        let entry = |kind, bytes: &[u8]| {
            let mut out = Vec::new();
            append_entry(&mut out, kind, bytes);
            out
        };
        let run = |timestamps: std::ops::Range<i64>| {
            let point = |timestamp| crate::store::Point {
                timestamp,
                value: 0.5,
            };
            Run::of_points(&timestamps.map(point).collect::<Vec<_>>())
        };
        let block = |timestamps| entry(BLOCK, Block::of_run(&run(timestamps)).as_bytes());
        let newest = |timestamps| {
            let mut out = Vec::new();
            chunk::encode(&mut out, &run(timestamps), NEWEST_BASE);
            out
        };
        let end = |timestamps| entry(NEWEST, &newest(timestamps));
        let begin = |key: &str| entry(SERIES, key.as_bytes());
        let with = |kind, mut bytes: Vec<u8>, place: usize, byte| {
            bytes.splice(place.min(bytes.len()).., [byte]);
            entry(kind, &bytes)
        };
        let of_count = |count: u8| {
            let mut bytes = Block::of_run(&run(0..9)).as_bytes().to_vec();
            bytes[8] = count;
            entry(BLOCK, &bytes)
        };
        let table: [(Vec<Vec<u8>>, Option<&str>); 20] = [
            (vec![], None),
            (vec![begin("k"), end(0..9)], None),
            (
                vec![begin(""), block(0..9), block(9..20), end(20..21)],
                None,
            ),
            (
                vec![begin("k")],
                Some("a series is without its newest points"),
            ),
            (
                vec![begin("k"), block(0..9)],
                Some("a series is without its newest points"),
            ),
            (
                vec![begin("k"), begin("l")],
                Some("a series is without its newest points"),
            ),
            (vec![block(0..9)], Some("there are points before a key")),
            (vec![end(0..9)], Some("there are points before a key")),
            (
                vec![begin("k"), end(0..9), begin("k")],
                Some("there are two series of one key"),
            ),
            (vec![entry(SERIES, &[0xff])], Some("a key is not UTF-8")),
            (
                vec![begin("k"), block(0..9), block(8..20)],
                Some("timestamps do not ascend"),
            ),
            (
                vec![begin("k"), block(0..9), end(8..20)],
                Some("timestamps do not ascend"),
            ),
            (
                vec![
                    begin("k"),
                    block(0..9),
                    entry(REMOVED, &[]),
                    begin("k"),
                    end(0..5),
                ],
                None,
            ),
            (
                vec![entry(REMOVED, &[])],
                Some("there are points before a key"),
            ),
            (vec![entry(4, &[])], Some("an entry is of no known kind")),
            (vec![vec![SERIES, 2, b'k']], Some("an entry is cut short")),
            (vec![vec![SERIES]], Some("an entry is cut short")),
            (
                vec![begin("k"), of_count(8)],
                Some("a block does not decode"),
            ),
            (
                vec![begin("k"), entry(BLOCK, &[0; 10])],
                Some("a block does not decode"),
            ),
            (
                vec![begin("k"), with(NEWEST, newest(0..9), usize::MAX, 0)],
                Some("the newest points of a series do not decode"),
            ),
        ];
        for (pieces, expected) in table {
            let corrupt = load(&pieces).err().map(|corrupt| corrupt.to_string());
            assert_eq!(corrupt.as_deref(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_long_series_is_stored_early_and_goes_if_it_does_not_end() {
        let mut store = Store::new();
        (0..80_000).for_each(|at| store.put("long", at, (at % 101) as f64));
        let mut pieces = pieces(&mut store, || 10_000, |_| ());
        let end = pieces.pop().expect("a piece");
        let mut removed = Vec::new();
        append_entry(&mut removed, REMOVED, &[]);
        let mut damaged = Vec::new();
        append_entry(&mut damaged, NEWEST, &[0; 3]);
        for (last, is_evicted, expected) in [
            (&end, false, 0..80_000),
            (&end, true, 70_000..80_000),
            (&removed, false, 0..0),
            (&Vec::new(), false, 0..0),
            (&damaged, false, 0..0),
        ] {
            let mut reader = ImageReader::default();
            let read = |piece: &Vec<u8>| reader.take_in(piece).expect("an image");
            pieces.iter().for_each(read);
            reader.store.check(false);
            assert!(reader.points() > 60_000, "{}", reader.points());
            while is_evicted && reader.store.evict(1, &mut |_, _, _| ()) {}
            assert_eq!(reader.take_in(last).is_err(), last == &damaged);
            let loaded = reader.into_store();
            loaded.check(false);
            let points = loaded.range("long", ..);
            let timestamps: Vec<i64> = points.map(|point| point.timestamp).collect();
            let first = timestamps.first().copied().unwrap_or(expected.end);
            assert!(timestamps.into_iter().eq(first..expected.end), "a gap");
            // Blocks that were not stored yet are not evicted.
            let slack = if is_evicted { 40_000 } else { 0 };
            assert!((expected.start - first).abs() <= slack, "{first}");
        }
    }

    #[test]
    fn a_loaded_store_takes_no_more_memory() {
        let walk = |series: usize, at: i64| ((series as i64 + at) * 7_919 % 101) as f64 / 100.0;
        for (series, points) in [(3, 20_000), (50, 500), (2_000, 12), (9_000, 1)] {
            let mut store = Store::new();
            for at in 0..points {
                for series in 0..series {
                    store.put(&format!("host{series:06}.cpu"), 10 * at, walk(series, at));
                }
            }
            let pieces = pieces(&mut store, || 64 << 10, |_| ());
            let loaded = load(&pieces).expect("an image");
            loaded.check(false);
            let ratio = loaded.allocated_bytes() as f64 / store.allocated_bytes() as f64;
            assert!(
                (0.95..1.03).contains(&ratio),
                "{series} × {points}: {ratio}"
            );
        }
    }

    #[test]
    fn pieces_are_of_the_size_asked_for() {
        let mut store = small_store();
        let whole = image(&mut store);
        for bytes in [0, 1, 100, 1_000, 10_000] {
            let mut cursor = ImageCursor::default();
            let (mut out, mut start) = (vec![7; 3], 3);
            while store.append_image(&mut cursor, bytes, &mut out) {
                let length = out.len() - start;
                assert!(length > bytes / 10 && length < bytes + 3_000, "{length}");
                start = out.len();
            }
            assert!(out[3..] == whole);
            assert!(!store.append_image(&mut cursor, bytes, &mut out));
        }
    }
}
