//! Where points are kept: a hash map from key to series, and snapshots that read them.
//!
//! Everything is written by [`Store::put`] and read through a [`Snapshot`], which holds what was
//! stored when it was taken, however long it is read and whatever is put meanwhile. Nothing here
//! knows the protocol, a socket or the clock.

mod series;
mod snapshot;

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use self::series::Series;
use self::snapshot::Leases;
pub use self::snapshot::Snapshot;

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// In whatever unit the clients agree on; seconds since 1970 as a rule.
    pub timestamp: i64,
    /// Any double; every NaN is as good as another.
    pub value: f64,
}

/// Series of points by key, in memory.
///
/// ```
/// use std::ops::ControlFlow;
///
/// let mut store = metricd::Store::new();
/// store.put("palm.cpu", 1_150_864_247, 23.7);
/// store.put("palm.cpu", 1_150_864_237, 0.5);
///
/// let mut snapshot = store.snapshot("palm.cpu").expect("a point was put");
/// store.put("palm.cpu", 1_150_864_257, 99.0);
///
/// let mut values = Vec::new();
/// let _read_whole = snapshot.read(&store, |_key, point| {
///     values.push(point.value);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(values, [0.5, 23.7]);
/// ```
#[derive(Default)]
pub struct Store {
    /// Index in `series` by key.
    indexes: HashMap<Rc<str>, usize, RandomState>,
    /// In the order in which each was first put.
    series: Vec<Series>,
    /// The snapshots that are still read.
    leases: Leases,
}

impl Store {
    /// A store that holds nothing.
    pub fn new() -> Store {
        Store::default()
    }

    /// Stores one point. A point that the series has at this timestamp is replaced.
    ///
    /// Constant time where the point is the newest of its series, else linear in the points
    /// behind it. The first change of a series behind a snapshot's back copies what the snapshot
    /// is still to read of it, unless all that is added is newer.
    pub fn put(&mut self, key: &str, timestamp: i64, value: f64) {
        let index = match self.indexes.get(key) {
            Some(&index) => index,
            None => self.add_series(key),
        };
        let series = &mut self.series[index];
        self.leases.before_put(index, series, timestamp);
        series.put(Point { timestamp, value });
    }

    #[cold]
    fn add_series(&mut self, key: &str) -> usize {
        let key: Rc<str> = key.into();
        let index = self.series.len();
        self.indexes.insert(Rc::clone(&key), index);
        self.series.push(Series::new(key, self.leases.epoch()));
        index
    }

    /// A snapshot of one series, or `None` where nothing was ever put under the key.
    ///
    /// Constant time: nothing is copied.
    pub fn snapshot(&mut self, key: &str) -> Option<Snapshot> {
        let &index = self.indexes.get(key)?;
        Some(Snapshot::new(self.leases.add(index..index + 1)))
    }

    /// A snapshot of all series, in the order in which each was first put.
    ///
    /// Constant time: nothing is copied.
    pub fn snapshot_all(&mut self) -> Snapshot {
        Snapshot::new(self.leases.add(0..self.series.len()))
    }

    /// How many series there are: how many different keys were put.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }
}
