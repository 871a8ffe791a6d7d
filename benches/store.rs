//! The store alone: what a point takes, and how fast points are put and read.
//!
//!     cargo bench --bench store
//!
//! Each kind of series is put point by point, all series in turn, as clients do, read back and
//! compared with what was put, then timed. Times are the process's own processor time, medians
//! of rounds; bytes are those that the store has allocated, all included: keys, index, heads.

use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use metricd::{Point, Run, Store};

const ROUNDS: usize = 5;

/// Points in all, of whatever kind of series.
const POINTS: usize = 1_000_000;

/// A source of numbers that is the same in every run (Steele and others, "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, range: Range<i64>) -> i64 {
        range.start + (self.next() % (range.end - range.start) as u64) as i64
    }

    /// Uniform in 0 to 1, with all the digits that a double has.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A kind of series: how long each is, and its points.
struct Kind {
    name: &'static str,
    points: usize,
    make: fn(&mut SplitMix, usize) -> Vec<Point>,
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "walk, two decimals, every 10 s",
        points: 4_000,
        make: |random, points| walk(random, points, 0),
    },
    Kind {
        name: "the same, 10 s ± 3 s",
        points: 4_000,
        make: |random, points| walk(random, points, 3),
    },
    Kind {
        name: "integer counter",
        points: 4_000,
        make: counter,
    },
    Kind {
        name: "constant",
        points: 4_000,
        make: |_, points| series(points, |_| 21.5),
    },
    Kind {
        name: "CPU percentages, one decimal",
        points: 4_000,
        make: percentages,
    },
    Kind {
        name: "17 digits, 10 s ± 4 s",
        points: 4_000,
        make: noise,
    },
    Kind {
        name: "sparse: 12 points a series",
        points: 12,
        make: |random, points| walk(random, points, 0),
    },
    Kind {
        name: "long: 250,000 points a series",
        points: 250_000,
        make: |random, points| walk(random, points, 0),
    },
];

/// Points every ten seconds.
fn series(points: usize, mut value: impl FnMut(usize) -> f64) -> Vec<Point> {
    let timestamp = |at: usize| 1_500_000_000 + 10 * at as i64;
    (0..points)
        .map(|at| Point {
            timestamp: timestamp(at),
            value: value(at),
        })
        .collect()
}

/// Steps uniform in ±0.5 with two decimals, at times that stray by so many seconds.
fn walk(random: &mut SplitMix, points: usize, stray: i64) -> Vec<Point> {
    let mut hundredths = random.within(1_000..9_000);
    let mut points = series(points, |_| 0.0);
    for point in &mut points {
        hundredths += random.within(-50..51);
        point.value = hundredths as f64 / 100.0;
        point.timestamp += random.within(-stray..stray + 1);
    }
    points
}

fn counter(random: &mut SplitMix, points: usize) -> Vec<Point> {
    let mut count = random.within(0..1 << 40);
    series(points, |_| {
        count += random.within(0..2_000);
        count as f64
    })
}

fn percentages(random: &mut SplitMix, points: usize) -> Vec<Point> {
    series(points, |_| {
        random.within(0..150).min(random.within(0..1_000)) as f64 / 10.0
    })
}

fn noise(random: &mut SplitMix, points: usize) -> Vec<Point> {
    let mut value = 50.0;
    let mut points = series(points, |_| 0.0);
    for point in &mut points {
        value += random.fraction() - 0.5;
        point.value = value;
        point.timestamp += random.within(-4..5);
    }
    points
}

/// All series of a kind, and the order in which their points are put.
struct Work {
    keys: Vec<String>,
    points: Vec<Vec<Point>>,
    order: Vec<(u32, u32)>,
}

impl Work {
    /// The first point of each series, then the second of each, and so on.
    fn in_order(kind: &Kind) -> Work {
        let mut random = SplitMix(1);
        let series = POINTS / kind.points;
        let keys = (0..series)
            .map(|at| format!("host{at:06}.cpu.user"))
            .collect();
        let points = (0..series)
            .map(|_| (kind.make)(&mut random, kind.points))
            .collect();
        let places = 0..kind.points as u32;
        let order = places.flat_map(|place| (0..series as u32).map(move |series| (series, place)));
        Work {
            keys,
            points,
            order: order.collect(),
        }
    }

    fn backwards(mut self) -> Work {
        self.order.reverse();
        self
    }

    fn at_random(mut self) -> Work {
        let mut random = SplitMix(2);
        for last in (1..self.order.len()).rev() {
            self.order
                .swap(last, random.within(0..last as i64 + 1) as usize);
        }
        self
    }

    fn put(&self) -> Store {
        let mut store = Store::new();
        for &(series, place) in &self.order {
            let point = self.points[series as usize][place as usize];
            store.put(&self.keys[series as usize], point.timestamp, point.value);
        }
        store
    }

    fn check(&self, store: &Store) {
        assert_eq!(store.point_count(), self.order.len());
        for (key, points) in self.keys.iter().zip(&self.points) {
            assert!(
                store.range(key, ..).eq(points.iter().copied()),
                "{key} is not as it was put"
            );
        }
    }
}

/// Decodes all points and looks at each.
fn read(store: &mut Store) -> f64 {
    let mut run = Run::new();
    let mut snapshot = store.snapshot_all();
    let mut sum = 0.0;
    while snapshot.next_run(store, &mut run).is_some() {
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

fn measure(name: &str, work: &Work) {
    let mut store = work.put();
    work.check(&store);
    let bytes = store.allocated_bytes() as f64;
    let put = nanoseconds_a_point(|| work.put());
    let read = nanoseconds_a_point(|| read(&mut store));
    println!(
        "{name:34} {:>8.3} {:>9.0} {put:>8.1} {:>9.1} {read:>8.2} {:>9.0}",
        bytes / work.order.len() as f64,
        bytes / work.keys.len() as f64,
        1e3 / put,
        1e3 / read,
    );
}

fn main() {
    println!(
        "{:34} {:>8} {:>9} {:>8} {:>9} {:>8} {:>9}",
        "1 M points", "B/point", "B/series", "ns/put", "M puts/s", "ns/read", "M reads/s"
    );
    for kind in &KINDS {
        measure(kind.name, &Work::in_order(kind));
    }
    let walk = &KINDS[0];
    measure("walk, put backwards", &Work::in_order(walk).backwards());
    measure("walk, put at random", &Work::in_order(walk).at_random());
}
