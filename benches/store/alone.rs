//! The store alone, as a library: what a point takes, and how fast points are put and read.
//!
//! Each kind of series is put point by point, all series in turn, as clients do, read back and
//! compared with what was put, then timed. Times are medians of rounds; bytes are those that the
//! store has allocated, all included: keys, index, heads.

use std::hint::black_box;

use metricd::{Run, Store};

use crate::support::*;
use crate::work::{KINDS, Order, WALK, Work};

const ROUNDS: usize = 5;

/// Points in all, of whatever kind of series.
const POINTS: usize = 1_000_000;

pub fn run() -> Result<()> {
    let mut rows = Vec::new();
    for kind in KINDS {
        let work = Work::new(kind, POINTS / kind.1);
        rows.push(row(kind.0, &work, &work.order)?);
    }
    let work = Work::new(WALK, POINTS / WALK.1);
    let backwards: Order = work.order.iter().rev().copied().collect();
    rows.push(row("walk, put backwards", &work, &backwards)?);
    rows.push(row("walk, put at random", &work, &work.shuffled())?);
    let head = "1 M points|B/point|B/series|ns/put|M puts/s|ns/read|M reads/s";
    println!("{}", table(head, rows));
    Ok(())
}

fn row(name: &str, work: &Work, order: &Order) -> Result<Vec<String>> {
    let store = put(work, order);
    let (count, expected) = (store.point_count(), order.len());
    ensure!(count == expected, "{count} points, not {expected}");
    for (key, points) in &work.series {
        let is_same = store.range(key, ..).eq(points.iter().copied());
        ensure!(is_same, "{key} is not as it was put");
    }
    let bytes = store.allocated_bytes() as f64;
    let put = nanos_a_point(|| put(work, order));
    let read = nanos_a_point(|| read(&store));
    let [of_point, of_series] = [POINTS, work.series.len()].map(|count| bytes / count as f64);
    let figures = [of_point, of_series, put, 1e3 / put, read, 1e3 / read];
    Ok(cells(name, &figures))
}

fn put(work: &Work, order: &Order) -> Store {
    let mut store = Store::new();
    for (key, point) in work.puts(order) {
        store.put(key, point.timestamp, point.value);
    }
    store
}

/// Decodes all points and looks at each.
fn read(store: &Store) -> f64 {
    let (mut run, mut snapshot, mut sum) = (Run::new(), store.snapshot_all(), 0.0);
    while snapshot
        .next_run(store, &mut run)
        .expect("of this store")
        .is_some()
    {
        sum += run.points().map(|point| point.value).sum::<f64>();
    }
    sum
}

/// The median of the rounds of `work`.
fn nanos_a_point<T>(mut work: impl FnMut() -> T) -> f64 {
    median((0..ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_nanos() as f64 / POINTS as f64
    }))
}
