//! The kinds of series that are measured.

use std::ops::Range;

use metricd::Point;

/// A kind of series: how long each is, and its points.
pub struct Kind {
    pub name: &'static str,
    pub points: usize,
    pub make: fn(&mut SplitMix, usize) -> Vec<Point>,
}

pub const WALK: Kind = Kind {
    name: "walk, two decimals, every 10 s",
    points: 4_000,
    make: |random, points| walk(random, points, 0),
};

pub const STRAYING: Kind = Kind {
    name: "the same, 10 s ± 3 s",
    points: 4_000,
    make: |random, points| walk(random, points, 3),
};

pub const NOISE: Kind = Kind {
    name: "17 digits, 10 s ± 4 s",
    points: 4_000,
    make: noise,
};

pub const SPARSE: Kind = Kind {
    name: "sparse: 12 points a series",
    points: 12,
    make: |random, points| walk(random, points, 0),
};

pub const KINDS: [Kind; 8] = [
    WALK,
    STRAYING,
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
    NOISE,
    SPARSE,
    Kind {
        name: "long: 250,000 points a series",
        points: 250_000,
        ..WALK
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

/// A source of numbers that is the same in every run (Steele and others, "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn within(&mut self, range: Range<i64>) -> i64 {
        range.start + (self.next() % (range.end - range.start) as u64) as i64
    }

    /// Uniform in 0 to 1, with all the digits that a double has.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
