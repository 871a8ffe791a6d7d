//! What was stored at one moment, read piece by piece while puts go on.
//!
//! A snapshot copies nothing when it is taken. What it holds is a lease: as long as it lives,
//! each put into a series is preceded by a note in the lease of what the series was. Mostly that
//! is its last timestamp, since mostly points come in order, and whatever is newer was put later;
//! only a put into the past copies the head as it was, and holds on to the blocks. All of it is the lease's own, and goes when the last reader of the snapshot goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

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
    lease: Rc<Lease>,
    /// Places of the series that are still to read, the first perhaps in part.
    places: Range<usize>,
    /// Of the first series, the timestamp up to which it is read.
    read_to: Option<i64>,
}

/// What was changed of the store since a snapshot was taken.
#[derive(Debug)]
pub struct Lease {
    /// Places of the series that are in the snapshot.
    places: Range<usize>,
    /// By the place of the series; a series that is not here is as it was.
    changed: RefCell<HashMap<usize, Changed, RandomState>>,
}

/// What a changed series was.
#[derive(Clone, Debug)]
struct Changed {
    /// Its newest timestamp then; points behind it were put later.
    last: i64,
    /// Its points then (and perhaps such that were put later behind `last`), from when a put
    /// disturbed those up to `last`.
    timeline: Option<Rc<Timeline>>,
}

impl Snapshot {
    pub(super) fn new(lease: Rc<Lease>) -> Snapshot {
        let places = lease.places.clone();
        Snapshot {
            lease,
            places,
            read_to: None,
        }
    }

    /// Decodes the next points into `run` and says whose they are, or `None` when all are read:
    /// series by series in the order of their first put, by ascending timestamp within one.
    ///
    /// `store` is the one that the snapshot was taken of; of another, the points are those of
    /// neither. A call costs a search in one series and the decoding of its points.
    pub fn next_run<'store>(&mut self, store: &'store Store, run: &mut Run) -> Option<&'store str> {
        while !self.places.is_empty() {
            let place = self.places.start;
            let series = store.series.get(place)?;
            if self.read_series(place, series, run) {
                self.read_to = run.timestamps().last().copied();
                return Some(&series.key);
            }
            self.places.start += 1;
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
        let changed = self.lease.changed.borrow();
        let (timeline, last) = match changed.get(&place) {
            Some(Changed {
                last,
                timeline: Some(then),
            }) => (&**then, *last),
            Some(Changed {
                last,
                timeline: None,
            }) => (&series.timeline, *last),
            None => (&series.timeline, series.timeline.last_timestamp()),
        };
        let is_read = self.read_to.is_some_and(|read_to| read_to >= last);
        !is_read && timeline.next_run(self.read_to, last, run)
    }
}

/// The leases of the snapshots that are still read.
#[derive(Default)]
pub struct Leases {
    /// From the oldest to the newest; those whose snapshots are gone are swept now and then.
    leases: Vec<Weak<Lease>>,
    /// How many leases there ever were. A series that bears this number has told every lease
    /// that it changed.
    epoch: u64,
}

impl Leases {
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn add(&mut self, places: Range<usize>) -> Rc<Lease> {
        self.sweep();
        self.epoch += 1;
        let lease = Rc::new(Lease {
            places,
            changed: RefCell::default(),
        });
        self.leases.push(Rc::downgrade(&lease));
        lease
    }

    /// To be called before a put: notes what the series is in the leases that want to know.
    #[inline]
    pub fn before_put(&mut self, place: usize, series: &mut Series, timestamp: i64) {
        let is_late = timestamp <= series.timeline.last_timestamp();
        if series.epoch != self.epoch || (is_late && !self.leases.is_empty()) {
            self.note_change(place, series, timestamp);
        }
    }

    /// Constant time for each lease, but for the copy.
    #[cold]
    fn note_change(&mut self, place: usize, series: &mut Series, timestamp: i64) {
        series.epoch = self.epoch;
        self.sweep();
        let mut copy = None;
        let last = series.timeline.last_timestamp();
        for lease in self.leases.iter().filter_map(Weak::upgrade) {
            if !lease.places.contains(&place) {
                continue;
            }
            let mut changed = lease.changed.borrow_mut();
            let was = changed.entry(place).or_insert(Changed {
                last,
                timeline: None,
            });
            if timestamp <= was.last && was.timeline.is_none() {
                let copy = copy.get_or_insert_with(|| Rc::new(series.timeline.clone()));
                was.timeline = Some(Rc::clone(copy));
            }
        }
    }

    fn sweep(&mut self) {
        self.leases.retain(|lease| lease.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
                        for i in 0..count {
                            let timestamp = timestamp.saturating_add(i * step);
                            store.put(KEYS[key], timestamp, value + i as f64);
                            naive.put(KEYS[key], timestamp, value + i as f64);
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
    fn a_dropped_snapshot_frees_what_only_it_held() {
        let mut store = Store::new();
        store.put("k", 10, 1.0);
        let (early, late) = (store.snapshot_all(), store.snapshot_all());
        store.put("k", 5, 2.0);
        let copy = |snapshot: &Snapshot| {
            let changed = snapshot.lease.changed.borrow();
            Rc::downgrade(changed[&0].timeline.as_ref().expect("copied"))
        };
        let copy = (copy(&early), copy(&late));
        assert!(copy.0.ptr_eq(&copy.1), "one copy serves all");
        drop(early);
        assert_eq!(copy.0.strong_count(), 1);
        drop(late);
        assert_eq!(copy.0.strong_count(), 0);
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
        assert!(snapshot.lease.changed.borrow()[&0].timeline.is_none());
        store.put("other", 1, 1.0);
        assert_eq!(
            snapshot.lease.changed.borrow().len(),
            1,
            "what came later is not noted"
        );
    }
}
