//! What the time goes to, step by step on the way of a byte.
//!
//!     cargo bench --bench micro
//!
//! Each bench checks its result before it is timed, and states its throughput.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metricd::internals::request::{self, Request};
use metricd::internals::{
    Allowance, Executor, Line, LineBuffer, NUMBER_ROOM_BYTES, Turn, float, integer,
};
use metricd::{Key, Put, Run, Store};

const SERIES: usize = 100;

/// Points of each series: more than a head takes, so that puts seal blocks now and then.
const POINTS: usize = 1_000;

/// As many as a head takes.
const HEAD_POINTS: usize = 160;

const LINES: u64 = (SERIES * POINTS) as u64;

/// A two-decimal value that walks up and down by less than one.
fn value(series: usize, place: usize) -> f64 {
    ((series * 7 + place) * 7_919 % 101 + 5_000 + place % 64) as f64 / 100.0
}

fn timestamp(place: usize) -> i64 {
    1_500_000_000 + 10 * place as i64
}

fn keys() -> Vec<String> {
    (0..SERIES)
        .map(|series| format!("host{series:05}.cpu.user"))
        .collect()
}

/// One put a line, all series in turn.
fn lines() -> Vec<u8> {
    let keys = keys();
    let line = |place, series: usize| {
        format!(
            "put {} {:.2} {}\n",
            keys[series],
            value(series, place),
            timestamp(place)
        )
    };
    let lines = (0..POINTS).flat_map(|place| (0..SERIES).map(move |series| line(place, series)));
    lines.collect::<String>().into_bytes()
}

fn filled() -> Store {
    let (mut store, keys) = (Store::new(), keys());
    for place in 0..POINTS {
        for (series, key) in keys.iter().enumerate() {
            store.put(key, timestamp(place), value(series, place));
        }
    }
    store
}

fn split(criterion: &mut Criterion) {
    let input = lines();
    let count = || {
        let mut buffer = LineBuffer::new(64 << 10, 64 << 10);
        let (mut source, mut count) = (&input[..], 0);
        while buffer
            .read_from(&mut source, usize::MAX)
            .expect("a slice")
            .0
            > 0
        {
            count += buffer
                .lines()
                .filter(|line| matches!(line, Line::Whole(_)))
                .count();
        }
        count as u64
    };
    assert_eq!(count(), LINES);
    let mut group = criterion.benchmark_group("split");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("lines of puts", |bencher| bencher.iter(count));
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    let input = lines();
    let lines: Vec<&[u8]> = input
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let sum = || {
        lines
            .iter()
            .fold(0.0, |sum, line| match request::parse(black_box(line)) {
                Ok(Request::Put(put)) => sum + put.value,
                _ => f64::NAN,
            })
    };
    assert!(sum() > 0.0);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("puts", |bencher| bencher.iter(sum));
    group.finish();
}

/// Texts, and what reads and writes them.
fn numbers(criterion: &mut Criterion) {
    let values: Vec<f64> = (0..POINTS).map(|place| value(3, place)).collect();
    let long: Vec<f64> = values.iter().map(|value| value / 3.0).collect();
    let timestamps: Vec<i64> = (0..POINTS).map(timestamp).collect();
    let mut group = criterion.benchmark_group("numbers");
    group.throughput(Throughput::Elements(POINTS as u64));
    for (name, values) in [("two decimals", &values), ("17 digits", &long)] {
        let texts: Vec<String> = values.iter().map(f64::to_string).collect();
        let read = || {
            texts
                .iter()
                .filter_map(|text| float::parse(black_box(text.as_bytes())))
                .sum::<f64>()
        };
        assert_eq!(read(), values.iter().sum::<f64>());
        group.bench_function(format!("read, {name}"), |bencher| bencher.iter(read));
        let mut room = [0; NUMBER_ROOM_BYTES];
        let mut write = || {
            values
                .iter()
                .map(|&value| float::write(&mut room, black_box(value)))
                .sum::<usize>()
        };
        assert!(write() >= values.len() * "1.5".len());
        group.bench_function(format!("print, {name}"), |bencher| bencher.iter(&mut write));
    }
    let texts: Vec<String> = timestamps.iter().map(i64::to_string).collect();
    let read = || {
        texts
            .iter()
            .filter_map(|text| integer::parse(black_box(text.as_bytes())))
            .sum::<i64>()
    };
    assert_eq!(read(), timestamps.iter().sum::<i64>());
    group.bench_function("read, timestamps", |bencher| bencher.iter(read));
    let mut room = [0; NUMBER_ROOM_BYTES];
    let mut write = || {
        timestamps
            .iter()
            .map(|&value| integer::write(&mut room, black_box(value)))
            .sum::<usize>()
    };
    assert_eq!(write(), texts.iter().map(String::len).sum::<usize>());
    group.bench_function("print, timestamps", |bencher| bencher.iter(&mut write));
    group.finish();
}

fn put(criterion: &mut Criterion) {
    let keys = keys();
    let puts: Vec<Put> = (0..POINTS)
        .flat_map(|place| (0..SERIES).map(move |series| (place, series)))
        .map(|(place, series)| Put {
            key: Key::from(&keys[series][..]),
            timestamp: timestamp(place),
            value: value(series, place),
        })
        .collect();
    let put_all = || {
        let mut store = Store::new();
        store.put_all(&puts);
        store
    };
    assert_eq!(put_all().point_count() as u64, LINES);
    let mut group = criterion.benchmark_group("put");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("in order, sealed every 160 points", |bencher| {
        bencher.iter(put_all)
    });
    group.finish();
}

/// One more point to a series whose head is full: of a store, that is so of the first series.
fn seal(criterion: &mut Criterion) {
    let full_head = || {
        let mut store = Store::new();
        for place in 0..HEAD_POINTS {
            store.put("host", timestamp(place), value(0, place));
        }
        store
    };
    let put = |store: &mut Store| store.put("host", timestamp(HEAD_POINTS), 50.0);
    let (mut sealed, full) = (full_head(), full_head());
    put(&mut sealed);
    assert_eq!(sealed.point_count(), HEAD_POINTS + 1);
    assert!(sealed.allocated_bytes() < full.allocated_bytes());
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(HEAD_POINTS as u64));
    group.bench_function("a full head", |bencher| {
        bencher.iter_batched_ref(full_head, put, BatchSize::SmallInput)
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let store = filled();
    let mut count = || {
        let (mut snapshot, mut run, mut count) = (store.snapshot_all(), Run::new(), 0);
        while let Ok(Some(_)) = snapshot.next_run(&store, &mut run) {
            count += black_box(run.timestamps()).len() as u64;
        }
        count
    };
    assert_eq!(count(), LINES);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("all points", |bencher| bencher.iter(&mut count));
    group.finish();
}

/// A turn with an allowance that does not end.
fn lend(store: &mut Store, replies: &mut Vec<u8>, session: impl FnOnce(&mut Turn)) {
    let time = Duration::from_secs(1_000);
    let mut allowance = Allowance::new(usize::MAX, 1 << 30, time, Instant::now);
    session(&mut Turn {
        store,
        replies,
        allowance: &mut allowance,
        has_put: false,
    });
}

fn reply(criterion: &mut Criterion) {
    let mut store = filled();
    let mut get_all = |out: &mut Vec<u8>| {
        out.clear();
        lend(&mut store, out, |turn| {
            let _answer = Executor::new(turn).execute(b"get *");
        });
    };
    let mut out = Vec::new();
    get_all(&mut out);
    let lines = out.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert_eq!(lines, LINES + 2);
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("get *", |bencher| bencher.iter(|| get_all(&mut out)));
    group.finish();
}

/// The whole way of a put but for the socket.
fn execute(criterion: &mut Criterion) {
    let input = lines();
    let run = || {
        let (mut store, mut out) = (Store::new(), Vec::new());
        let mut buffer = LineBuffer::new(64 << 10, 64 << 10);
        let mut source = &input[..];
        while buffer
            .read_from(&mut source, usize::MAX)
            .expect("a slice")
            .0
            > 0
        {
            lend(&mut store, &mut out, |turn| {
                let mut executor = Executor::new(turn);
                for line in buffer.lines() {
                    if let Line::Whole(line) = line {
                        let _answer = executor.execute(line);
                    }
                }
            });
        }
        out.len() as u64
    };
    assert_eq!(run(), LINES * "ok\n\n".len() as u64);
    let mut group = criterion.benchmark_group("execute");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("puts", |bencher| bencher.iter(run));
    group.finish();
}

criterion_group!(
    benches, split, parse, numbers, put, seal, decode, reply, execute
);
criterion_main!(benches);
