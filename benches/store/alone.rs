//! The store alone, as a library: what a point takes, and how fast points are put and read.
//!
//! Each kind of series is put point by point, all series in turn, as clients do, read back and
//! compared with what was put, then timed. Times are medians of rounds; bytes are those that the
//! store has allocated, all included: keys, index, heads.

use std::hint::black_box;
use std::time::Instant;

use metricd::{Run, Store};

use crate::series::{KINDS, Kind, WALK};
use crate::work::Work;

const ROUNDS: usize = 5;

/// Points in all, of whatever kind of series.
const POINTS: usize = 1_000_000;

pub fn run() -> Result<(), String> {
    println!(
        "{:34} {:>8} {:>9} {:>8} {:>9} {:>8} {:>9}",
        "1 M points", "B/point", "B/series", "ns/put", "M puts/s", "ns/read", "M reads/s"
    );
    for kind in &KINDS {
        measure(kind.name, &in_order(kind))?;
    }
    measure("walk, put backwards", &in_order(&WALK).backwards())?;
    measure("walk, put at random", &in_order(&WALK).at_random())
}

fn in_order(kind: &Kind) -> Work {
    Work::in_order(kind, POINTS / kind.points)
}

fn measure(name: &str, work: &Work) -> Result<(), String> {
    let store = put(work);
    check(work, &store)?;
    let bytes = store.allocated_bytes() as f64;
    let put = nanoseconds_a_point(|| put(work));
    let read = nanoseconds_a_point(|| read(&store));
    println!(
        "{name:34} {:>8.3} {:>9.0} {put:>8.1} {:>9.1} {read:>8.2} {:>9.0}",
        bytes / work.order.len() as f64,
        bytes / work.keys.len() as f64,
        1e3 / put,
        1e3 / read,
    );
    Ok(())
}

fn put(work: &Work) -> Store {
    let mut store = Store::new();
    for &place in &work.order {
        let (key, point) = work.put(place);
        store.put(key, point.timestamp, point.value);
    }
    store
}

fn check(work: &Work, store: &Store) -> Result<(), String> {
    if store.point_count() != work.order.len() {
        return Err(format!(
            "{} points of {} are stored",
            store.point_count(),
            work.order.len()
        ));
    }
    for (key, points) in work.keys.iter().zip(&work.points) {
        if !store.range(key, ..).eq(points.iter().copied()) {
            return Err(format!("{key} is not as it was put"));
        }
    }
    Ok(())
}

/// Decodes all points and looks at each.
fn read(store: &Store) -> f64 {
    let mut run = Run::new();
    let mut snapshot = store.snapshot_all();
    let mut sum = 0.0;
    while let Ok(Some(_)) = snapshot.next_run(store, &mut run) {
        sum += run.points().map(|point| point.value).sum::<f64>();
    }
    sum
}

/// Median nanoseconds a point of the rounds of `work`.
fn nanoseconds_a_point<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_nanos() as f64 / POINTS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
