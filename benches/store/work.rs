//! The work: the points of all series of a kind, and the order in which they are put.

use crate::support::*;

/// A kind of series: its name, how many points each has, and these.
#[derive(Clone, Copy)]
pub struct Kind(pub &'static str, pub usize, pub fn(seed: usize) -> Points);

pub const WALK: Kind = Kind("walk, two decimals, every 10 s", 4_000, walk);
pub const NOISE: Kind = Kind("17 digits, 10 s ± 4 s", 4_000, noise);

pub const KINDS: [Kind; 8] = [
    WALK,
    Kind("walk, two decimals, 10 s ± 3 s", 4_000, |seed| {
        crate::support::walk(seed, STEP, 3)
    }),
    Kind("integer counter", 4_000, counter),
    Kind("constant", 4_000, |seed| series(seed, 0, |_| 21.5)),
    Kind("CPU percentages, one decimal", 4_000, percentages),
    NOISE,
    Kind("sparse: 12 points a series", 12, walk),
    Kind("long: 250,000 points a series", 250_000, walk),
];

/// Steps of the walk, in hundredths, at most.
pub const STEP: i64 = 50;

pub fn walk(seed: usize) -> Points {
    crate::support::walk(seed, STEP, 0)
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
    pub series: Vec<(String, Vec<Point>)>,
    /// The first point of each series, then the second of each, and so on.
    pub order: Order,
}

impl Work {
    pub fn new(Kind(_, points, make): Kind, series: usize) -> Work {
        let places = 0..points as u32;
        let order = places.flat_map(|place| (0..series as u32).map(move |series| (series, place)));
        let points = |seed| make(seed).take(points).collect();
        Work {
            series: (0..series).map(|seed| (key(seed), points(seed))).collect(),
            order: order.collect(),
        }
    }

    pub fn puts<'a>(&'a self, order: &'a [(u32, u32)]) -> impl Iterator<Item = (&'a str, Point)> {
        order.iter().map(|&(number, place)| {
            let (key, points) = &self.series[number as usize];
            (key.as_str(), points[place as usize])
        })
    }

    pub fn lines<'a>(&'a self, order: &'a [(u32, u32)]) -> impl Iterator<Item = String> {
        self.puts(order).map(|(key, point)| put_line(key, &point))
    }

    /// Another order, always the same (Fisher and Yates).
    pub fn shuffled(&self) -> Order {
        let (mut order, mut random) = (self.order.clone(), Random(2));
        for last in (1..order.len()).rev() {
            order.swap(last, random.within(0..last as i64 + 1) as usize);
        }
        order
    }
}
