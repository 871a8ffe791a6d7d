//! Redis, in two ways: the newest point as the value of a key (`SET`), and every point as a
//! member of a sorted set (`ZADD`), its timestamp both the score and, so that equal values
//! stay apart, a part of the member.

use super::{Dialect, Get, GetAll, GetAllEnd, TimestampPlaces, append, two_decimals};
use crate::workload::{Hundredths, KEYS, POINTS_A_SERIES, Point};

pub const REDIS_SET: Dialect = Dialect {
    put: set,
    put_reply: b"+OK\r\n",
    put_again_reply: b"+OK\r\n",
    get: Some(Get {
        request: |key| command(&["GET", key]),
        reply: |points| points.iter().flat_map(point_bulk).collect(),
        newlines: |points| 2 * points,
    }),
    get_all: None,
};

pub const REDIS_ZADD: Dialect = Dialect {
    put: zadd,
    put_reply: b":1\r\n",
    put_again_reply: b":0\r\n",
    get: Some(Get {
        request: zrange,
        reply: members,
        newlines: |points| 1 + 2 * points,
    }),
    get_all: Some(GetAll {
        request: |keys| keys.iter().flat_map(|key| zrange(key)).collect(),
        reply: |series| series.iter().flat_map(|points| members(points)).collect(),
        newlines: |_points| KEYS * (1 + 2 * POINTS_A_SERIES),
        end: GetAllEnd::Newlines,
    }),
};

fn set(bytes: &mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> TimestampPlaces {
    bytes.extend(command(&["SET", key, &data(value, timestamp)]));
    [timestamp_at_the_end(bytes, timestamp); 2]
}

fn zadd(bytes: &mut Vec<u8>, key: &str, value: Hundredths, timestamp: u64) -> TimestampPlaces {
    let member = data(value, timestamp);
    let score = timestamp.to_string();
    let member_bytes = bulk(&member).len();
    bytes.extend(command(&["ZADD", key, &score, &member]));
    let in_member = timestamp_at_the_end(bytes, timestamp);
    let score_end = bytes.len() - member_bytes;
    [
        timestamp_at_the_end(&bytes[..score_end], timestamp),
        in_member,
    ]
}

fn timestamp_at_the_end(bytes: &[u8], timestamp: u64) -> usize {
    bytes.len() - "\r\n".len() - timestamp.to_string().len()
}

/// The first points of a series only, as many as it is filled with: all of them, until others
/// put more beside the reader, who then still knows where a reply ends.
fn zrange(key: &str) -> Vec<u8> {
    command(&["ZRANGE", key, "0", &(POINTS_A_SERIES - 1).to_string()])
}

fn members(points: &[Point]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", points.len()).into_bytes();
    reply.extend(points.iter().flat_map(point_bulk));
    reply
}

fn point_bulk(point: &Point) -> Vec<u8> {
    bulk(&data(point.value, point.timestamp))
}

fn data(value: Hundredths, timestamp: u64) -> String {
    format!("{} {timestamp}", two_decimals(value))
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    bytes.extend(words.iter().flat_map(|word| bulk(word)));
    bytes
}

fn bulk(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&mut bytes, format_args!("${}\r\n{text}\r\n", text.len()));
    bytes
}
