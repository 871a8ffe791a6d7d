//! What was stored at one moment, read piece by piece while puts go on.
//!
//! A snapshot copies nothing when it is taken. As long as it lives, each put into a series is
//! preceded by a note of what the series was. Mostly that is its last timestamp, since mostly
//! points come in order, and whatever is newer was put later; only a put into the past copies the
//! head as it was, and the list of the blocks, which are shared.
//!
//! However many snapshots there are, a change is noted once, with the youngest of them, and the
//! notes of a series stand side by side by the age of these: a snapshot takes the first that is not
//! older than itself. When a snapshot goes, the next older one inherits its notes, and where there
//! is none they go too.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, btree_map, hash_map};
use std::mem;
use std::ops::Range;
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::Store;
use super::run::Run;
use super::series::Series;
use super::timeline::Timeline;

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
/// while let Some(key) = snapshot.next_run(&store, &mut run) {
///     read.extend(run.points().map(|point| (key, point.timestamp, point.value)));
/// }
/// assert_eq!(read, [("palm.cpu", 1_150_864_247, 23.7)]);
/// ```
#[derive(Debug)]
pub struct Snapshot {
    notes: Rc<RefCell<Notes>>,
    /// When it was taken.
    epoch: u64,
    /// Places of the series that it was taken of.
    places: Range<usize>,
    /// Those that are still to read, the first perhaps in part.
    unread: Range<usize>,
    /// Of the first of these, the timestamp up to which it is read.
    read_to: Option<i64>,
}

impl Snapshot {
    /// Decodes the next points into `run` and says whose they are, or `None` when all are read:
    /// series by series in the order of their first put, by ascending timestamp within one.
    ///
    /// `store` is the one that the snapshot was taken of; of another, the points are those of
    /// neither. A call costs a search in one series, the decoding of its points, and a look into
    /// the notes of each younger snapshot that was taken after other puts.
    pub fn next_run<'store>(&mut self, store: &'store Store, run: &mut Run) -> Option<&'store str> {
        while !self.unread.is_empty() {
            let place = self.unread.start;
            let series = store.series.get(place)?;
            if self.read_series(place, series, run) {
                self.read_to = run.timestamps().last().copied();
                return Some(&series.key);
            }
            self.unread.start += 1;
            self.read_to = None;
        }
        None
    }

    /// Of the run that was read last, takes back the points behind `timestamp`: they come again.
    pub fn take_back(&mut self, timestamp: i64) {
        self.read_to = self.read_to.map(|read_to| read_to.min(timestamp));
    }

    /// Decodes the next points of a series that belong to the snapshot, if there are any.
    fn read_series(&self, place: usize, series: &Series, run: &mut Run) -> bool {
        let (last, then) = self.notes.borrow().find(self.epoch, place);
        let timeline = then.as_deref().unwrap_or(&series.timeline);
        let last = last.unwrap_or_else(|| series.timeline.last_timestamp());
        let is_read = self.read_to.is_some_and(|read_to| read_to >= last);
        !is_read && timeline.next_run(self.read_to, last, run)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.notes.borrow_mut().close(self.epoch, &self.places);
    }
}

/// What was changed of the store behind the backs of the snapshots that are still read.
#[derive(Debug, Default)]
pub struct Notes {
    /// By the time that it was taken at, each snapshot, or several taken with no put in between.
    open: BTreeMap<u64, Open>,
    /// What became of series, by their places, and for each by the youngest snapshot of then.
    changed: BTreeMap<(usize, u64), Changed>,
    /// How many snapshots of more than one series there are, …
    of_many: usize,
    /// … and of one, by its place.
    of_one: HashMap<usize, usize, RandomState>,
    /// How many times a snapshot was taken after a put. A series that bears this number has had
    /// its first change since then noted.
    epoch: u64,
    /// Whether anything was put since.
    is_changed: bool,
}

#[derive(Debug, Default)]
struct Open {
    snapshots: usize,
    /// Places of the series that changed while no younger snapshot was open.
    changed: Vec<usize>,
}

/// What a changed series was.
#[derive(Debug)]
struct Changed {
    /// Its newest timestamp then; points behind it were put later.
    last: i64,
    /// Its points then (and perhaps such that were put later behind `last`), from when a put
    /// disturbed those up to `last`.
    timeline: Option<Rc<Timeline>>,
}

impl Notes {
    /// To be called before a series is added, which no snapshot has: the epoch that it bears.
    pub fn series_added(&mut self) -> u64 {
        self.is_changed = true;
        self.epoch
    }

    /// Opens a snapshot of the series at these places.
    pub fn open(notes: &Rc<RefCell<Notes>>, places: Range<usize>) -> Snapshot {
        let mut open = notes.borrow_mut();
        if mem::take(&mut open.is_changed) {
            open.epoch += 1;
        }
        let epoch = open.epoch;
        open.open.entry(epoch).or_default().snapshots += 1;
        if places.len() == 1 {
            *open.of_one.entry(places.start).or_default() += 1;
        } else {
            open.of_many += 1;
        }
        let notes = Rc::clone(notes);
        Snapshot {
            notes,
            epoch,
            unread: places.clone(),
            places,
            read_to: None,
        }
    }

    /// Closes a snapshot. What was noted with it goes to the next older one, where there is one,
    /// and says nothing new of what was noted with that before. Linear in these notes.
    fn close(&mut self, epoch: u64, places: &Range<usize>) {
        if places.len() != 1 {
            self.of_many -= 1;
        } else if let hash_map::Entry::Occupied(mut count) = self.of_one.entry(places.start) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        let btree_map::Entry::Occupied(mut open) = self.open.entry(epoch) else {
            return;
        };
        open.get_mut().snapshots -= 1;
        if open.get().snapshots > 0 {
            return;
        }
        let closed = open.remove();
        let mut older = self.open.range_mut(..epoch).next_back();
        for place in closed.changed {
            let noted = self.changed.remove(&(place, epoch));
            let (Some(noted), Some((older_epoch, older))) = (noted, &mut older) else {
                continue;
            };
            match self.changed.entry((place, **older_epoch)) {
                btree_map::Entry::Occupied(mut before) => {
                    let timeline = &mut before.get_mut().timeline;
                    *timeline = timeline.take().or(noted.timeline);
                }
                btree_map::Entry::Vacant(entry) => {
                    older.changed.push(place);
                    entry.insert(noted);
                }
            }
        }
    }

    /// To be called before a put: notes what the series is, if a snapshot wants to know.
    #[inline]
    pub fn before_put(&mut self, place: usize, series: &mut Series, timestamp: i64) {
        self.is_changed = true;
        let is_late = timestamp <= series.timeline.last_timestamp();
        if !self.open.is_empty() && (series.epoch != self.epoch || is_late) {
            self.note_change(place, series, timestamp);
        }
    }

    /// Logarithmic in the notes, but for the copy.
    #[cold]
    fn note_change(&mut self, place: usize, series: &mut Series, timestamp: i64) {
        series.epoch = self.epoch;
        if self.of_many == 0 && !self.of_one.contains_key(&place) {
            return;
        }
        let Some(mut youngest) = self.open.last_entry() else {
            return;
        };
        let note = self.changed.entry((place, *youngest.key()));
        let changed = note.or_insert_with(|| {
            youngest.get_mut().changed.push(place);
            Changed {
                last: series.timeline.last_timestamp(),
                timeline: None,
            }
        });
        if timestamp <= changed.last && changed.timeline.is_none() {
            changed.timeline = Some(Rc::new(series.timeline.clone()));
        }
    }

    /// What a series was at a time: its last timestamp and its points, each only where it was
    /// noted, which it was if it is not so any more.
    fn find(&self, epoch: u64, place: usize) -> (Option<i64>, Option<Rc<Timeline>>) {
        let mut last = None;
        let since = self.changed.range((place, epoch)..=(place, u64::MAX));
        for changed in since.map(|(_, changed)| changed) {
            last = last.or(Some(changed.last));
            if changed.timeline.is_some() {
                return (last, changed.timeline.clone());
            }
        }
        (last, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Put;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The store as anyone would write it who need not save anything.
    #[derive(Clone, Default)]
    struct Naive {
        keys: Vec<String>,
        series: BTreeMap<String, BTreeMap<i64, f64>>,
    }

    impl Naive {
        fn put(&mut self, key: &str, timestamp: i64, value: f64) {
            if !self.series.contains_key(key) {
                self.keys.push(key.into());
            }
            self.series
                .entry(key.into())
                .or_default()
                .insert(timestamp, value);
        }

        fn points(&self, key: &str) -> Vec<(String, i64, u64)> {
            let points = self.series.get(key).into_iter().flatten();
            points
                .map(|(&timestamp, value)| (key.into(), timestamp, value.to_bits()))
                .collect()
        }

        fn all_points(&self) -> Vec<(String, i64, u64)> {
            self.keys.iter().flat_map(|key| self.points(key)).collect()
        }
    }

    type Points = Vec<(String, i64, u64)>;

    /// Reads at most `count` points, and says whether that was all.
    fn read(snapshot: &mut Snapshot, store: &Store, mut count: usize, points: &mut Points) -> bool {
        let mut run = Run::new();
        while let Some(key) = snapshot.next_run(store, &mut run) {
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
        Drop {
            snapshot: usize,
        },
    }

    const KEYS: [&str; 4] = ["a", "b", "*", "\u{e9}"];

    fn puts() -> impl Strategy<Value = Step> {
        let timestamp = prop_oneof![
            8 => 0i64..4_000,
            1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX - 1), Just(i64::MAX)],
        ];
        let count = prop_oneof![4 => 1i64..4, 2 => 1i64..300];
        let value = prop_oneof![
            3 => (-999i64..999).prop_map(|digits| digits as f64 / 100.0),
            1 => any::<f64>(),
        ];
        (0..KEYS.len(), timestamp, -3i64..12, count, value).prop_map(
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
            1 => (0usize..8).prop_map(|snapshot| Step::Drop { snapshot }),
        ];
        proptest::collection::vec(step, 1..100)
    }

    proptest! {
        #[test]
        fn snapshots_hold_what_a_naive_store_held(steps in steps()) {
            let (mut store, mut naive) = (Store::new(), Naive::default());
            let mut open = Vec::new();
            for step in steps {
                match step {
                    Step::Puts { key, timestamp, step, count, value } => {
                        // One at a time to one key, or at once to all in turn.
                        let at_once = count % 2 == 0;
                        let puts: Vec<(&str, i64, f64)> = (0..count)
                            .map(|i| {
                                let key = (key + usize::from(at_once) * i as usize) % KEYS.len();
                                (KEYS[key], timestamp.saturating_add(i * step), value + i as f64)
                            })
                            .collect();
                        for &(key, timestamp, value) in &puts {
                            naive.put(key, timestamp, value);
                            if !at_once {
                                store.put(key, timestamp, value);
                            }
                        }
                        if at_once {
                            let puts = puts.into_iter().map(|(key, timestamp, value)| Put {
                                key: key.into(),
                                timestamp,
                                value,
                            });
                            store.put_all(&puts.collect::<Vec<_>>());
                        }
                    }
                    Step::Snapshot { key: None } => {
                        open.push((store.snapshot_all(), Vec::new(), naive.all_points()));
                    }
                    Step::Snapshot { key: Some(key) } => {
                        let held = naive.points(KEYS[key]);
                        let snapshot = store.snapshot(KEYS[key]);
                        prop_assert_eq!(snapshot.is_some(), !held.is_empty());
                        open.extend(snapshot.map(|snapshot| (snapshot, Vec::new(), held)));
                    }
                    Step::Read { snapshot, count } => {
                        if let Some((snapshot, points, held)) = open.get_mut(snapshot) {
                            let whole = read(snapshot, &store, count, points);
                            prop_assert_eq!(&points[..], &held[..points.len()]);
                            prop_assert!(!whole || points.len() == held.len());
                        }
                    }
                    Step::Drop { snapshot } => {
                        if snapshot < open.len() {
                            open.swap_remove(snapshot);
                        }
                    }
                }
            }
            for (mut snapshot, mut points, held) in open {
                prop_assert!(read(&mut snapshot, &store, usize::MAX, &mut points));
                prop_assert_eq!(points, held);
            }
            prop_assert_eq!(store.series_count(), naive.keys.len());
            prop_assert_eq!(store.point_count(), naive.all_points().len());
            prop_assert!(store.keys().eq(naive.keys.iter().map(String::as_str)));
        }
    }

    #[test]
    fn a_change_is_noted_once_and_freed_with_the_last_that_needs_it() {
        let mut store = Store::new();
        store.put("k", 10, 1.0);
        let oldest = store.snapshot_all();
        store.put("other", 1, 1.0);
        let (middle, youngest) = (store.snapshot_all(), store.snapshot("k"));
        store.put("k", 5, 2.0);
        let copy = |store: &Store| {
            let notes = store.notes.borrow();
            let noted: Vec<_> = notes
                .changed
                .range((0, 0)..(1, 0))
                .map(|note| note.1)
                .collect();
            assert_eq!(noted.len(), 1, "noted once");
            Rc::downgrade(noted[0].timeline.as_ref().expect("copied"))
        };
        let first = copy(&store);
        drop(middle);
        drop(youngest);
        assert!(copy(&store).ptr_eq(&first), "the oldest has inherited it");
        drop(oldest);
        assert_eq!(first.strong_count(), 0);
        let notes = store.notes.borrow();
        assert!(notes.open.is_empty() && notes.changed.is_empty());
        assert!(notes.of_many == 0 && notes.of_one.is_empty());
    }

    #[test]
    fn puts_in_order_copy_nothing() {
        let mut store = Store::new();
        store.put("k", 10, 1.0);
        let snapshot = store.snapshot_all();
        for timestamp in 11..5_000 {
            store.put("k", timestamp, 2.0);
        }
        store.put("k", 11, 3.0);
        store.put("other", 1, 1.0);
        let notes = store.notes.borrow();
        assert!(notes.changed[&(0, snapshot.epoch)].timeline.is_none());
        assert_eq!(notes.changed.len(), 1, "what came later is not noted");
    }

    #[test]
    fn a_snapshot_of_one_series_notes_no_other() {
        let mut store = Store::new();
        store.put("k", 10, 1.0);
        store.put("other", 10, 1.0);
        let snapshot = store.snapshot("k").expect("was put");
        store.put("other", 5, 1.0);
        assert!(store.notes.borrow().changed.is_empty());
        store.put("k", 5, 1.0);
        assert!(
            store
                .notes
                .borrow()
                .changed
                .contains_key(&(0, snapshot.epoch))
        );
    }
}
