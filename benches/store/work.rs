//! The work: the points of all series, and the order in which they are put.

use metricd::Point;

use crate::series::{Kind, SplitMix};

/// All series of a kind, and the order in which their points are put.
pub struct Work {
    pub keys: Vec<String>,
    pub points: Vec<Vec<Point>>,
    /// The series and the place within it of each put.
    pub order: Vec<(u32, u32)>,
}

impl Work {
    /// The first point of each series, then the second of each, and so on.
    pub fn in_order(kind: &Kind, series: usize) -> Work {
        let mut random = SplitMix(1);
        let points = (0..series)
            .map(|_| (kind.make)(&mut random, kind.points))
            .collect();
        let places = 0..kind.points as u32;
        let order = places.flat_map(|place| (0..series as u32).map(move |series| (series, place)));
        Work {
            keys: (0..series).map(key).collect(),
            points,
            order: order.collect(),
        }
    }

    pub fn backwards(mut self) -> Work {
        self.order.reverse();
        self
    }

    pub fn at_random(self) -> Work {
        Work {
            order: shuffled(self.order, 2),
            ..self
        }
    }

    /// Takes the last so many puts away, as work of its own for the same series.
    pub fn split_last(&mut self, puts: usize) -> Vec<(u32, u32)> {
        self.order.split_off(self.order.len() - puts)
    }

    /// All puts, in order.
    pub fn puts(&self) -> impl Iterator<Item = (&str, Point)> {
        self.order.iter().map(|&place| self.put(place))
    }

    pub fn put(&self, place: (u32, u32)) -> (&str, Point) {
        let (series, place) = (place.0 as usize, place.1 as usize);
        (&self.keys[series], self.points[series][place])
    }
}

/// Another order, the same for the same seed (Fisher and Yates).
pub fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut random = SplitMix(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, random.within(0..last as i64 + 1) as usize);
    }
    items
}

/// 18 bytes, up to a million series.
pub fn key(series: usize) -> String {
    format!("host{series:06}.cpu.sys")
}
