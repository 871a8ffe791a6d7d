//! What the time goes to, step by step on the way of a byte.
//!
//!     cargo bench --bench micro
//!
//! How the store alone puts and reads: cargo bench --bench store -- --alone
//!
//! Each bench checks its result before it is timed, and states its throughput.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metricd::internals::request::{self, Request};
use metricd::internals::{Allowance, Environment, Executor, LineBuffer, Room, Turn};
use metricd::internals::{NUMBER_ROOM_BYTES, float};
use metricd::{Counts, Store};

const SERIES: usize = 100;

/// Points of each series: more than a head takes, so that puts seal blocks now and then.
const POINTS: usize = 1_000;

const LINES: usize = SERIES * POINTS;
const BUFFER_BYTES: usize = 64 << 10;

/// A two-decimal value that walks up and down by less than one.
fn value(series: usize, place: usize) -> f64 {
    ((series * 7 + place) * 7_919 % 101 + 5_000 + place % 64) as f64 / 100.0
}

/// The points of all series in turn.
fn points() -> impl Iterator<Item = (String, i64, f64)> {
    (0..LINES).map(|number| {
        let (place, series) = (number / SERIES, number % SERIES);
        let (key, timestamp) = (
            format!("host{series:05}.cpu.user"),
            1_500_000_000 + 10 * place as i64,
        );
        (key, timestamp, value(series, place))
    })
}

/// One put a line.
fn lines() -> Vec<u8> {
    let line = |(key, timestamp, value)| format!("put {key} {value:.2} {timestamp}\n");
    points().map(line).collect::<String>().into_bytes()
}

/// Checks what the work returns, then times it.
fn time<T: PartialEq + std::fmt::Debug>(
    criterion: &mut Criterion,
    name: &str,
    elements: usize,
    expected: T,
    mut work: impl FnMut() -> T,
) {
    assert_eq!(work(), expected, "{name}");
    let (group, name) = name.split_once(": ").expect("a group and a name");
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut work));
}

/// Hands the lines to `take`, as many as one read brings.
fn each_read(mut input: &[u8], mut take: impl FnMut(&mut LineBuffer)) {
    let mut buffer = LineBuffer::new(BUFFER_BYTES, BUFFER_BYTES);
    while buffer.read_from(&mut input, usize::MAX).expect("a slice").0 > 0 {
        take(&mut buffer);
    }
}

fn parse(criterion: &mut Criterion) {
    let input = lines();
    let lines: Vec<&[u8]> = input
        .trim_ascii_end()
        .split(|&byte| byte == b'\n')
        .collect();
    let is_put = |line: &&&[u8]| matches!(request::parse(black_box(line)), Ok(Request::Put { .. }));
    let puts = || lines.iter().filter(is_put).count();
    time(criterion, "parse: puts", LINES, LINES, puts);
}

/// Texts, and what reads and writes them.
fn numbers(criterion: &mut Criterion) {
    let values: Vec<f64> = (0..POINTS).map(|place| value(3, place)).collect();
    let long: Vec<f64> = values.iter().map(|value| value / 3.0).collect();
    let mut room = [0; NUMBER_ROOM_BYTES];
    for (name, values) in [("two decimals", &values), ("17 digits", &long)] {
        let texts: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        let (sum, bytes) = (values.iter().sum::<f64>(), texts.concat().len());
        let parse = |text: &String| float::parse(black_box(text.as_bytes()));
        let read = || texts.iter().filter_map(parse).sum::<f64>();
        time(
            criterion,
            &format!("numbers: read, {name}"),
            POINTS,
            sum,
            read,
        );
        let mut print = |&value: &f64| float::write(&mut room, black_box(value));
        let write = || values.iter().map(&mut print).sum::<usize>();
        time(
            criterion,
            &format!("numbers: print, {name}"),
            POINTS,
            bytes,
            write,
        );
    }
}

/// A turn whose allowance does not end.
fn lend(store: &mut Store, replies: &mut Vec<u8>, session: impl FnOnce(&mut Turn)) {
    let time = Duration::from_secs(1_000);
    session(&mut Turn {
        store,
        replies,
        full_at: 1 << 30,
        allowance: &mut Allowance::new(usize::MAX, 1 << 30, time, Instant::now),
        is_answered: true,
        recorder: None,
        room: &mut Room::default(),
        counts: &mut Counts::default(),
        kept_room_bytes: usize::MAX,
        environment: &Environment::default(),
        is_postponed: false,
    });
}

fn reply(criterion: &mut Criterion) {
    let (mut store, mut out) = (Store::new(), Vec::new());
    for (key, timestamp, value) in points() {
        store.put(&key, timestamp, value);
    }
    let line = |(key, timestamp, value)| format!("{key} {value:?} {timestamp}\n").len();
    let bytes = points().map(line).sum::<usize>() + "ok\n\n".len();
    time(criterion, "reply: get *", LINES, bytes, || {
        out.clear();
        lend(&mut store, &mut out, |turn| {
            drop(Executor::new(turn).execute(b"get *"))
        });
        out.len()
    });
}

/// The whole way of a put but for the socket.
fn execute(criterion: &mut Criterion) {
    let input = lines();
    let bytes = LINES * "ok\n\n".len();
    time(criterion, "execute: puts", LINES, bytes, || {
        let (mut store, mut out) = (Store::new(), Vec::new());
        each_read(&input, |buffer| {
            lend(&mut store, &mut out, |turn| {
                let (mut executor, mut lines) = (Executor::new(turn), buffer.lines());
                while executor.execute_next(&mut lines).is_some() {}
            });
        });
        out.len()
    });
}

criterion_group!(benches, parse, numbers, reply, execute);
criterion_main!(benches);
