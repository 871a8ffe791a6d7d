//! The store alone, as a library: what a point takes, and how fast points are put and read.
//!
//! Each kind of series is put point by point, all series in turn, as clients do, read back and
//! compared with what was put, then timed. Times are medians of rounds; bytes are those that the
//! store has allocated, all included: keys, index, heads.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use metricd::{Run, Store};

use crate::support::table::{figure, median, table};
use crate::work::{KINDS, Order, WALK, Work, shuffled};

const ROUNDS: usize = 5;

/// Points in all, of whatever kind of series.
const POINTS: usize = 1_000_000;

pub fn run() -> Result<String> {
    let mut rows = Vec::new();
    for kind in &KINDS {
        let work = Work::new(kind, POINTS / kind.points);
        rows.push(row(kind.name, &work, &work.order)?);
    }
    let work = Work::new(&WALK, POINTS / WALK.points);
    rows.push(row("walk, put backwards", &work, &work.backwards())?);
    let random = shuffled(&work.order, 2);
    rows.push(row("walk, put at random", &work, &random)?);
    let head = "|B/point|B/series|ns/put|M puts/s|ns/read|M reads/s";
    Ok(table(head, rows))
}

fn row(name: &str, work: &Work, order: &Order) -> Result<Vec<String>> {
    let store = put(work, order);
    check(work, &store)?;
    let bytes = store.allocated_bytes() as f64;
    let put = nanoseconds_a_point(|| put(work, order));
    let read = nanoseconds_a_point(|| read(&store));
    let sizes = [bytes / POINTS as f64, bytes / work.keys.len() as f64];
    let times = [put, 1e3 / put, read, 1e3 / read];
    let mut cells = vec![name.to_string()];
    cells.extend(sizes.into_iter().chain(times).map(figure));
    Ok(cells)
}

fn put(work: &Work, order: &Order) -> Store {
    let mut store = Store::new();
    for (key, point) in work.puts(order) {
        store.put(key, point.timestamp, point.value);
    }
    store
}

fn check(work: &Work, store: &Store) -> Result<()> {
    let (count, expected) = (store.point_count(), work.order.len());
    ensure!(count == expected, "{count} points, not {expected}");
    for (key, points) in work.keys.iter().zip(&work.points) {
        let is_same = store.range(key, ..).eq(points.iter().copied());
        ensure!(is_same, "{key} is not as it was put");
    }
    Ok(())
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
fn nanoseconds_a_point<T>(mut work: impl FnMut() -> T) -> f64 {
    let round = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_nanos() as f64 / POINTS as f64
    };
    median((0..ROUNDS).map(round).collect()).unwrap_or(f64::NAN)
}
