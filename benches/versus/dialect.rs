//! How a put and a get are said to a server, and what it answers.

use std::io::Write;

use crate::workload::{Hundredths, Point};

pub struct Dialect {
    /// Appends a put; returns where its timestamp begins, in ten digits.
    pub put: fn(&mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> usize,
    pub put_reply: &'static [u8],
    pub get: fn(key: &str) -> Vec<u8>,
    pub get_all: &'static [u8],
    /// The exact reply to a get that found these points.
    pub get_reply: fn(&[Point]) -> Vec<u8>,
    /// Newlines of that reply: counting them is how its end is found at full speed.
    pub get_reply_newlines: fn(points: usize) -> usize,
}

/// What metricd and the asyncio reference speak.
pub const LINES: Dialect = Dialect {
    put: put_line,
    put_reply: b"ok\n\n",
    get: |key| format!("get {key}\n").into_bytes(),
    get_all: b"get *\n",
    get_reply: lines_reply,
    get_reply_newlines: |points| points + 2,
};

fn put_line(bytes: &mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> usize {
    let (whole, hundredths) = (value / 100, value % 100);
    append(bytes, format_args!("put {key} {whole}.{hundredths:02} "));
    let timestamp_at = bytes.len();
    append(bytes, format_args!("{timestamp}\n"));
    timestamp_at
}

fn lines_reply(points: &[Point]) -> Vec<u8> {
    let mut reply = b"ok\n".to_vec();
    for point in points {
        // The shortest digits with a decimal point: what Rust calls debug format.
        let value = f64::from(point.value) / 100.0;
        append(
            &mut reply,
            format_args!("{} {value:?} {}\n", point.key, point.timestamp),
        );
    }
    reply.push(b'\n');
    reply
}

fn append(bytes: &mut Vec<u8>, text: std::fmt::Arguments) {
    bytes
        .write_fmt(text)
        .expect("a vector takes whatever is written to it");
}
