//! Series of points that are the same in every run.

use std::ops::Range;

use metricd::Point;

pub const FIRST_TIMESTAMP: i64 = 1_500_000_000;
pub const SECONDS_BETWEEN_POINTS: i64 = 10;

/// Series, where nothing else is said.
pub const SERIES: usize = 1_000;

/// 18 bytes, up to a million series.
pub fn key(series: usize) -> String {
    format!("host{series:06}.cpu.sys")
}

/// Points without end.
pub type Points = Box<dyn Iterator<Item = Point>>;

/// A point every ten seconds, give or take so many.
pub fn series(
    seed: usize,
    stray_seconds: i64,
    mut value: impl FnMut(&mut Random) -> f64 + 'static,
) -> Points {
    let (mut random, mut next) = (Random(seed as u64), FIRST_TIMESTAMP);
    Box::new(std::iter::from_fn(move || {
        let timestamp = next + random.within(-stray_seconds..stray_seconds + 1);
        let value = value(&mut random);
        next += SECONDS_BETWEEN_POINTS;
        Some(Point { timestamp, value })
    }))
}

/// A random walk with two decimals, in steps of up to so many hundredths either way.
pub fn walk(seed: usize, step: i64, stray_seconds: i64) -> Points {
    let mut hundredths = Random(seed as u64).within(1_000..9_000);
    series(seed, stray_seconds, move |random| {
        hundredths += random.within(-step..step + 1);
        hundredths as f64 / 100.0
    })
}

/// The request that puts a point.
pub fn put_line(key: &str, Point { timestamp, value }: &Point) -> String {
    format!("put {key} {value:?} {timestamp}\n")
}

/// The points of a thousand walks in step, without end: number of the series, and point.
pub fn in_step(step: i64) -> impl Iterator<Item = (usize, Point)> {
    let mut walks: Vec<_> = (0..SERIES).map(|series| walk(series, step, 0)).collect();
    let numbers = (0..SERIES).cycle();
    numbers.filter_map(move |series| Some((series, walks[series].next()?)))
}

/// Requests that put them.
pub fn puts(step: i64) -> impl Iterator<Item = String> {
    in_step(step).map(|(series, point)| put_line(&key(series), &point))
}

/// SplitMix64 (Steele and others, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn within(&mut self, range: Range<i64>) -> i64 {
        range.start + (self.next() % (range.end - range.start) as u64) as i64
    }
}
