//! memcached's text protocol: the newest point of a series is the value of its key.

use super::{Dialect, Get, TimestampPlaces, append, two_decimals};
use crate::workload::{Hundredths, Point};

pub const MEMCACHED: Dialect = Dialect {
    put,
    put_reply: b"STORED\r\n",
    put_again_reply: b"STORED\r\n",
    get: Some(Get {
        request: |key| format!("get {key}\r\n").into_bytes(),
        reply,
        newlines: |points| 2 * points + 1,
    }),
    get_all: None,
};

fn put(bytes: &mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> TimestampPlaces {
    let value = two_decimals(value);
    let length = format!("{value} {timestamp}").len();
    append(bytes, format_args!("set {key} 0 0 {length}\r\n{value} "));
    let timestamp_at = bytes.len();
    append(bytes, format_args!("{timestamp}\r\n"));
    [timestamp_at; 2]
}

fn reply(points: &[Point]) -> Vec<u8> {
    let mut reply = Vec::new();
    for point in points {
        let data = format!("{} {}", two_decimals(point.value), point.timestamp);
        let (key, length) = (&point.key, data.len());
        append(
            &mut reply,
            format_args!("VALUE {key} 0 {length}\r\n{data}\r\n"),
        );
    }
    reply.extend_from_slice(b"END\r\n");
    reply
}
