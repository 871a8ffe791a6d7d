//! What metricd and the asyncio reference speak.

use super::{Dialect, Get, GetAll, GetAllEnd, TimestampPlaces, append, shortest, two_decimals};
use crate::workload::{Hundredths, Point};

pub const LINES: Dialect = Dialect {
    put,
    put_reply: b"ok\n\n",
    put_again_reply: b"ok\n\n",
    get: Some(Get {
        request: |key| format!("get {key}\n").into_bytes(),
        reply,
        newlines: |points| points + 2,
    }),
    get_all: Some(GetAll {
        request: |_keys| b"get *\n".to_vec(),
        reply: |series| reply(&series.concat()),
        newlines: |points| points + 2,
        end: GetAllEnd::BlankLine,
    }),
};

fn put(bytes: &mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> TimestampPlaces {
    append(bytes, format_args!("put {key} {} ", two_decimals(value)));
    let timestamp_at = bytes.len();
    append(bytes, format_args!("{timestamp}\n"));
    [timestamp_at; 2]
}

fn reply(points: &[Point]) -> Vec<u8> {
    let mut reply = b"ok\n".to_vec();
    for point in points {
        let value = shortest(point.value);
        append(
            &mut reply,
            format_args!("{} {value} {}\n", point.key, point.timestamp),
        );
    }
    reply.push(b'\n');
    reply
}
