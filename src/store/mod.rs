//! Where points are kept: series by key, in about a byte a point, and snapshots that read them.
//!
//! Everything is written by [`Store::put`] or [`Store::put_all`] and read through a [`Snapshot`],
//! which holds what was stored when it was taken, however long it is read and whatever is put
//! meanwhile. Nothing here knows the protocol, a socket or the clock.
//!
//! ```text
//! put ─ index ─ series ─ timeline ─ head ── run ── chunk ── block
//! snapshot ─ notes ─┬─ timeline ─┬─ head ── run
//!                   └─ extent ───┴─ block ─ chunk ─┘
//! ```
//!
//! A point goes into the open head of its series, in a byte or two; a full head becomes a chunk
//! of a sealed block, by about a byte a point; points that come late wait beside the block that
//! they fall into until there are enough of them to rewrite it. Whatever is read comes as a
//! run of up to 160 points.
//!
//! A series lives in a place, which another one takes when it is removed. Readers walk the order of
//! the series, whose positions are never used again.

mod block;
mod chunk;
mod extents;
mod head;
mod history;
mod image;
mod index;
mod notes;
mod order;
mod packing;
mod places;
mod removal;
mod run;
mod series;
mod snapshot;
mod timeline;

use std::fmt;
use std::iter;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex};

pub(crate) use self::image::{ImageCursor, ImageReader};
use self::index::{Index, KeyHash};
use self::notes::{At, MOST_BYTES, NO_NOTE, NOW, Notes};
use self::order::Order;
pub(crate) use self::packing::{read_varint, unzigzag, write_varint, zigzag};
use self::removal::Removal;
pub(crate) use self::run::Kind;
pub use self::run::Run;
use self::series::{Series, SeriesList};
use self::snapshot::{ALL, Readers, lock};
pub use self::snapshot::{Snapshot, SnapshotError};
use self::timeline::{Timeline, Totals};
use crate::key::Key;
use crate::value::Value;

/// A value at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// In whatever unit the clients agree on; seconds since 1970 as a rule.
    pub timestamp: i64,
    /// Any double, kept to the bit.
    pub value: f64,
}

/// A point and where it goes: what [`Store::put_all`] takes several of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Put<'key> {
    /// Key of the series.
    pub key: Key<'key>,
    /// See [`Point::timestamp`].
    pub timestamp: i64,
    /// See [`Point::value`].
    pub value: Value,
}

impl Put<'_> {
    fn point(&self) -> Point {
        Point {
            timestamp: self.timestamp,
            value: self.value.to_double(),
        }
    }
}

/// How many puts [`Store::put_all`] takes up at once: about as many loads as a processor core can
/// have under way.
pub(crate) const PUTS_AT_ONCE: usize = 16;

/// As many series as a processor core is likely to have in its own cache.
const CACHED_SERIES: usize = 2_048;

/// The place of no series.
const NOWHERE: usize = usize::MAX;

/// What became of a put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is stored in the series at this place, which existed.
    At(u32),
    /// It is the first of a series that is new, at this place.
    New(u32),
    /// It is below the floor, and not stored.
    #[default]
    NotKept,
}

/// Series of points by key, in memory, in about a byte a point, for use by one thread.
///
/// ```
/// let mut store = metricd::Store::new();
/// store.put("palm.cpu", 1_150_864_247, 23.7);
/// store.put("palm.cpu", 1_150_864_237, 0.5);
/// store.put("palm.cpu", 1_150_864_257, 99.0);
///
/// let values = |points: Vec<metricd::Point>| points.iter().map(|point| point.value).collect();
/// let all: Vec<f64> = values(store.range("palm.cpu", ..).collect());
/// assert_eq!(all, [0.5, 23.7, 99.0]);
/// let late: Vec<f64> = values(store.range("palm.cpu", 1_150_864_240..).collect());
/// assert_eq!(late, [23.7, 99.0]);
/// assert_eq!((store.series_count(), store.point_count()), (1, 3));
/// ```
#[derive(Default)]
pub struct Store {
    /// Place in `series` by key.
    index: Index,
    /// By place.
    series: SeriesList,
    /// Their places in the order in which each was first put.
    order: Order,
    /// Of all timelines.
    totals: Totals,
    /// Bytes of all keys.
    key_bytes: usize,
    /// The last timestamp below the floor of what is read.
    hidden_to: Option<i64>,
    /// The last timestamp below the floor of what is kept, which is not past the other.
    removed_to: Option<i64>,
    /// What is to be removed.
    removal: Removal,
    /// What became of the last puts.
    placed: [Placed; PUTS_AT_ONCE],
    /// The place after that of the last put.
    next_place: usize,
    /// Whether the last puts went to one place after the other, as they do when clients send all of their series
    /// in the same order. Then the places of the next ones are guessed without looking up their keys.
    is_in_turn: bool,
    /// How many points were rewritten for late puts.
    points_rewritten: u64,
    /// How series were, for the snapshots that are open.
    notes: Notes,
    /// Shared with the snapshots.
    readers: Arc<Mutex<Readers>>,
}

/// Bytes that a store has allocated, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreBytes {
    /// Points.
    pub points: usize,
    /// The text of the keys.
    pub keys: usize,
    /// What finds a series by its key, and its fixed part.
    pub index: usize,
    /// What snapshots keep of points that have changed since.
    pub snapshots: usize,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("series_count", &self.series_count())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A store that holds nothing.
    pub fn new() -> Store {
        Store::default()
    }

    /// Stores one point. A point that the series has at this timestamp is replaced. A point below
    /// [the floor](Self::set_floors) is not kept.
    ///
    /// Constant time where the point is the newest of its series, else now and then the work of
    /// rewriting one block of about a thousand points. A new key may move some ten thousand entries
    /// of the index, however many series there are. While there are snapshots, the first put
    /// into a series after each of them takes a note, in time logarithmic in how many there are,
    /// and the first late put into a block keeps that block, or a copy of the head.
    #[inline]
    pub fn put(&mut self, key: &str, timestamp: i64, value: f64) {
        self.put_all(&[Put {
            key: key.into(),
            timestamp,
            value: value.into(),
        }]);
    }

    /// Stores several points, in order, as [`put`](Self::put) does.
    ///
    /// In a store too large for the processor's caches this takes half the time: it waits for the
    /// memory of up to sixteen series at once, not of one after the other.
    pub fn put_all(&mut self, puts: &[Put]) {
        for puts in puts.chunks(PUTS_AT_ONCE) {
            self.put_all_noting_places(puts);
        }
    }

    /// Stores at most [`PUTS_AT_ONCE`] points as [`put_all`](Self::put_all) does, and returns what
    /// became of each.
    // All of a put is inlined into it, so there is to be one of it.
    #[inline(never)]
    pub(crate) fn put_all_noting_places(&mut self, puts: &[Put]) -> &[Placed] {
        let is_in_turn = self.is_in_turn && puts.len() > 1;
        let mut places = [NOWHERE; PUTS_AT_ONCE];
        let places = &mut places[..puts.len()];
        if !is_in_turn || self.is_worth_warming() {
            for ((place, put), next) in places.iter_mut().zip(puts).zip(self.next_place..) {
                *place = match is_in_turn {
                    true => next,
                    false => {
                        let guess = self.index.guess(self.index.hash(put.key));
                        guess.unwrap_or(NOWHERE)
                    }
                };
            }
            let timestamps = puts.iter().map(|put| put.timestamp);
            self.warm(places.iter().copied().zip(timestamps));
        }
        let mut jumps = 0;
        for (at, (&mut guess, put)) in places.iter_mut().zip(puts).enumerate() {
            // After a jump, the others are in turn again.
            let guess = if is_in_turn { self.next_place } else { guess };
            let placed = if self.put_at(guess, Some(put.key), put.timestamp, put.value) {
                Placed::At(guess as u32)
            } else {
                self.put_unguessed(self.index.hash(put.key), put)
            };
            self.placed[at] = placed;
            if let Placed::At(place) | Placed::New(place) = placed {
                jumps += usize::from(place as usize != self.next_place);
                self.next_place = place as usize + 1;
            }
        }
        self.is_in_turn = jumps * PUTS_AT_ONCE <= puts.len();
        &self.placed[..puts.len()]
    }

    /// Stores at most [`PUTS_AT_ONCE`] points in series that exist, by their places, also if these
    /// are wholly below the floor. Points for places that do not exist are left out.
    #[inline(never)]
    pub(crate) fn put_all_at_places(&mut self, puts: &[(usize, Point)]) {
        self.warm(puts.iter().map(|&(place, point)| (place, point.timestamp)));
        for &(place, point) in puts {
            self.put_found(place, None, point.timestamp, point.value.into());
        }
    }

    /// Whether the processor's cache is likely to lack what puts need.
    fn is_worth_warming(&self) -> bool {
        // Where points come late, more memory is in use than the newest bytes of each series.
        self.series.len() > CACHED_SERIES || self.points_rewritten > 0
    }

    /// Loads what puts into the series at these places need into the processor's cache, several at
    /// the same time.
    #[inline]
    fn warm(&self, puts: impl Iterator<Item = (usize, i64)>) {
        if self.is_worth_warming() {
            for (place, timestamp) in puts {
                if let Some(series) = self.series.get(place) {
                    series.warm(timestamp);
                }
            }
        }
    }

    /// As [`put_at`](Self::put_at), not inlined.
    #[inline(never)]
    fn put_found(&mut self, place: usize, key: Option<Key>, timestamp: i64, value: Value) -> bool {
        self.put_at(place, key, timestamp, value)
    }

    /// Puts into the series at this place, if there is one, the point is not below the floor, and the series
    /// [takes](Series::takes) puts under this key.
    // Inlined into both callers: one of them is the hot path.
    #[inline(always)]
    fn put_at(&mut self, place: usize, key: Option<Key>, timestamp: i64, value: Value) -> bool {
        // Whether there is a snapshot, which shares them.
        if Arc::strong_count(&self.readers) > 1 {
            self.note(place, key, timestamp);
        }
        let series = self.series.get_mut(place);
        let Some(series) = series.filter(|series| series.takes(key, self.removed_to)) else {
            return false;
        };
        series.timeline.push(timestamp, value, &mut self.totals)
            || self.put_late_or_seal(place, timestamp, value)
    }

    /// Puts a point that is not simply the next one of its series, unless it is below the floor.
    #[cold]
    fn put_late_or_seal(&mut self, place: usize, timestamp: i64, value: Value) -> bool {
        let value = value.to_double();
        let point = Point { timestamp, value };
        let series = self.series.get_mut(place);
        let Some(series) = series.filter(|_| Some(timestamp) > self.removed_to) else {
            return false;
        };
        let points_rewritten = series.timeline.put_late_or_seal(point, &mut self.totals);
        self.points_rewritten += points_rewritten as u64;
        true
    }

    /// Notes what a put into the series at this place would change, if that takes it.
    #[cold]
    fn note(&mut self, place: usize, key: Option<Key>, timestamp: i64) {
        let readers = &mut lock(&self.readers);
        let series = self.series.get_mut(place);
        if let Some(series) = series.filter(|series| series.takes(key, self.removed_to)) {
            let points_encoded =
                self.notes
                    .before_put(series, place, timestamp, &self.order, readers);
            self.points_rewritten += points_encoded as u64;
        }
    }

    /// Puts under a key that is new, or has its hash in common with another, or whose points are
    /// all below the floor.
    #[cold]
    fn put_unguessed(&mut self, hash: KeyHash, put: &Put) -> Placed {
        if Some(put.timestamp) <= self.removed_to {
            return Placed::NotKept;
        }
        if let Some(place) = self.find(hash, put.key) {
            if self.put_found(place, Some(put.key), put.timestamp, put.value) {
                return Placed::At(place as u32);
            }
            self.begin_again(place, put.point());
            return Placed::New(place as u32);
        }
        let place = self.series.vacant_place();
        self.add(hash, put.key.into(), Timeline::new(put.point(), place));
        Placed::New(place as u32)
    }

    /// Adds a series whose key is new, at the vacant place.
    fn add(&mut self, hash: KeyHash, key: Box<str>, timeline: Timeline) {
        let place = self.series.vacant_place();
        self.index.insert(hash, place);
        self.totals.replace(Totals::default(), timeline.totals());
        self.key_bytes += key.len();
        self.removal.note_due(timeline.oldest_end());
        let position = self.order.push(place);
        self.series.insert(Series {
            key,
            timeline,
            note: NO_NOTE,
            position,
        });
    }

    fn find(&self, hash: KeyHash, key: Key) -> Option<usize> {
        self.index.find(hash, |place| {
            let series = self.series.get(place);
            series.is_some_and(|series| series.has(key))
        })
    }

    /// Place of the series under a key.
    pub(crate) fn place_of(&self, key: &str) -> Option<usize> {
        let key = key.into();
        self.find(self.index.hash(key), key)
    }

    /// The series under a key, and its place.
    fn series_of(&self, key: &str) -> Option<At<'_>> {
        let place = self.place_of(key)?;
        Some((place, self.series.get(place)?))
    }

    /// The first series at these positions, and its position.
    fn next_series(&self, positions: &Range<u64>) -> Option<(u64, At<'_>)> {
        let (position, place) = self.order.next_in(positions)?;
        Some((position, (place, self.series.get(place)?)))
    }

    /// The series that there are now, from this position on, in the order of their first put, each with
    /// its position. One of which all points are [hidden](Self::set_floors) comes without its key.
    /// Positions are never used again, so a walk may pause while there are puts.
    pub(crate) fn keys_from(&self, mut from: u64) -> impl Iterator<Item = (u64, Option<&str>)> {
        iter::from_fn(move || {
            let (position, (_, series)) = self.next_series(&(from..u64::MAX))?;
            from = position + 1;
            let is_seen = Some(series.timeline.last_timestamp()) > self.hidden_to;
            Some((position, is_seen.then_some(&*series.key)))
        })
    }

    /// The position that the next new series will have.
    #[cfg(feature = "http")]
    pub(crate) fn end_position(&self) -> u64 {
        self.order.end()
    }

    /// How many points were rewritten for late puts, some 40 to 150 ns each. Where this has grown, puts
    /// may have taken long.
    pub(crate) fn points_rewritten(&self) -> u64 {
        self.points_rewritten
    }

    /// A snapshot of one series, or `None` where there is none.
    ///
    /// Constant time: nothing is copied.
    pub fn snapshot(&self, key: &str) -> Option<Snapshot> {
        let (place, series) = self.series_of(key)?;
        let position = self.order.position(place, series.position);
        Some(Readers::open(&self.readers, place, position..position + 1))
    }

    /// A snapshot of all series, in the order in which each was first put.
    ///
    /// Constant time: nothing is copied.
    pub fn snapshot_all(&self) -> Snapshot {
        Readers::open(&self.readers, ALL, 0..self.order.end())
    }

    /// The points of a series within a range of timestamps, ascending; none where there is no
    /// such series.
    pub fn range(
        &self,
        key: &str,
        timestamps: impl RangeBounds<i64>,
    ) -> impl Iterator<Item = Point> {
        let series = self.series_of(key);
        let before = match timestamps.start_bound() {
            Bound::Included(&first) => first.checked_sub(1),
            Bound::Excluded(&before) => Some(before),
            Bound::Unbounded => None,
        };
        let mut after = before.max(self.hidden_to);
        let runs = iter::from_fn(move || {
            let mut run = Run::new();
            let is_found = self.notes.next_run(series?, NOW, after, i64::MAX, &mut run);
            after = run.timestamps().last().copied();
            is_found.then(|| run.points().collect::<Vec<Point>>())
        });
        let points = runs.flatten();
        points.take_while(move |point| timestamps.contains(&point.timestamp))
    }

    /// The newest timestamp of all series. Linear in how many there are.
    pub(crate) fn newest_timestamp(&self) -> Option<i64> {
        let series = (0..self.series.end()).filter_map(|place| self.series.get(place));
        series.map(|series| series.timeline.last_timestamp()).max()
    }

    /// The keys, in the order in which each was first put. Those of series whose points are all
    /// [hidden](Self::set_floors) are left out.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys_from(0).filter_map(|(_, key)| key)
    }

    /// Whether any points that a series had in an epoch are not [hidden](Self::set_floors).
    #[cfg(any(test, feature = "http"))]
    fn is_seen(&self, series: At<'_>, epoch: u64) -> bool {
        self.hidden_to.is_none() || Some(self.notes.last_timestamp(series, epoch)) > self.hidden_to
    }

    /// How many series there are: how many different keys were put and are not removed. Constant
    /// time.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// How many points there are, hidden ones included. Constant time. A point that came late, and
    /// replaces another, is counted beside it until they are merged; reading them merges nothing.
    pub fn point_count(&self) -> usize {
        self.totals.points
    }

    /// Bytes that the store has allocated, without what the allocator itself takes. What snapshots
    /// keep is counted in full, also where it is still stored. Constant time.
    pub fn allocated_bytes(&self) -> usize {
        let bytes = self.bytes();
        bytes.points + bytes.keys + bytes.index + bytes.snapshots
    }

    /// What the [allocated bytes](Self::allocated_bytes) are for. Constant time.
    pub fn bytes(&self) -> StoreBytes {
        StoreBytes {
            points: self.totals.bytes,
            keys: self.key_bytes,
            index: self.index.allocated_bytes()
                + self.series.allocated_bytes()
                + self.order.allocated_bytes(),
            snapshots: self.notes.allocated_bytes(),
        }
    }

    /// Sets how many bytes of changes all snapshots together may keep; 64 MiB unless it is set.
    ///
    /// At the limit the oldest snapshots are [cut off](SnapshotError::CutOff) until the others
    /// keep less. What the former kept is freed bit by bit, by puts and by
    /// [`clean_up`](Self::clean_up), and may be another third of the limit meanwhile.
    pub fn set_snapshot_limit_bytes(&mut self, bytes: usize) {
        lock(&self.readers).limit_bytes = Some(bytes.min(MOST_BYTES));
    }

    /// How many snapshots were cut off. When this has grown, ask those that are open
    /// [whether they are](Snapshot::is_cut_off).
    pub fn snapshots_cut_off(&self) -> u64 {
        lock(&self.readers).cut_off
    }

    /// Frees what only closed snapshots have kept, looking at `most` changed series or a few more,
    /// some 100 ns each, and says whether there may be more to free. Constant time where there is
    /// not.
    ///
    /// Closing a snapshot frees nothing itself, whatever has changed after it. To be called now and
    /// then; while it is not, puts do a part of it.
    pub fn clean_up(&mut self, most: usize) -> bool {
        let readers = &mut lock(&self.readers);
        self.notes.sweep(readers, most)
    }
}

#[cfg(test)]
impl Store {
    /// The floors: below the first nothing is read, and below the second nothing is kept.
    fn floors(&self) -> (i64, i64) {
        let past = |to: Option<i64>| to.map_or(i64::MIN, |to| to + 1);
        (past(self.hidden_to), past(self.removed_to))
    }

    /// Asserts that all is counted right, and each series is where it is looked for. If no series
    /// was removed while there were snapshots, their notes are all in use.
    fn check(&self, any_removed: bool) {
        let (mut totals, mut key_bytes, mut places) = (Totals::default(), 0, Vec::new());
        for (place, series) in self.series.iter() {
            totals.replace(Totals::default(), series.timeline.totals());
            key_bytes += series.key.len();
            assert_eq!(self.place_of(&series.key), Some(place));
            places.push((self.order.position(place, series.position), place));
        }
        assert_eq!((totals, key_bytes), (self.totals, self.key_bytes));
        places.sort_unstable();
        let next = |&(position, _): &(u64, usize)| self.order.next(position + 1);
        assert!(std::iter::successors(self.order.next(0), next).eq(places));
        assert_eq!(
            self.allocated_bytes(),
            self.index.allocated_bytes()
                + self.series.allocated_bytes()
                + self.order.allocated_bytes()
                + totals.bytes
                + key_bytes
                + self.notes.check(&self.series, any_removed)
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn ranges_of_time() {
        let mut store = Store::new();
        for timestamp in [i64::MIN, -5, 0, 5, i64::MAX] {
            store.put("k", timestamp, 1.0);
        }
        let timestamps = |range: (Bound<i64>, Bound<i64>)| -> Vec<i64> {
            store
                .range("k", range)
                .map(|point| point.timestamp)
                .collect()
        };
        use Bound::{Excluded, Included, Unbounded};
        assert_eq!(
            timestamps((Unbounded, Unbounded)),
            [i64::MIN, -5, 0, 5, i64::MAX]
        );
        assert_eq!(timestamps((Included(-5), Included(5))), [-5, 0, 5]);
        assert_eq!(timestamps((Excluded(-5), Excluded(5))), [0]);
        assert_eq!(
            timestamps((Excluded(i64::MIN), Excluded(i64::MAX))),
            [-5, 0, 5]
        );
        assert_eq!(timestamps((Included(i64::MAX), Unbounded)), [i64::MAX]);
        assert_eq!(timestamps((Unbounded, Excluded(i64::MIN))), [0i64; 0]);
        assert_eq!(timestamps((Included(5), Included(-5))), [0i64; 0]);
        assert_eq!(store.range("none", ..).count(), 0);
    }

    /// Two keys whose hashes in this store are the same, by trying until two meet.
    fn keys_of_one_hash(store: &Store) -> (String, String) {
        let mut keys = HashMap::new();
        for number in 0.. {
            let key = format!("k{number}");
            let hash = store.index.hash(key.as_str().into());
            if let Some(other) = keys.insert(hash, key.clone()) {
                return (other, key);
            }
        }
        unreachable!()
    }

    #[test]
    fn keys_of_one_hash_are_different_series() {
        let mut store = Store::new();
        let (one, other) = keys_of_one_hash(&store);
        let put = |key, timestamp| Put {
            key: Key::from(key),
            timestamp,
            value: 1.0.into(),
        };
        store.put_all(&[
            put(&*one, 1),
            put(&*other, 2),
            put(&*one, 3),
            put(&*other, 4),
        ]);
        store.put_all(&[put(&*other, 6), put(&*one, 5)]);
        store.put(&other, 8, 1.0);
        store.put(&one, 7, 1.0);
        for (key, timestamps) in [(&one, [1, 3, 5, 7]), (&other, [2, 4, 6, 8])] {
            let stored = store.range(key, ..).map(|point| point.timestamp);
            assert!(stored.eq(timestamps), "{key}");
        }
        assert!(store.keys().eq([&one, &other]));
    }

    #[test]
    fn places_are_those_of_the_series() {
        let mut store = Store::new();
        let (one, other) = keys_of_one_hash(&store);
        let keys = [&*one, &*other, "third", "*"];
        use Placed::{At, New, NotKept};
        for (floor, puts, expected) in [
            (0, vec![(0, 9)], vec![New(0)]),
            (
                0,
                vec![(1, 9), (0, 9), (2, 5), (1, 9)],
                vec![New(1), At(0), New(2), At(1)],
            ),
            (0, vec![(2, -1)], vec![NotKept]),
            (0, vec![(1, 9)], vec![At(1)]),
            // Of the third series, all are gone.
            (
                6,
                vec![(2, 5), (2, 6), (2, 7)],
                vec![NotKept, New(2), At(2)],
            ),
            (
                9,
                vec![(0, 8), (3, 8), (1, 9), (3, 9)],
                vec![NotKept, NotKept, At(1), New(3)],
            ),
            (10, vec![(1, 10), (0, 10)], vec![New(1), New(0)]),
        ] {
            store.set_floors(floor, floor);
            let put = |&(key, timestamp): &(usize, i64)| Put {
                key: keys[key].into(),
                timestamp,
                value: 0.5.into(),
            };
            let puts: Vec<Put> = puts.iter().map(put).collect();
            assert_eq!(store.put_all_noting_places(&puts), expected);
            store.check(false);
        }
        assert!(store.keys().eq([&*other, &*one]));
    }

    #[test]
    fn puts_in_turn_go_where_their_keys_say() {
        let keys: Vec<String> = (0..64).map(|number| format!("k{number}")).collect();
        let (mut store, mut expected) = (Store::new(), vec![Vec::new(); keys.len()]);
        let in_turn = |count| (0..count).collect::<Vec<usize>>();
        let orders = [
            (in_turn(48), true),
            (in_turn(48), true),
            // One jump in sixteen, to keys that are there and to new ones.
            ((5..21).collect(), true),
            ((21..27).chain(30..40).collect(), true),
            ((40..46).chain(48..58).collect(), true),
            ((0..48).map(|place| place * 7 % 48).collect(), false),
            (vec![1, 0], false),
            (in_turn(32), true),
            (vec![3], false),
            (in_turn(64), true),
            (vec![9, 9, 9], false),
        ];
        for (timestamp, (order, is_in_turn)) in (0..).zip(orders) {
            let put = |&number: &usize| Put {
                key: Key::from(&*keys[number]),
                timestamp,
                value: (number as f64).into(),
            };
            store.put_all(&order.iter().map(put).collect::<Vec<Put>>());
            assert_eq!(store.is_in_turn, is_in_turn, "{order:?}");
            for number in order {
                expected[number].push((timestamp, number as f64));
            }
        }
        for (key, mut points) in keys.iter().zip(expected) {
            points.dedup();
            let stored = store.range(key, ..);
            assert!(
                stored
                    .map(|point| (point.timestamp, point.value))
                    .eq(points)
            );
        }
    }

    #[test]
    fn puts_at_places_are_those_by_key() {
        let mut store = Store::new();
        store.put("a", 1, 1.0);
        store.put("b", 1, 1.0);
        let snapshot = store.snapshot("b");
        let point = |timestamp| Point {
            timestamp,
            value: 2.0,
        };
        store.put_all_at_places(&[(1, point(1)), (0, point(2)), (2, point(3)), (1, point(4))]);
        assert!(store.range("a", 2..).eq([point(2)]));
        assert!(store.range("b", ..).eq([point(1), point(4)]));
        assert_eq!(store.series_count(), 2);
        let mut run = Run::new();
        let key = snapshot.and_then(|mut snapshot| snapshot.next_run(&store, &mut run).ok()?);
        assert_eq!(key, Some("b"));
        assert!(run.points().eq([Point {
            value: 1.0,
            ..point(1)
        }]));
    }
}
