//! The work: the points of all series of a kind, and the order in which they are put.

use metricd::Point;

use crate::support::series::{self, Points, Random, key, series};

/// A kind of series: how long each is, and its points.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub points: usize,
    pub make: fn(seed: usize) -> Points,
}

pub const fn kind(name: &'static str, points: usize, make: fn(usize) -> Points) -> Kind {
    Kind { name, points, make }
}

pub const WALK: Kind = kind("walk, two decimals, every 10 s", 4_000, walk);
pub const STRAYING: Kind = kind("walk, two decimals, 10 s ± 3 s", 4_000, straying);
pub const NOISE: Kind = kind("17 digits, 10 s ± 4 s", 4_000, noise);
pub const SPARSE: Kind = kind("sparse: 12 points a series", 12, walk);

pub const KINDS: [Kind; 8] = [
    WALK,
    STRAYING,
    kind("integer counter", 4_000, counter),
    kind("constant", 4_000, |seed| series(seed, 0, |_| 21.5)),
    kind("CPU percentages, one decimal", 4_000, percentages),
    NOISE,
    SPARSE,
    kind("long: 250,000 points a series", 250_000, walk),
];

pub fn walk(seed: usize) -> Points {
    series::walk(seed, 50, 0)
}

fn straying(seed: usize) -> Points {
    series::walk(seed, 50, 3)
}

fn counter(seed: usize) -> Points {
    let mut count = Random(seed as u64).within(0..1 << 40);
    series(seed, 0, move |random| {
        count += random.within(0..2_000);
        count as f64
    })
}

fn percentages(seed: usize) -> Points {
    series(seed, 0, |random| {
        let tenths = random.within(0..150).min(random.within(0..1_000));
        tenths as f64 / 10.0
    })
}

/// With all the digits that a double has.
fn noise(seed: usize) -> Points {
    const ONE: i64 = 1 << 53;
    let mut value = 50.0;
    series(seed, 4, move |random| {
        value += random.within(0..ONE) as f64 / ONE as f64 - 0.5;
        value
    })
}

/// The series, and the place within it, of each put.
pub type Order = Vec<(u32, u32)>;

pub struct Work {
    pub keys: Vec<String>,
    pub points: Vec<Vec<Point>>,
    pub order: Order,
}

impl Work {
    /// The first point of each series, then the second of each, and so on.
    pub fn new(kind: &Kind, series: usize) -> Work {
        let places = 0..kind.points as u32;
        let order = places.flat_map(|place| (0..series as u32).map(move |series| (series, place)));
        Work {
            keys: (0..series).map(key).collect(),
            points: (0..series)
                .map(|seed| (kind.make)(seed).take(kind.points).collect())
                .collect(),
            order: order.collect(),
        }
    }

    pub fn puts<'a>(&'a self, order: &'a [(u32, u32)]) -> impl Iterator<Item = (&'a str, Point)> {
        let put = |&(series, place): &(u32, u32)| (series as usize, place as usize);
        let places = order.iter().map(put);
        places.map(|(series, place)| (self.keys[series].as_str(), self.points[series][place]))
    }

    pub fn backwards(&self) -> Order {
        self.order.iter().rev().copied().collect()
    }
}

/// Another order, the same for the same seed (Fisher and Yates).
pub fn shuffled(order: &[(u32, u32)], seed: u64) -> Order {
    let (mut order, mut random) = (order.to_vec(), Random(seed));
    for last in (1..order.len()).rev() {
        order.swap(last, random.within(0..last as i64 + 1) as usize);
    }
    order
}
