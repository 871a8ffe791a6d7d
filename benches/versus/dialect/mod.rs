//! How a put and a get are said to a server, and what it answers.

mod graphite;
mod lines;
mod memcached;
mod redis;

use std::io::Write;

use crate::workload::{Hundredths, Point};

pub use graphite::GRAPHITE;
pub use lines::LINES;
pub use memcached::MEMCACHED;
pub use redis::{REDIS_SET, REDIS_ZADD};

pub struct Dialect {
    /// Appends a put; returns where its timestamp stands, in ten digits.
    pub put: fn(&mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> TimestampPlaces,
    /// Empty where puts are not answered.
    pub put_reply: &'static [u8],
    /// To a put of a point that is there already.
    pub put_again_reply: &'static [u8],
    pub get: Option<Get>,
    pub get_all: Option<GetAll>,
}

/// The two places of a put's timestamp, the same one twice where it is said once.
pub type TimestampPlaces = [usize; 2];

/// The points of one series. Where a server keeps one value a key, that is the only point.
pub struct Get {
    pub request: fn(key: &str) -> Vec<u8>,
    /// The exact reply to a get that found these points.
    pub reply: fn(&[Point]) -> Vec<u8>,
    /// Newlines of that reply: counting them is how its end is found at full speed.
    pub newlines: fn(points: usize) -> usize,
}

/// The points of all series.
pub struct GetAll {
    pub request: fn(keys: &[String]) -> Vec<u8>,
    pub reply: fn(series: &[Vec<Point>]) -> Vec<u8>,
    /// Newlines of that reply, by the points that the server keeps.
    pub newlines: fn(points: usize) -> usize,
    /// What ends a reply while the store grows and the number of its points is not known.
    pub end: GetAllEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GetAllEnd {
    /// The first blank line.
    BlankLine,
    /// So many newlines, however the store grows.
    Newlines,
}

/// The shortest digits with a decimal point: what Rust calls debug format.
fn shortest(value: Hundredths) -> String {
    format!("{:?}", f64::from(value) / 100.0)
}

/// Two decimals, as a client that formats a measurement would send it.
fn two_decimals(value: Hundredths) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

fn append(bytes: &mut Vec<u8>, text: std::fmt::Arguments) {
    bytes
        .write_fmt(text)
        .expect("a vector takes whatever is written to it");
}
