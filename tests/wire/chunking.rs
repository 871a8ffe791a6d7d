//! Any chunking of the same bytes, with any limits, gives the same replies: those of a naive
//! oracle.
//!
//! The requests contain no blank lines, whose replies do depend on chunks (rule 9).

use std::time::Duration;

use metricd::Config;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::oracle::Oracle;
use crate::support::{Running, assert_same};

/// A request with its newline. Few keys and timestamps, so that series get several points, and points
/// are replaced.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let space = prop::sample::select(vec![" ", " ", " ", "\t", "  ", "\u{a0}\r"]);
    let key = prop::sample::select(vec![
        "a",
        "b",
        "*",
        "key",
        "ключ",
        "a-rather-long-key-of-it",
    ]);
    let value = (-2_000_i32..2_000).prop_map(|halves| f64::from(halves) / 2.0);
    let put = (space.clone(), key.clone(), value, -20_i64..20)
        .prop_map(|(space, key, value, at)| format!("put{space}{key} {value}{space}{at}\n").into());
    let get = (space, key).prop_map(|(space, key)| format!("{space}get {key}{space}\r\n").into());
    let wrong = prop::sample::select(vec![
        b"nonsense\n".to_vec(),
        b"put a 1\n".to_vec(),
        b"put a one 1\n".to_vec(),
        b"put a 1 1.5\n".to_vec(),
        b"get\n".to_vec(),
        b"GET a\n".to_vec(),
        b"put \xff 1 1\n".to_vec(),
        b"get \xe2\x82\n".to_vec(),
    ]);
    prop_oneof![
        8 => put,
        3 => get,
        1 => wrong,
        1 => ".{0,60}".prop_map(|line| format!("x{line}\n").into_bytes()),
    ]
}

fn requests(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(request(), count)
}

/// The lengths of the pieces that a stream is cut into, used over and over.
fn piece_lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![3 => 1_usize..4, 3 => 4_usize..40, 1 => 40_usize..3_000];
    prop::collection::vec(length, 1..30)
}

fn cut<'a>(mut stream: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(stream.len().min(*length));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// The same value every time, for streams that are too long to try many of them.
fn fixed<T>(strategy: impl Strategy<Value = T>) -> T {
    let tree = strategy.new_tree(&mut TestRunner::deterministic());
    tree.expect("generates").current()
}

fn replies_of(mut oracle: Oracle, requests: &[Vec<u8>]) -> Vec<u8> {
    let replies = requests.iter().map(|request| oracle.answer(request));
    replies.collect::<Vec<_>>().concat()
}

fn tight_limits() -> impl Strategy<Value = Config> {
    let read_buffer = prop::sample::select(vec![1_usize, 2, 3, 7, 64, 64 << 10]);
    let line_limit = prop::sample::select(vec![1_usize, 5, 10, 17, 30, 64 << 10]);
    let turn_micros = prop::sample::select(vec![0_u64, 5, 4_000]);
    let turn_reply = prop::sample::select(vec![1_usize, 10, 256 << 10]);
    let kept_limit = prop::sample::select(vec![0_usize, 64 << 20]);
    (read_buffer, line_limit, turn_micros, turn_reply, kept_limit).prop_map(
        |(read_buffer_bytes, line_limit_bytes, turn_micros, turn_reply_bytes, kept_limit_bytes)| {
            Config {
                read_buffer_bytes,
                line_limit_bytes,
                turn_time: Duration::from_micros(turn_micros),
                turn_reply_bytes,
                kept_limit_bytes,
                ..Config::default()
            }
        },
    )
}

#[test]
fn random_chunks_and_limits_give_the_replies_of_the_oracle() {
    let settings = ProptestConfig {
        cases: 100,
        // The message has the failing case. Nothing is written to the source tree.
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    };
    proptest!(settings, |(
        requests in requests(1..80_usize),
        lengths in piece_lengths(),
        config in tight_limits(),
    )| {
        let expected = replies_of(Oracle::with_line_limit(config.line_limit_bytes), &requests);
        let stream = requests.concat();
        let server = Running::start_with(config);
        let pieces = cut(&stream, &lengths);
        assert_same(&server.connect().converse(pieces.into_iter()), &expected);
    });
}

#[test]
fn a_long_stream_in_random_pieces_gives_the_replies_of_the_oracle() {
    let requests = fixed(requests(10_000));
    let stream = requests.concat();
    let expected = replies_of(Oracle::new(), &requests);
    let server = Running::start();
    let lengths = fixed(piece_lengths());
    // The first part byte by byte.
    let (bytes, rest) = stream.split_at(5_000);
    let pieces = bytes.chunks(1).chain(cut(rest, &lengths));
    assert_same(&server.connect().converse(pieces), &expected);
}

#[test]
fn a_long_stream_in_one_write_gives_the_replies_of_the_oracle() {
    let requests = fixed(requests(10_000));
    let expected = replies_of(Oracle::new(), &requests);
    for read_buffer_bytes in [1, 3, Config::READ_BUFFER_MAX_BYTES] {
        let server = Running::start_with(Config {
            read_buffer_bytes,
            ..Config::default()
        });
        let stream = requests.concat();
        let received = server.connect().converse([&stream[..]].into_iter());
        assert_same(&received, &expected);
    }
}

#[test]
fn one_request_at_a_time_gives_the_replies_of_the_oracle() {
    let server = Running::start();
    let mut client = server.connect();
    let mut oracle = Oracle::new();
    for request in fixed(requests(3_000)) {
        oracle.exchange(&mut client, &request);
    }
    assert_same(&client.finish(), b"");
}

#[test]
fn pieces_that_are_each_read_alone_give_the_replies_of_the_oracle() {
    let requests = fixed(requests(300));
    let stream = requests.concat();
    let expected = replies_of(Oracle::new(), &requests);
    let server = Running::start();
    let mut witness = server.connect();
    let lengths = fixed(piece_lengths());
    let pieces = cut(&stream, &lengths);
    // Before each piece, the server has had a turn in which to read the last one.
    let pieces = pieces.into_iter().inspect(|_| witness.wait_for_a_turn());
    assert_same(&server.connect().converse(pieces), &expected);
}
