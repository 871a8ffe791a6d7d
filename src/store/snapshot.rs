//! What was stored at one moment, read piece by piece while puts go on.
//!
//! A snapshot copies nothing when it is taken. While it is open, puts take [notes](super::notes) of
//! what they change.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Store;
use super::notes::At;
use super::run::{Kind, Run};

/// Points as they were when the snapshot was taken, and how far they are read.
///
/// ```
/// let mut store = metricd::Store::new();
/// store.put("palm.cpu", 1_150_864_247, 23.7);
/// let mut snapshot = store.snapshot_all();
/// store.put("palm.cpu", 1_150_864_247, 99.0);
/// store.put("palm.cpu", 1_150_864_257, 99.0);
///
/// let mut run = metricd::Run::new();
/// let mut read = Vec::new();
/// while let Some(key) = snapshot.next_run(&store, &mut run)? {
///     read.extend(run.points().map(|point| (key, point.timestamp, point.value)));
/// }
/// assert_eq!(read, [("palm.cpu", 1_150_864_247, 23.7)]);
/// # Ok::<(), metricd::SnapshotError>(())
/// ```
#[derive(Debug)]
pub struct Snapshot {
    /// The open snapshots of the store that it was taken of, shared with the store.
    readers: Arc<Mutex<Readers>>,
    /// When it was taken.
    epoch: u64,
    /// The place of its series, or [`ALL`].
    place: usize,
    /// [Positions](super::order::Order) of the series that are still to read, the first perhaps in
    /// part.
    unread: Range<u64>,
    /// Of the first of these, the timestamp up to which it is read.
    read_to: Option<i64>,
}

/// Why a snapshot cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It was the oldest one when the changes that snapshots keep had reached
    /// [their limit](Store::set_snapshot_limit_bytes).
    CutOff,
    /// It was taken of another store.
    OtherStore,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SnapshotError::CutOff => "too much has changed since the snapshot was taken",
            SnapshotError::OtherStore => "the snapshot was taken of another store",
        })
    }
}

impl std::error::Error for SnapshotError {}

impl Snapshot {
    /// Decodes the next points into `run` and says whose they are, or `None` when all are read:
    /// series by series in the order of their first put, by ascending timestamp within one. Points
    /// that are [hidden](Store::set_floors) by now are left out. Of those that were removed since, some
    /// may come: the memory of what is [evicted](Store::evict) is needed at once, and a store that is
    /// full evicts all the time, so it is no reason to cut a snapshot off. After 64 series without any
    /// point to read, `run` is left empty.
    ///
    /// A call costs a search in one series, the decoding of its points, and a look at what was
    /// noted of the series with each younger snapshot.
    ///
    /// # Errors
    ///
    /// If `store` is not the one that the snapshot was taken of, or the snapshot
    /// [is cut off](Self::is_cut_off). `run` is left as it was.
    pub fn next_run<'store>(
        &mut self,
        store: &'store Store,
        run: &mut Run,
    ) -> Result<Option<&'store str>, SnapshotError> {
        self.check(store)?;
        let mut series_count = 0;
        while let Some((position, (place, series))) = store.next_series(&self.unread) {
            if position > self.unread.start {
                // What it had begun to read is removed.
                (self.unread.start, self.read_to) = (position, None);
            }
            if self.read(store, (place, series), i64::MAX, run) {
                return Ok(Some(&series.key));
            }
            (self.unread.start, self.read_to) = (position + 1, None);
            series_count += 1;
            if series_count == SERIES_AT_ONCE {
                run.reset(0, Kind::Bits, false);
                return Ok(Some(&series.key));
            }
        }
        Ok(None)
    }

    /// Decodes the next points up to `until` of the first series that is still to read, and says whether
    /// there are any.
    fn read(&mut self, store: &Store, series: At<'_>, until: i64, run: &mut Run) -> bool {
        let after = self.read_to.max(store.hidden_to);
        let is_found = store.notes.next_run(series, self.epoch, after, until, run);
        if is_found {
            self.read_to = run.timestamps().last().copied();
        }
        is_found
    }

    /// Whether it can be read from this store.
    fn check(&self, store: &Store) -> Result<(), SnapshotError> {
        if !Arc::ptr_eq(&self.readers, &store.readers) {
            return Err(SnapshotError::OtherStore);
        }
        if self.is_cut_off() {
            return Err(SnapshotError::CutOff);
        }
        Ok(())
    }

    /// Of the run that was read last, takes back the points past `timestamp`: they come again.
    pub fn take_back(&mut self, timestamp: i64) {
        self.read_to = self.read_to.map(|read_to| read_to.min(timestamp));
    }

    /// Whether it can no longer be read, since what changed after it was more than
    /// [the limit](Store::set_snapshot_limit_bytes).
    pub fn is_cut_off(&self) -> bool {
        self.epoch < lock(&self.readers).cut_off_before
    }
}

/// How queries read: which series there are, and each of some of them over a range of time.
#[cfg(any(test, feature = "http"))]
impl Snapshot {
    /// The positions and keys of the next series, in the order of their first put, without decoding
    /// their points; `None` when all were given. Series of which all points are
    /// [hidden](Store::set_floors) are left out. Looks at no more than `most` series, so there may be
    /// none. Those that the iterator was not asked for come with the next call.
    ///
    /// # Errors
    ///
    /// As [`next_run`](Self::next_run).
    pub(crate) fn next_keys<'store>(
        &mut self,
        store: &'store Store,
        most: usize,
    ) -> Result<Option<impl Iterator<Item = (u64, &'store str)>>, SnapshotError> {
        self.check(store)?;
        if store.next_series(&self.unread).is_none() {
            return Ok(None);
        }
        self.read_to = None;
        let (epoch, unread) = (self.epoch, &mut self.unread);
        let looked_at = std::iter::from_fn(move || {
            let next = store.next_series(unread)?;
            unread.start = next.0 + 1;
            Some(next)
        });
        let found = looked_at.take(most);
        let found = found.filter(move |&(_, series)| store.is_seen(series, epoch));
        Ok(Some(
            found.map(|(position, (_, series))| (position, &*series.key)),
        ))
    }

    /// The position of a key, as [`next_keys`](Self::next_keys) gives it, without a walk.
    ///
    /// # Errors
    ///
    /// As [`next_run`](Self::next_run).
    pub(crate) fn position_of(
        &self,
        store: &Store,
        key: &str,
    ) -> Result<Option<u64>, SnapshotError> {
        self.check(store)?;
        Ok(store.series_of(key).and_then(|series_at| {
            let (place, series) = series_at;
            let position = store.order.position(place, series.position);
            let is_held = self.holds(position, place) && store.is_seen(series_at, self.epoch);
            is_held.then_some(position)
        }))
    }

    /// Chooses the series at a position that [`next_keys`](Self::next_keys) gave, of which
    /// [`next_run_until`](Self::next_run_until) reads the points past `after`, and gives its key;
    /// `None` if it was removed since. `next_run` and `next_keys` go on from there.
    ///
    /// # Errors
    ///
    /// As [`next_run`](Self::next_run).
    pub(crate) fn read_series<'store>(
        &mut self,
        store: &'store Store,
        position: u64,
        after: Option<i64>,
    ) -> Result<Option<&'store str>, SnapshotError> {
        self.check(store)?;
        (self.unread.start, self.read_to) = (position, after);
        let series = self.chosen(store);
        Ok(series.map(|(_, series)| &*series.key))
    }

    /// Decodes the next points up to `until` of the series that was
    /// [chosen](Self::read_series) into `run`, and says whether there are any. Decodes only what
    /// overlaps the time asked for.
    ///
    /// # Errors
    ///
    /// As [`next_run`](Self::next_run).
    pub(crate) fn next_run_until(
        &mut self,
        store: &Store,
        until: i64,
        run: &mut Run,
    ) -> Result<bool, SnapshotError> {
        self.check(store)?;
        let series = self.chosen(store);
        Ok(series.is_some_and(|series| self.read(store, series, until, run)))
    }

    /// The first series that is still to read, if it is not removed.
    fn chosen<'store>(&self, store: &'store Store) -> Option<At<'store>> {
        let (position, series) = store.next_series(&self.unread)?;
        let is_chosen = position == self.unread.start && self.holds(position, series.0);
        is_chosen.then_some(series)
    }

    /// Whether it is a snapshot of the series at this position and place.
    fn holds(&self, position: u64, place: usize) -> bool {
        position < self.unread.end && (self.place == ALL || self.place == place)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        lock(&self.readers).close(self.epoch, self.place);
    }
}

/// So many series of which nothing is to be read are looked at in one call: some 2 µs.
const SERIES_AT_ONCE: usize = 64;

/// The place of snapshots of all series.
pub const ALL: usize = usize::MAX;

/// What the notes of all readers may take in bytes, unless it is set.
const LIMIT_BYTES: usize = 64 << 20;

/// A number for each open snapshot of a store, sorted by a key of two numbers.
///
/// The highest key is mostly the next to come, and the lowest the next to go, so that little is moved.
/// At the worst half of the list is moved: some microseconds for 10,000 snapshots.
#[derive(Debug, Default)]
struct Open {
    list: VecDeque<((u64, u64), u64)>,
}

impl Open {
    fn insert(&mut self, key: (u64, u64), number: u64) {
        let place = self.list.partition_point(|&(other, _)| other < key);
        self.list.insert(place, (key, number));
    }

    fn remove(&mut self, key: (u64, u64)) -> Option<u64> {
        let place = self.list.binary_search_by_key(&key, |&(other, _)| other);
        self.list.remove(place.ok()?).map(|(_, number)| number)
    }

    /// How many there are up to this key.
    fn count_to(&self, most: (u64, u64)) -> usize {
        self.list.partition_point(|&(other, _)| other <= most)
    }
}

/// The open snapshots of a store.
#[derive(Debug, Default)]
pub struct Readers {
    /// By epoch and place: bytes of the notes from this epoch up to that of the next younger snapshot.
    /// No two snapshots have the same epoch.
    by_epoch: Open,
    /// By the place of its series, or [`ALL`], and epoch: the position past its last series.
    by_place: Open,
    /// The epoch of the youngest snapshot that ever was.
    epoch: u64,
    /// Snapshots of epochs before this one that are not closed are cut off.
    cut_off_before: u64,
    /// How many were cut off.
    pub cut_off: u64,
    /// The youngest epoch in which a note was taken.
    pub noted: u64,
    /// Whether there may be notes that no open snapshot needs.
    pub garbage: bool,
    /// Bytes of the notes that open snapshots can read: the sum of those in `by_epoch`.
    bytes: usize,
    /// What `bytes` may be, if it is set. Where it is more, the next note that is taken cuts the oldest
    /// snapshots off.
    pub limit_bytes: Option<usize>,
}

/// The open snapshots of a store. Their lock is only ever contended if a snapshot is dropped by
/// another thread than the one that has the store.
pub fn lock(readers: &Mutex<Readers>) -> MutexGuard<'_, Readers> {
    // Whoever panicked while it was locked does not go on with the store.
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers {
    /// Opens a snapshot of the series at a place, or of [`ALL`], that reads these.
    pub fn open(readers: &Arc<Mutex<Readers>>, place: usize, unread: Range<u64>) -> Snapshot {
        let mut open = lock(readers);
        open.epoch += 1;
        let epoch = open.epoch;
        open.by_epoch.insert((epoch, place as u64), 0);
        open.by_place.insert((place as u64, epoch), unread.end);
        Snapshot {
            readers: Arc::clone(readers),
            epoch,
            place,
            unread,
            read_to: None,
        }
    }

    /// Closes a snapshot, unless it is closed.
    fn close(&mut self, epoch: u64, place: usize) {
        let Some(bytes) = self.by_epoch.remove((epoch, place as u64)) else {
            return;
        };
        self.by_place.remove((place as u64, epoch));
        self.garbage |= epoch <= self.noted;
        self.bytes -= bytes as usize;
        self.count(epoch, bytes as isize);
    }

    /// Closes the oldest snapshots, which cannot be read after that, until those that are left can
    /// read no more than the limit.
    pub fn keep_limit(&mut self) {
        while self.bytes > self.limit_bytes.unwrap_or(LIMIT_BYTES)
            && let Some(&((oldest, place), _)) = self.by_epoch.list.front()
        {
            self.close(oldest, place as usize);
            self.cut_off_before = oldest + 1;
            self.cut_off += 1;
        }
    }

    /// Counts by how many bytes the notes of an epoch have grown, if a snapshot can read them.
    pub fn count(&mut self, epoch: u64, bytes: isize) {
        let older = self.by_epoch.count_to((epoch, u64::MAX));
        if let Some((_, of_reader)) = self.by_epoch.list.range_mut(..older).next_back() {
            *of_reader = of_reader.wrapping_add_signed(bytes as i64);
            self.bytes = self.bytes.wrapping_add_signed(bytes);
        }
    }

    /// The epoch of the oldest snapshot; past all epochs where there is none.
    pub fn oldest(&self) -> u64 {
        let oldest = self.by_epoch.list.front();
        oldest.map_or(u64::MAX, |&((epoch, _), _)| epoch)
    }

    /// The epoch of the youngest snapshot; 0 where there is none.
    pub fn youngest(&self) -> u64 {
        let youngest = self.by_epoch.list.back();
        youngest.map_or(0, |&((epoch, _), _)| epoch)
    }

    /// The epoch of the youngest snapshot that has the series at a place and a position.
    pub fn youngest_of(&self, place: usize, position: u64) -> Option<u64> {
        let youngest = |of| {
            let (epoch, end) = self.youngest_to(of, u64::MAX)?;
            // Else the series is younger than all of them.
            (position < end).then_some(epoch)
        };
        youngest(ALL).max(youngest(place))
    }

    /// Whether there are snapshots of the series at a place of epochs past `after` and up to
    /// `until`.
    pub fn any_of(&self, place: usize, after: u64, until: u64) -> bool {
        let any = |of| {
            let youngest = self.youngest_to(of, until);
            youngest.is_some_and(|(epoch, _)| epoch > after)
        };
        any(ALL) || any(place)
    }

    /// Of the snapshots of a place of epochs up to `until`, the epoch of the youngest, and the position
    /// past its last series.
    fn youngest_to(&self, place: usize, until: u64) -> Option<(u64, u64)> {
        let count = self.by_place.count_to((place as u64, until));
        let &((of, epoch), end) = self.by_place.list.get(count.checked_sub(1)?)?;
        (of == place as u64).then_some((epoch, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Put;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::ops::RangeInclusive;

    /// The store as anyone would write it who need not save anything.
    #[derive(Clone, Default)]
    struct Naive {
        keys: Vec<String>,
        series: BTreeMap<String, BTreeMap<i64, f64>>,
        hidden_below: Option<i64>,
        removed_below: Option<i64>,
    }

    impl Naive {
        fn put(&mut self, key: &str, timestamp: i64, value: f64) {
            if Some(timestamp) < self.removed_below {
                return;
            }
            if !self.series.contains_key(key) {
                self.keys.push(key.into());
            }
            self.series
                .entry(key.into())
                .or_default()
                .insert(timestamp, value);
        }

        fn set_floors(&mut self, hidden_below: i64, removed_below: i64) {
            self.hidden_below = Some(hidden_below);
            self.removed_below = Some(removed_below);
            for key in self.keys.clone() {
                if let Some(up_to) = removed_below.checked_sub(1) {
                    self.remove_to(&key, up_to);
                }
            }
        }

        fn remove_to(&mut self, key: &str, up_to: i64) {
            let Some(points) = self.series.get_mut(key) else {
                return;
            };
            points.retain(|&timestamp, _| timestamp > up_to);
            if points.is_empty() {
                self.series.remove(key);
                self.keys.retain(|other| other != key);
            }
        }

        fn points(&self, key: &str) -> Points {
            let points = self.series.get(key).into_iter().flatten();
            points
                .map(|(&timestamp, value)| (key.into(), timestamp, value.to_bits()))
                .collect()
        }

        /// Those that are not hidden.
        fn visible(&self, key: &str) -> Points {
            let mut points = self.points(key);
            points.retain(|&(_, timestamp, _)| Some(timestamp) >= self.hidden_below);
            points
        }
    }

    /// A snapshot, what was read of it, and what it held.
    struct Open {
        snapshot: Snapshot,
        /// The position of its first series.
        first: u64,
        read: Points,
        held: Points,
        /// By key, the timestamp up to which points may have been removed or hidden since.
        removed_to: BTreeMap<String, i64>,
    }

    impl Open {
        fn new(snapshot: Snapshot, held: Points, hidden_below: i64) -> Open {
            let mut open = Open {
                first: snapshot.unread.start,
                snapshot,
                read: Vec::new(),
                held,
                removed_to: BTreeMap::new(),
            };
            open.note_hidden(hidden_below);
            open
        }

        fn note_hidden(&mut self, hidden_below: i64) {
            if let Some(up_to) = hidden_below.checked_sub(1) {
                KEYS.iter().for_each(|key| self.note_removal(key, up_to));
            }
        }

        fn note_removal(&mut self, key: &str, up_to: i64) {
            let to = self.removed_to.entry(key.into()).or_insert(i64::MIN);
            *to = up_to.max(*to);
        }

        /// Reads at most `count` points, and asserts that they are what was held: all but some that
        /// were removed.
        fn read(&mut self, store: &Store, count: usize) {
            let start = self.read.len();
            let is_whole = read(&mut self.snapshot, store, count, &mut self.read);
            assert_none_hidden(store, &self.read[start..]);
            self.check(&self.read, is_whole, i64::MIN..=i64::MAX);
        }

        /// Asserts that the points read are those that were held of a range of time, all but some that
        /// were removed.
        fn check(&self, read: &Points, is_whole: bool, range: RangeInclusive<i64>) {
            let mut read = read.iter().peekable();
            for held in self.held.iter().filter(|held| range.contains(&held.1)) {
                if read.next_if_eq(&held).is_none() {
                    let is_unread = !is_whole && read.peek().is_none();
                    assert!(self.is_removed(held) || is_unread, "{held:?} is not read");
                }
            }
            assert_eq!(read.next(), None);
        }

        fn is_removed(&self, (key, timestamp, _): &(String, i64, u64)) -> bool {
            self.removed_to.get(key) >= Some(timestamp)
        }

        /// Walks over its series, reads a range of time of each, and asserts that these are those and
        /// that which were held. The reading that is under way goes on after that.
        fn find(&mut self, store: &Store, range: RangeInclusive<i64>) {
            let snapshot = &mut self.snapshot;
            let under_way = (snapshot.unread.start, snapshot.read_to);
            (snapshot.unread.start, snapshot.read_to) = (self.first, Some(i64::MAX));
            let mut found = Vec::new();
            while let Some(keys) = snapshot.next_keys(store, 2).expect("not cut off") {
                found.extend(keys);
            }
            let (mut points, mut run) = (Vec::new(), Run::new());
            for &(position, key) in found.iter().rev() {
                let after = range.start().checked_sub(1);
                assert_eq!(snapshot.read_series(store, position, after), Ok(Some(key)));
                let mut of_key = Vec::new();
                while snapshot
                    .next_run_until(store, *range.end(), &mut run)
                    .expect("not cut off")
                {
                    let read = run.points();
                    of_key.extend(
                        read.map(|point| (key.into(), point.timestamp, point.value.to_bits())),
                    );
                }
                points.splice(..0, of_key);
            }
            for key in KEYS {
                let position = snapshot.position_of(store, key).expect("not cut off");
                let walked = found.iter().find(|(_, found)| *found == key);
                assert_eq!(position, walked.map(|&(position, _)| position), "{key}");
            }
            (snapshot.unread.start, snapshot.read_to) = under_way;

            assert_none_hidden(store, &points);
            self.check(&points, true, range);
            for key in KEYS {
                let is_found = found.iter().any(|(_, found)| *found == key);
                let mut held = self.held.iter().filter(|held| held.0 == key);
                let is_seen = |held: &&(String, i64, u64)| Some(held.1) > store.hidden_to;
                let may_be_found = held.clone().any(|held| is_seen(&held));
                assert!(
                    may_be_found || !is_found,
                    "{key} is hidden, or no series of it"
                );
                assert!(is_found || held.all(|held| self.is_removed(held)), "{key}");
            }
        }
    }

    type Points = Vec<(String, i64, u64)>;

    fn assert_none_hidden(store: &Store, points: &[(String, i64, u64)]) {
        let is_hidden =
            |(_, timestamp, _): &&(String, i64, u64)| Some(*timestamp) <= store.hidden_to;
        assert_eq!(points.iter().find(is_hidden), None);
    }

    /// Reads at most `count` points, and says whether that was all.
    fn read(snapshot: &mut Snapshot, store: &Store, mut count: usize, points: &mut Points) -> bool {
        let mut run = Run::new();
        while let Some(key) = snapshot.next_run(store, &mut run).expect("not cut off") {
            for point in run.points() {
                points.push((key.into(), point.timestamp, point.value.to_bits()));
                count -= 1;
                if count == 0 {
                    snapshot.take_back(point.timestamp);
                    return false;
                }
            }
        }
        true
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Points from a timestamp on, some steps apart, forwards or backwards.
        Puts {
            key: usize,
            timestamp: i64,
            step: i64,
            count: i64,
            value: f64,
        },
        /// Of a key, or of all.
        Snapshot {
            key: Option<usize>,
        },
        Read {
            snapshot: usize,
            count: usize,
        },
        Find {
            snapshot: usize,
            from: i64,
            until: i64,
        },
        Drop {
            snapshot: usize,
        },
        CleanUp {
            most: usize,
        },
        Limit {
            bytes: usize,
        },
        /// The higher one is what is hidden; the other is not lowered.
        Floors {
            one: i64,
            other: i64,
        },
        Expire {
            most: usize,
        },
        Evict {
            most: usize,
        },
        Remove {
            key: usize,
            up_to: Option<i64>,
        },
    }

    const KEYS: [&str; 4] = ["a", "b", "*", "\u{e9}"];

    fn timestamps() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => 0i64..4_000,
            1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX - 1), Just(i64::MAX)],
        ]
    }

    fn puts() -> impl Strategy<Value = Step> {
        let count = prop_oneof![4 => 1i64..4, 2 => 1i64..300];
        let value = prop_oneof![
            3 => (-999i64..999).prop_map(|digits| digits as f64 / 100.0),
            1 => any::<f64>(),
        ];
        (0..KEYS.len(), timestamps(), -3i64..12, count, value).prop_map(
            |(key, timestamp, step, count, value)| Step::Puts {
                key,
                timestamp,
                step,
                count,
                value,
            },
        )
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            12 => puts(),
            2 => proptest::option::of(0..KEYS.len()).prop_map(|key| Step::Snapshot { key }),
            3 => (0usize..8, 1usize..400).prop_map(|(snapshot, count)| Step::Read { snapshot, count }),
            2 => (0usize..8, timestamps(), timestamps()).prop_map(|(snapshot, from, until)| Step::Find { snapshot, from, until }),
            1 => (0usize..8).prop_map(|snapshot| Step::Drop { snapshot }),
            1 => (0usize..20).prop_map(|most| Step::CleanUp { most }),
        ];
        let floor = || prop_oneof![8 => -10i64..4_000, 1 => any::<i64>()];
        let removal = prop_oneof![
            2 => (floor(), floor()).prop_map(|(one, other)| Step::Floors { one, other }),
            3 => (1usize..50).prop_map(|most| Step::Expire { most }),
            2 => (1usize..50).prop_map(|most| Step::Evict { most }),
            1 => (0..KEYS.len(), proptest::option::of(floor())).prop_map(|(key, up_to)| Step::Remove { key, up_to }),
        ];
        let limit =
            prop_oneof![0usize..5_000, Just(usize::MAX)].prop_map(|bytes| Step::Limit { bytes });
        // Half of the stores lose nothing.
        (0u32..2).prop_flat_map(move |removals| {
            let step = prop_oneof![100 => step.clone(), 1 + 5 * removals => limit.clone(), 15 * removals => removal.clone()];
            proptest::collection::vec(step, 1..100)
        })
    }

    /// Puts to one key, one point at a time, or, where their number is even, to all keys in turn at
    /// once.
    fn put_both(
        store: &mut Store,
        naive: &mut Naive,
        key: usize,
        points: impl ExactSizeIterator<Item = (i64, f64)>,
    ) {
        let at_once = points.len().is_multiple_of(2);
        let mut puts = Vec::new();
        for (place, (timestamp, value)) in points.enumerate() {
            let key = KEYS[(key + usize::from(at_once) * place) % KEYS.len()];
            naive.put(key, timestamp, value);
            if at_once {
                let key = key.into();
                puts.push(Put {
                    key,
                    timestamp,
                    value: value.into(),
                });
            } else {
                store.put(key, timestamp, value);
            }
        }
        store.put_all(&puts);
    }

    /// A store, one that is naive, and what has been read of their snapshots.
    #[derive(Default)]
    struct Pair {
        store: Store,
        naive: Naive,
        open: Vec<Open>,
        any_removed: bool,
    }

    impl Pair {
        fn take(&mut self, step: Step) {
            match step {
                Step::Puts {
                    key,
                    timestamp,
                    step,
                    count,
                    value,
                } => {
                    let values = (0..count as usize).map(|at| {
                        let at = at as i64;
                        (timestamp.saturating_add(at * step), value + at as f64)
                    });
                    put_both(&mut self.store, &mut self.naive, key, values);
                }
                Step::Snapshot { key: None } => {
                    let naive = &self.naive;
                    let held = naive.keys.iter().flat_map(|key| naive.points(key));
                    let held = held.collect();
                    self.open(self.store.snapshot_all(), held);
                }
                Step::Snapshot { key: Some(key) } => {
                    let held = self.naive.points(KEYS[key]);
                    let snapshot = self.store.snapshot(KEYS[key]);
                    assert!(snapshot.is_some() || held.is_empty());
                    if let Some(snapshot) = snapshot {
                        self.open(snapshot, held);
                    }
                }
                Step::Read { snapshot, count } => {
                    if let Some(open) = self.open.get_mut(snapshot) {
                        let other_store = Store::new();
                        let error = open.snapshot.next_run(&other_store, &mut Run::new());
                        assert_eq!(error, Err(SnapshotError::OtherStore));
                        open.read(&self.store, count);
                    }
                }
                Step::Find {
                    snapshot,
                    from,
                    until,
                } => {
                    if let Some(open) = self.open.get_mut(snapshot) {
                        let other_store = Store::new();
                        let error = open.snapshot.next_keys(&other_store, 1).err();
                        assert_eq!(error, Some(SnapshotError::OtherStore));
                        open.find(&self.store, from..=until);
                    }
                }
                Step::Drop { snapshot } => {
                    if snapshot < self.open.len() {
                        self.open.swap_remove(snapshot);
                    }
                }
                Step::CleanUp { most } => {
                    self.store.clean_up(most);
                }
                Step::Limit { bytes } => self.store.set_snapshot_limit_bytes(bytes),
                Step::Floors { .. }
                | Step::Expire { .. }
                | Step::Evict { .. }
                | Step::Remove { .. } => self.remove(step),
            }
        }

        fn open(&mut self, snapshot: Snapshot, held: Points) {
            self.open
                .push(Open::new(snapshot, held, self.store.floors().0));
        }

        /// Takes a step that removes something.
        fn remove(&mut self, step: Step) {
            let mut removed = Vec::new();
            match step {
                Step::Floors { one, other } => {
                    let removed_below = one.min(other).max(self.store.floors().1);
                    let hidden_below = one.max(removed_below);
                    self.store.set_floors(hidden_below, removed_below);
                    self.naive.set_floors(hidden_below, removed_below);
                    let open = self.open.iter_mut();
                    open.for_each(|open| open.note_hidden(hidden_below));
                }
                Step::Expire { most } => {
                    self.store.expire(most);
                }
                Step::Evict { most } => {
                    let is_more = self.store.evict(most, &mut |_, key, up_to| {
                        removed.push((key.to_owned(), up_to));
                    });
                    assert_eq!(is_more, self.store.point_count() > 0);
                }
                Step::Remove { key, up_to: None } => {
                    self.store.remove(KEYS[key]);
                    removed.push((KEYS[key].into(), i64::MAX));
                }
                Step::Remove {
                    key,
                    up_to: Some(up_to),
                } => {
                    if let Some(place) = self.store.place_of(KEYS[key]) {
                        self.store.remove_to(place, up_to);
                    }
                    removed.push((KEYS[key].into(), up_to));
                }
                _ => unreachable!("it removes something"),
            }
            self.any_removed = true;
            for (key, up_to) in removed {
                self.naive.remove_to(&key, up_to);
                self.open
                    .iter_mut()
                    .for_each(|open| open.note_removal(&key, up_to));
            }
            let (mut points, naive) = (Vec::new(), &self.naive);
            let is_whole = read(
                &mut self.store.snapshot_all(),
                &self.store,
                usize::MAX,
                &mut points,
            );
            assert!(is_whole);
            let visible = naive.keys.iter().flat_map(|key| naive.visible(key));
            assert!(points.into_iter().eq(visible));
        }
    }

    proptest! {
        #[test]
        fn readers_are_found_by_place_and_epoch(
            steps in proptest::collection::vec((0..4usize, 0..6u64, any::<bool>()), 1..40),
        ) {
            let readers = Arc::new(Mutex::new(Readers::default()));
            let mut open: Vec<Snapshot> = Vec::new();
            for (place, end, is_opened) in steps {
                let place = if place == 0 { ALL } else { place };
                if is_opened {
                    open.push(Readers::open(&readers, place, 0..end));
                } else if !open.is_empty() {
                    open.remove(place % open.len());
                }
                let readers = lock(&readers);
                let epochs = open.iter().map(|snapshot| snapshot.epoch);
                prop_assert_eq!(readers.oldest(), epochs.clone().min().unwrap_or(u64::MAX));
                prop_assert_eq!(readers.youngest(), epochs.max().unwrap_or(0));
                for (place, at) in (1..4).flat_map(|place| (0..7).map(move |at| (place, at))) {
                    let of = |place| open.iter().filter(move |one| one.place == place);
                    let epoch_of = |place| {
                        let youngest = of(place).max_by_key(|one| one.epoch)?;
                        (at < youngest.unread.end).then_some(youngest.epoch)
                    };
                    let youngest = epoch_of(ALL).max(epoch_of(place));
                    prop_assert_eq!(readers.youngest_of(place, at), youngest);
                    let mut all = of(ALL).chain(of(place));
                    let any = all.any(|one| (at + 1..=at + 4).contains(&one.epoch));
                    prop_assert_eq!(readers.any_of(place, at, at + 4), any);
                }
            }
        }

        #[test]
        fn snapshots_hold_what_a_naive_store_held(steps in steps()) {
            let (mut pair, mut cut_off) = (Pair::default(), 0);
            for step in steps {
                pair.take(step);
                let before = pair.open.len();
                pair.open.retain_mut(|Open { snapshot, .. }| {
                    !snapshot.is_cut_off()
                        || snapshot.next_run(&pair.store, &mut Run::new()) != Err(SnapshotError::CutOff)
                });
                cut_off += (before - pair.open.len()) as u64;
                prop_assert_eq!(pair.store.snapshots_cut_off(), cut_off);
                pair.store.check(pair.any_removed);
            }
            let Pair { mut store, naive, open, .. } = pair;
            for mut open in open {
                open.find(&store, i64::MIN..=i64::MAX);
                open.read(&store, usize::MAX);
            }
            while store.clean_up(10) {}
            while store.expire(10) {}
            // The sweep may have begun before the last floor was set.
            while store.expire(10) {}
            store.check(false);
            prop_assert_eq!(store.notes.allocated_bytes(), 0);
            prop_assert_eq!(store.series_count(), naive.keys.len());
            let points: usize = naive.series.values().map(BTreeMap::len).sum();
            prop_assert!(store.point_count() >= points);
            let is_read = |key: &&String| !naive.visible(key).is_empty();
            prop_assert!(store.keys().eq(naive.keys.iter().filter(is_read).map(String::as_str)));
            for key in KEYS {
                let points = store.range(key, ..).map(|point| (key.into(), point.timestamp, point.value.to_bits()));
                prop_assert!(points.eq(naive.visible(key)));
            }
        }
    }

    /// Puts the points of a series, 10 apart.
    fn filled(key: &str, count: i64) -> Store {
        let mut store = Store::new();
        for at in 0..count {
            store.put(key, 10 * at, at as f64);
        }
        store
    }

    #[test]
    fn puts_in_order_take_one_note_a_series_and_keep_nothing() {
        let mut store = filled("k", 1);
        let snapshots = [store.snapshot_all(), store.snapshot_all()];
        for timestamp in 11..5_000 {
            store.put("k", timestamp, 2.0);
        }
        store.put("k", 11, 3.0);
        store.put("new", 1, 1.0);
        store.put("new", 1, 2.0);
        assert_eq!(store.notes.len(), 1, "what came later is not noted");
        assert_eq!(store.notes.allocated_bytes(), 32);
        drop(snapshots);
    }

    #[test]
    fn a_late_put_keeps_one_block_however_many_snapshots_there_are() {
        let mut store = filled("k", 100_000);
        let snapshots: Vec<_> = (0..100).map(|_| store.snapshot_all()).collect();
        for value in 0..10 {
            store.put("k", 55, f64::from(value));
        }
        let bytes = store.notes.allocated_bytes();
        assert!((150..1_000).contains(&bytes), "{bytes}");
        drop(snapshots);
    }

    #[test]
    fn a_snapshot_of_one_series_notes_no_other() {
        let mut store = filled("k", 1);
        store.put("other", 10, 1.0);
        let snapshot = store.snapshot("k").expect("was put");
        store.put("other", 5, 1.0);
        assert_eq!(store.notes.len(), 0);
        store.put("k", 0, 1.0);
        assert_eq!(store.notes.len(), 1);
        drop(snapshot);
    }

    #[test]
    fn what_a_closed_snapshot_has_kept_is_kept_for_older_ones() {
        let mut store = filled("k", 10_000);
        let mut oldest = store.snapshot_all();
        let mut held = Vec::new();
        assert!(read(
            &mut store.snapshot_all(),
            &store,
            usize::MAX,
            &mut held
        ));
        store.put("k", 20_000, -1.0);
        for at in 0..100 {
            let snapshot = store.snapshot_all();
            store.put("k", 997 * at, -2.0);
            store.put("k", 55, f64::from(at as i32));
            drop(snapshot);
            store.clean_up(usize::MAX);
            assert_eq!(store.notes.len(), 1, "the others are garbage");
        }
        let (kept, stored) = (store.notes.allocated_bytes(), store.totals.bytes);
        assert!(kept < 2 * stored, "{kept} of {stored}");
        let mut points = Vec::new();
        assert!(read(&mut oldest, &store, usize::MAX, &mut points));
        assert_eq!(points, held);
    }

    #[test]
    fn a_lower_limit_cuts_off_as_many_as_it_takes_with_the_next_note() {
        let mut store = filled("k", 1);
        let mut snapshots = Vec::new();
        for timestamp in 1..=10 {
            snapshots.push(store.snapshot_all());
            store.put("k", 10 * timestamp, 0.5);
        }
        store.set_snapshot_limit_bytes(3 * 32);
        assert_eq!(store.snapshots_cut_off(), 0);
        snapshots.push(store.snapshot_all());
        store.put("k", 1_000, 0.5);
        assert_eq!(store.snapshots_cut_off(), 8);
        let cut_off: Vec<bool> = snapshots.iter().map(Snapshot::is_cut_off).collect();
        assert_eq!(cut_off, [[true; 8].as_slice(), &[false; 3]].concat());
    }

    #[test]
    fn a_call_looks_at_few_series_though_many_are_hidden() {
        let mut store = Store::new();
        for number in 0..10 * SERIES_AT_ONCE {
            store.put(&number.to_string(), 1, 0.5);
        }
        store.put("last", 2, 0.5);
        store.set_floors(2, i64::MIN);
        let (mut snapshot, mut run) = (store.snapshot_all(), Run::new());
        for _ in 0..10 {
            assert!(matches!(snapshot.next_run(&store, &mut run), Ok(Some(_))));
            assert!(run.is_empty());
        }
        assert_eq!(snapshot.next_run(&store, &mut run), Ok(Some("last")));
        assert_eq!(run.len(), 1);
        assert_eq!(snapshot.next_run(&store, &mut run), Ok(None));
    }

    #[test]
    fn what_is_encoded_for_a_snapshot_is_counted() {
        let mut store = filled("k", 100);
        let snapshot = store.snapshot_all();
        for _ in 0..2 {
            store.put("k", 5, 0.5);
            assert_eq!(store.points_rewritten(), 100, "the head, once");
        }
        drop(snapshot);
    }

    #[test]
    fn what_was_put_past_the_end_of_an_older_snapshot_is_not_kept_for_it() {
        let mut store = filled("k", 1);
        let oldest = store.snapshot_all();
        for timestamp in 1..10_000 {
            store.put("k", 10 * timestamp, 0.5);
        }
        let youngest = store.snapshot_all();
        store.put("k", 90_005, 0.5);
        assert!(store.notes.allocated_bytes() > 150);
        drop(youngest);
        assert!(!store.clean_up(100));
        assert_eq!(store.notes.allocated_bytes(), 32, "the note alone");
        drop(oldest);
    }

    #[test]
    fn a_note_that_keeps_many_blocks_is_as_many_steps_of_the_sweep() {
        const BLOCKS: i64 = 50;
        let mut store = filled("k", 1_500 * BLOCKS);
        let oldest = store.snapshot_all();
        store.put("k", 15_000 * BLOCKS, 0.5);
        let youngest = store.snapshot_all();
        for block in 0..BLOCKS {
            store.put("k", 15_000 * block + 5, 0.5);
        }
        drop(youngest);
        assert!(store.clean_up(BLOCKS as usize), "one a step");
        assert_eq!(store.notes.len(), 2);
        assert!(!store.clean_up(10));
        assert_eq!(store.notes.len(), 1);
        drop(oldest);
    }

    #[test]
    fn closing_looks_at_no_note_and_the_sweep_at_each_a_few_times() {
        const SNAPSHOTS: usize = 4_000;
        let mut store = filled("k", 2_000);
        let mut snapshots = Vec::new();
        for at in 0..SNAPSHOTS {
            snapshots.push(store.snapshot_all());
            store.put("k", at as i64 * 7_919 % 20_000, -1.0);
        }
        assert_eq!(store.notes.len(), SNAPSHOTS);
        let oldest = snapshots.swap_remove(0);
        for (kept, closed) in [(1, snapshots), (0, vec![oldest])] {
            let notes = store.notes.len();
            drop(closed);
            assert_eq!(store.notes.len(), notes, "closing frees nothing");
            let slices = 1 + (0..).take_while(|_| store.clean_up(100)).count();
            // One note may be at the index that was the last of all.
            assert!(slices <= 3 * SNAPSHOTS / 100 + 2, "{slices} for {notes}");
            assert_eq!(store.notes.len(), kept);
            assert!(!store.clean_up(0), "nothing is to do");
        }
        assert_eq!(store.notes.allocated_bytes(), 0);
    }

    #[test]
    fn a_snapshot_that_nothing_changed_after_leaves_nothing_to_sweep() {
        let mut store = filled("k", 10);
        let oldest = store.snapshot_all();
        store.put("k", 5, 1.0);
        drop(store.snapshot_all());
        assert!(!store.clean_up(0));
        drop(oldest);
        assert!(store.clean_up(0));
    }

    #[test]
    fn at_the_limit_the_oldest_are_cut_off_and_what_they_kept_goes() {
        const SERIES: usize = 2_000;
        const LIMIT: usize = 100_000;
        let keys: Vec<String> = (0..SERIES).map(|place| place.to_string()).collect();
        let mut store = Store::new();
        store.set_snapshot_limit_bytes(LIMIT);
        let put_all = |store: &mut Store, value| {
            for key in &keys {
                store.put(key, 1, value);
                let bytes = store.notes.allocated_bytes();
                assert!(bytes < LIMIT * 3 / 2, "{bytes}");
            }
        };
        put_all(&mut store, 0.5);
        let mut snapshots = Vec::new();
        for value in 0..20 {
            snapshots.push(store.snapshot_all());
            put_all(&mut store, f64::from(value));
        }
        // A round is more than the limit.
        assert!(snapshots.iter().all(Snapshot::is_cut_off));
        assert_eq!(store.snapshots_cut_off(), 20);
        let error = snapshots[0].next_run(&store, &mut Run::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "too much has changed since the snapshot was taken"
        );

        // Those that come after are not.
        while store.clean_up(100) {}
        assert_eq!(store.notes.allocated_bytes(), 0);
        let mut held = Vec::new();
        let mut snapshot = store.snapshot_all();
        assert!(read(
            &mut store.snapshot_all(),
            &store,
            usize::MAX,
            &mut held
        ));
        for key in &keys[..200] {
            store.put(key, 1, -1.0);
        }
        drop(snapshots);
        let mut points = Vec::new();
        assert!(read(&mut snapshot, &store, usize::MAX, &mut points));
        assert_eq!(points, held);
        assert_eq!(store.snapshots_cut_off(), 20);
    }
}
