//! What was stored at one moment, read piece by piece while puts go on.
//!
//! A snapshot copies nothing when it is taken. What it holds is a lease: as long as it lives,
//! each put into a series is preceded by a note in the lease of what the series was. Mostly that
//! is its last timestamp, since mostly points come in order, and whatever is newer was put later;
//! only a put into the past copies the points as they were. All of it is the lease's own, and
//! goes when the last reader of the snapshot goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::rc::{Rc, Weak};

use foldhash::fast::RandomState;

use super::series::Series;
use super::{Point, Store};

/// Points as they were when the snapshot was taken, and how far they are read.
#[derive(Debug)]
pub struct Snapshot {
    lease: Rc<Lease>,
    /// Indexes of the series that are still to read, the first perhaps in part.
    series: Range<usize>,
    /// Of the first series, the timestamp up to which it is read.
    read_to: Option<i64>,
}

/// What was changed of the store since a snapshot was taken.
#[derive(Debug)]
pub struct Lease {
    /// Indexes of the series that are in the snapshot.
    series: Range<usize>,
    /// By index of the series; a series that is not here is as it was.
    changed: RefCell<HashMap<usize, Changed, RandomState>>,
}

/// What a changed series was.
#[derive(Clone, Debug)]
struct Changed {
    /// Its newest timestamp then; points behind it were put later.
    last: i64,
    /// Its points then (and perhaps points that were put later behind `last`), from when a put
    /// disturbed those up to `last`.
    points: Option<Rc<[Point]>>,
}

impl Snapshot {
    pub(super) fn new(lease: Rc<Lease>) -> Snapshot {
        let series = lease.series.clone();
        Snapshot {
            lease,
            series,
            read_to: None,
        }
    }

    /// Hands the points that are still to read to `each`, series by series in the order of their
    /// first put, by ascending timestamp within one, until `each` breaks, which counts its point
    /// as read, or all are read.
    ///
    /// `store` is the one that the snapshot was taken of; of another, the points are those of
    /// neither. A call costs a search in one series, then constant time a point.
    pub fn read(
        &mut self,
        store: &Store,
        mut each: impl FnMut(&str, Point) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while !self.series.is_empty() {
            let index = self.series.start;
            let Some(series) = store.series.get(index) else {
                break;
            };
            let changed = self.lease.changed.borrow().get(&index).cloned();
            for &point in self.unread(series, &changed) {
                if each(&series.key, point).is_break() {
                    self.read_to = Some(point.timestamp);
                    return ControlFlow::Break(());
                }
            }
            self.series.start += 1;
            self.read_to = None;
        }
        ControlFlow::Continue(())
    }

    /// The points of a series that belong to the snapshot and are still to read.
    fn unread<'a>(&self, series: &'a Series, changed: &'a Option<Changed>) -> &'a [Point] {
        let points = match changed {
            Some(Changed { last, points }) => {
                let points = points.as_deref().unwrap_or(series.points());
                &points[..points.partition_point(|point| point.timestamp <= *last)]
            }
            None => series.points(),
        };
        let read = self.read_to.map_or(0, |read_to| {
            points.partition_point(|point| point.timestamp <= read_to)
        });
        &points[read..]
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

    pub fn add(&mut self, series: Range<usize>) -> Rc<Lease> {
        self.sweep();
        self.epoch += 1;
        let lease = Rc::new(Lease {
            series,
            changed: RefCell::default(),
        });
        self.leases.push(Rc::downgrade(&lease));
        lease
    }

    /// To be called before a put: notes what the series is in the leases that want to know.
    #[inline]
    pub fn before_put(&mut self, index: usize, series: &mut Series, timestamp: i64) {
        let Some(last) = series.last_timestamp() else {
            return;
        };
        if series.epoch != self.epoch || (timestamp <= last && !self.leases.is_empty()) {
            self.note_change(index, series, timestamp, last);
        }
    }

    /// Constant time for each lease, but for the copy.
    #[cold]
    fn note_change(&mut self, index: usize, series: &mut Series, timestamp: i64, last: i64) {
        series.epoch = self.epoch;
        self.sweep();
        let mut copy = None;
        for lease in self.leases.iter().filter_map(Weak::upgrade) {
            if !lease.series.contains(&index) {
                continue;
            }
            let mut changed = lease.changed.borrow_mut();
            let was = changed
                .entry(index)
                .or_insert(Changed { last, points: None });
            if timestamp <= was.last && was.points.is_none() {
                was.points = Some(Rc::clone(
                    copy.get_or_insert_with(|| series.points().into()),
                ));
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

    /// Reads at most `count` points, and says whether that was all.
    fn read(
        snapshot: &mut Snapshot,
        store: &Store,
        count: usize,
        points: &mut Vec<(String, i64, u64)>,
    ) -> bool {
        let full = points.len() + count;
        let end = snapshot.read(store, |key, point| {
            points.push((key.into(), point.timestamp, point.value.to_bits()));
            if points.len() < full {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        end.is_continue()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put {
            key: usize,
            timestamp: i64,
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

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let timestamp = prop_oneof![
            8 => 0i64..40,
            1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX - 1), Just(i64::MAX)],
        ];
        let step = prop_oneof![
            12 => (0..KEYS.len(), timestamp, any::<f64>())
                .prop_map(|(key, timestamp, value)| Step::Put { key, timestamp, value }),
            2 => proptest::option::of(0..KEYS.len()).prop_map(|key| Step::Snapshot { key }),
            3 => (0usize..8, 1usize..6).prop_map(|(snapshot, count)| Step::Read { snapshot, count }),
            1 => (0usize..8).prop_map(|snapshot| Step::Drop { snapshot }),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn snapshots_hold_what_a_naive_store_held(steps in steps()) {
            let (mut store, mut naive) = (Store::new(), Naive::default());
            let mut open = Vec::new();
            for step in steps {
                match step {
                    Step::Put { key, timestamp, value } => {
                        store.put(KEYS[key], timestamp, value);
                        naive.put(KEYS[key], timestamp, value);
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
                prop_assert!(read(&mut snapshot, &store, usize::MAX / 2, &mut points));
                prop_assert_eq!(points, held);
            }
            prop_assert_eq!(store.series_count(), naive.keys.len());
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
            Rc::downgrade(changed[&0].points.as_ref().expect("copied"))
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
        store.put("k", 11, 2.0);
        store.put("k", 11, 3.0);
        assert!(snapshot.lease.changed.borrow()[&0].points.is_none());
        store.put("other", 1, 1.0);
        assert_eq!(
            snapshot.lease.changed.borrow().len(),
            1,
            "what came later is not noted"
        );
    }
}
