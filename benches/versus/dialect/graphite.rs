//! Graphite plaintext: a line a point, and no reply to any.

use super::{Dialect, TimestampPlaces, append, two_decimals};
use crate::workload::Hundredths;

pub const GRAPHITE: Dialect = Dialect {
    put,
    put_reply: b"",
    put_again_reply: b"",
    get: None,
    get_all: None,
};

fn put(bytes: &mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> TimestampPlaces {
    append(bytes, format_args!("{key} {} ", two_decimals(value)));
    let timestamp_at = bytes.len();
    append(bytes, format_args!("{timestamp}\n"));
    [timestamp_at; 2]
}
