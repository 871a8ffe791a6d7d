//! Gets over 1,000 series of 1,000 points: one series, all of them, and a reader that stalls.
//!
//! The first two share one filled server, because filling the slowest takes longer than the
//! rest. The third has its own: what an allocator has kept from an earlier `get *` would hide
//! what a stalled one takes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memchr_iter;

use crate::check;
use crate::footprint::memory_at_rest;
use crate::generator::{Generator, Interval, Reply, Until};
use crate::options::Options;
use crate::process;
use crate::report::Recorder;
use crate::servers::{Need, Running, Server};
use crate::workload::{self, KEYS, Point, Script};

pub const SERIES_TITLE: &str = "get, one series of 1,000 points, 8 connections";
pub const SERIES_ROWS: [&str; 5] = [
    "requests/s",
    "server CPU µs a request",
    "points/s of server CPU",
    "server busy, % of a core",
    "load generator busy, % of a core",
];

pub const ALL_TITLE: &str = "get *, 1 M points, 1 connection";
pub const ALL_ROWS: [&str; 5] = [
    "points/s",
    "points/s of server CPU",
    "seconds a reply",
    "server busy, % of a core",
    "load generator busy, % of a core",
];

pub const STALL_TITLE: &str = "get *, 1 M points, reader stalled, 50 others put";
pub const STALL_ROWS: [&str; 9] = [
    "memory growth by the reader, KiB",
    "growth by the puts before, KiB",
    "growth by the puts with it, KiB",
    "puts/s before",
    "puts/s with the stalled reader",
    "latency p99 before, µs",
    "latency p99 with it, µs",
    "latency longest before, µs",
    "latency longest with it, µs",
];

const POINTS_A_SERIES: usize = 1_000;
const POINTS: usize = KEYS * POINTS_A_SERIES;
const SERIES_CONNECTIONS: usize = 8;
const PUT_CONNECTIONS: usize = 50;
const WARM_UP: Duration = Duration::from_millis(150);
const READ_BUFFER_BYTES: usize = 256 << 10;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

pub fn measure(
    server: &Server,
    running: &Running,
    options: &Options,
    recorder: &mut Recorder,
) -> Result<(), String> {
    fill(server, running)?;
    check_series(server, running)?;
    if options.wants_any(SERIES_TITLE, &SERIES_ROWS) {
        measure_series(server, running, options, recorder)?;
    }
    if options.wants_any(ALL_TITLE, &ALL_ROWS) {
        measure_all(server, running, options, recorder)?;
    }
    Ok(())
}

/// Puts the points as fast as the server takes them, in the order of time in each series.
fn fill(server: &Server, running: &Running) -> Result<(), String> {
    let (connections, batch) = match server.can(Need::Pipelining) {
        true => (1, KEYS),
        false => (PUT_CONNECTIONS, 1),
    };
    let script = |connection| {
        let keys = workload::keys_of(connection, connections);
        Script::ring(server.dialect, keys, POINTS_A_SERIES, batch, 0)
    };
    let scripts = (0..connections).map(script).collect();
    let reply = Reply::constant(server.dialect.put_reply);
    let batches = (POINTS / connections / batch) as u64;
    let mut generator = Generator::connect(running, scripts, reply)?;
    let run = generator.run(Until::BatchesOfEach(batches))?;
    match run.requests == POINTS as u64 {
        true => Ok(()),
        false => Err(format!("{} puts instead of {POINTS}", run.requests)),
    }
}

/// What a get of one whole series returns, byte for byte.
fn check_series(server: &Server, running: &Running) -> Result<(), String> {
    let key = workload::key(KEYS / 2);
    let values = workload::walk(KEYS / 2, POINTS_A_SERIES);
    let point = |(pass, value)| Point {
        key: key.clone(),
        value,
        timestamp: workload::timestamp(pass),
    };
    let points: Vec<Point> = values.into_iter().enumerate().map(point).collect();
    let reply = (server.dialect.get_reply)(&points);
    let mut streams = running.connect(1)?;
    check::expect(&mut streams[0], &(server.dialect.get)(&key), &reply)
}

fn measure_series(
    server: &Server,
    running: &Running,
    options: &Options,
    recorder: &mut Recorder,
) -> Result<(), String> {
    let script = |connection: usize| {
        let key = workload::key(workload::keys_of(connection, SERIES_CONNECTIONS).start);
        Script::repeating((server.dialect.get)(&key))
    };
    let scripts = (0..SERIES_CONNECTIONS).map(script).collect();
    let reply = Reply::Newlines((server.dialect.get_reply_newlines)(POINTS_A_SERIES));
    let mut generator = Generator::connect(running, scripts, reply)?;
    generator.run(Until::Elapsed(WARM_UP))?;
    let until = Until::Elapsed(options.interval);
    let interval = Interval::measure(running, &mut generator, until)?;
    let values = [
        interval.run.requests_per_second(),
        interval.server_micros_a_request(),
        points_a_cpu_second(&interval, POINTS_A_SERIES),
        interval.server_percent(),
        interval.generator_percent(),
    ];
    recorder.record(SERIES_TITLE, &SERIES_ROWS, &values);
    recorder.note(SERIES_TITLE, &interval);
    Ok(())
}

fn measure_all(
    server: &Server,
    running: &Running,
    options: &Options,
    recorder: &mut Recorder,
) -> Result<(), String> {
    let scripts = vec![Script::repeating(server.dialect.get_all.to_vec())];
    let reply = Reply::Newlines((server.dialect.get_reply_newlines)(POINTS));
    let mut generator = Generator::connect(running, scripts, reply)?;
    let until = Until::Elapsed(options.interval);
    let interval = Interval::measure(running, &mut generator, until)?;
    let replies_a_second = interval.run.requests_per_second();
    let values = [
        replies_a_second * POINTS as f64,
        points_a_cpu_second(&interval, POINTS),
        1.0 / replies_a_second,
        interval.server_percent(),
        interval.generator_percent(),
    ];
    recorder.record(ALL_TITLE, &ALL_ROWS, &values);
    recorder.note(ALL_TITLE, &interval);
    Ok(())
}

fn points_a_cpu_second(interval: &Interval, points_a_reply: usize) -> f64 {
    (interval.run.requests * points_a_reply as u64) as f64 / interval.server.running.as_secs_f64()
}

/// Puts by others, first alone, then beside a client that asked for everything and reads
/// nothing. The store grows by the puts in either, in steps as its buffers double; what should
/// not show is a growth that comes only beside the reader.
pub fn measure_stall(
    server: &Server,
    running: &Running,
    options: &Options,
    recorder: &mut Recorder,
) -> Result<(), String> {
    fill(server, running)?;
    let dialect = server.dialect;
    let scripts = Script::puts_for_all(dialect, PUT_CONNECTIONS, 1, POINTS_A_SERIES);
    let reply = Reply::constant(dialect.put_reply);
    let mut others = Generator::connect(running, scripts, reply)?;
    let warm_up = others.run(Until::Elapsed(WARM_UP))?;
    let until = Until::Elapsed(options.interval);

    let memory_first = written_bytes(running)?;
    let before = Interval::measure(running, &mut others, until)?;
    let memory_before = written_bytes(running)?;

    let points = POINTS + (warm_up.requests + before.run.requests) as usize;
    let mut reader = running.connect(1)?.remove(0);
    reader
        .write_all(dialect.get_all)
        .map_err(|error| format!("cannot ask for everything: {error}"))?;
    let memory_stalled = written_bytes(running)?;
    let with = Interval::measure(running, &mut others, until)?;
    let memory_after = written_bytes(running)?;
    drain(&mut reader, (dialect.get_reply_newlines)(points))?;

    let values = [
        (memory_stalled - memory_before) / 1024.0,
        (memory_before - memory_first) / 1024.0,
        (memory_after - memory_stalled) / 1024.0,
        before.run.requests_per_second(),
        with.run.requests_per_second(),
        before.run.latency_micros(0.99),
        with.run.latency_micros(0.99),
        before.run.latency_micros(1.0),
        with.run.latency_micros(1.0),
    ];
    recorder.record(STALL_TITLE, &STALL_ROWS, &values);
    recorder.note(STALL_TITLE, &before);
    recorder.note(STALL_TITLE, &with);
    Ok(())
}

fn written_bytes(running: &Running) -> Result<f64, String> {
    memory_at_rest(running)?;
    Ok(process::memory(running.process_id)?.written_bytes as f64)
}

/// Reads the stalled reply at last. It holds what was stored when it was asked for, to the
/// point, and nothing of what was put since.
fn drain(reader: &mut TcpStream, newlines: usize) -> Result<(), String> {
    let begin = Instant::now();
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut seen = 0;
    reader
        .set_read_timeout(Some(DRAIN_TIMEOUT))
        .map_err(|error| format!("no timeout: {error}"))?;
    while seen < newlines && begin.elapsed() < DRAIN_TIMEOUT {
        match reader.read(&mut buffer) {
            Ok(0) => return Err("the stalled reader was cut off".into()),
            Ok(count) => seen += memchr_iter(b'\n', &buffer[..count]).count(),
            Err(error) => return Err(format!("the stalled reader: {error}")),
        }
    }
    match seen == newlines && buffer_ends_a_reply(reader) {
        true => Ok(()),
        false => Err(format!(
            "{seen} lines for the stalled reader, not {newlines}"
        )),
    }
}

/// Nothing may follow a whole reply.
fn buffer_ends_a_reply(reader: &mut TcpStream) -> bool {
    let silence = Duration::from_millis(20);
    let outcome = reader
        .set_read_timeout(Some(silence))
        .and_then(|()| reader.read(&mut [0]));
    outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}
