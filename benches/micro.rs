//! What a put and a point of a reply take before and after the store, step by step.
//!
//!     cargo bench --bench micro
//!
//! How the store alone puts and reads: cargo bench --bench store -- --alone. The whole way of a byte:
//! cargo bench --bench versus, by the processor time of pipelined puts and of `get *`.
//!
//! Each bench checks its result before it is timed, and states its throughput.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use metricd::internals::request::{self, Request};
use metricd::internals::{NUMBER_ROOM_BYTES, float};

const LINES: usize = 1_000;

/// A two-decimal value that walks up and down by less than one.
fn value(place: usize) -> f64 {
    (place * 7_919 % 101 + 5_000 + place % 64) as f64 / 100.0
}

/// Checks what the work returns, then times it.
fn time<T: PartialEq + std::fmt::Debug>(
    criterion: &mut Criterion,
    name: &str,
    expected: T,
    mut work: impl FnMut() -> T,
) {
    assert_eq!(work(), expected, "{name}");
    let mut group = criterion.benchmark_group("micro");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut work));
}

fn requests(criterion: &mut Criterion) {
    let line = |place| {
        let timestamp = 1_500_000_000 + 10 * place;
        format!(
            "put host{:05}.cpu.user {:.2} {timestamp}",
            place % 100,
            value(place)
        )
    };
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let parse = |line: &String| {
        matches!(
            request::parse(black_box(line.as_bytes())),
            Ok(Request::Put { .. })
        )
    };
    let puts = || lines.iter().filter(|line| parse(line)).count();
    time(criterion, "parse a put", LINES, puts);
}

/// Texts, and what reads and writes them.
fn numbers(criterion: &mut Criterion) {
    let mut room = [0; NUMBER_ROOM_BYTES];
    for (name, divisor) in [("two decimals", 1.0), ("17 digits", 3.0)] {
        let values: Vec<f64> = (0..LINES).map(|place| value(place) / divisor).collect();
        let texts: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        let (sum, bytes) = (values.iter().sum::<f64>(), texts.concat().len());
        let parse = |text: &String| float::parse(black_box(text.as_bytes()));
        let read = || texts.iter().filter_map(parse).sum::<f64>();
        time(criterion, &format!("read {name}"), sum, read);
        let mut print = |&value: &f64| float::write(&mut room, black_box(value));
        let write = || values.iter().map(&mut print).sum::<usize>();
        time(criterion, &format!("print {name}"), bytes, write);
    }
}

criterion_group!(benches, requests, numbers);
criterion_main!(benches);
