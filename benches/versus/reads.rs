//! Cases over 1,000 series of 1,000 points: what a point weighs, gets of one series and of all,
//! puts by others meanwhile, and a reader that stalls.
//!
//! They share one filled server, because filling the slowest takes longer than the rest. What
//! an allocator keeps from an earlier `get *` would hide what a stalled one takes, so that its
//! memory is looked at before any other is asked for.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memchr_iter;

use crate::blocks::{self, Block};
use crate::dialect::GetAllEnd;
use crate::fill::fill;
use crate::footprint::{self, memory_at_rest};
use crate::generator::{Generator, Load, READ_BUFFER_BYTES, Run, Until};
use crate::interval::Interval;
use crate::puts::WARM_UP;
use crate::reply::Reply;
use crate::report::Setup;
use crate::workload::{self, KEYS, POINTS, POINTS_A_SERIES, Script};

const SERIES_CONNECTIONS: usize = 8;
const PUT_CONNECTIONS: usize = 50;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

pub static BLOCKS: [&Block; 5] = [
    &blocks::POINT,
    &blocks::GET_SERIES,
    &blocks::GET_ALL,
    &blocks::OTHERS,
    &blocks::STALL,
];

/// One point more than the series hold: it was put before the store was weighed.
const POINTS_THERE: usize = POINTS + 1;

pub fn measure(setup: &mut Setup) -> Result<(), String> {
    fill_and_weigh(setup)?;
    let stalled = match setup.wants(&blocks::OTHERS) || setup.wants(&blocks::STALL) {
        true => Some(stalled_growth(setup)?),
        false => None,
    };
    if setup.wants(&blocks::GET_SERIES) {
        measure_series(setup)?;
    }
    if setup.wants(&blocks::GET_ALL) {
        measure_all(setup)?;
    }
    stalled.map_or(Ok(()), |growth| measure_others(setup, growth))
}

fn fill_and_weigh(setup: &mut Setup) -> Result<(), String> {
    // What the first client costs is no part of a point.
    let first = &mut setup.running.connect(1)?[0];
    footprint::put_first(setup.server, setup.running, first)?;
    let before = memory_at_rest(setup.running)?;
    fill(setup.server, setup.running, 0..KEYS, POINTS_A_SERIES)?;
    if setup.wants(&blocks::POINT) {
        let after = memory_at_rest(setup.running)?;
        let growth = after.resident_bytes as f64 - before.resident_bytes as f64;
        setup.record(&blocks::POINT, &[Some(growth / POINTS as f64)]);
    }
    Ok(())
}

fn measure_series(setup: &mut Setup) -> Result<(), String> {
    let get = setup.server.get()?;
    let load = |connection: usize| {
        let key = workload::share(0..KEYS, connection, SERIES_CONNECTIONS).start;
        let request = (get.request)(&workload::key(key));
        Load::counted(Script::repeating(request, (get.newlines)(POINTS_A_SERIES)))
    };
    let loads = (0..SERIES_CONNECTIONS).map(load).collect();
    let mut generator = Generator::connect(setup.running, loads)?;
    generator.run(Until::Elapsed(WARM_UP))?;
    let until = Until::Elapsed(setup.options.interval);
    let interval = Interval::measure(setup.running, &mut generator, until)?;
    setup.record_points(&blocks::GET_SERIES, &interval, POINTS_A_SERIES);
    Ok(())
}

fn measure_all(setup: &mut Setup) -> Result<(), String> {
    let loads = vec![Load::counted(get_all_script(setup)?)];
    let mut generator = Generator::connect(setup.running, loads)?;
    let until = Until::Elapsed(setup.options.interval);
    let interval = Interval::measure(setup.running, &mut generator, until)?;
    setup.record_points(&blocks::GET_ALL, &interval, POINTS);
    Ok(())
}

fn get_all_script(setup: &Setup) -> Result<Script, String> {
    let get_all = setup.server.get_all()?;
    let keys: Vec<String> = (0..KEYS).map(workload::key).collect();
    let newlines = (get_all.newlines)(POINTS_THERE);
    Ok(Script::repeating((get_all.request)(&keys), newlines))
}

/// Puts by others: alone, then beside a client that asks for everything again as soon as it
/// has got it, then beside one that asked for everything and reads nothing.
fn measure_others(setup: &mut Setup, stalled_growth: f64) -> Result<(), String> {
    let dialect = setup.server.dialect;
    let scripts = Script::puts_for_all(dialect, PUT_CONNECTIONS, 1, POINTS_A_SERIES);
    let mut loads = Load::checked(scripts, dialect.put_reply);
    loads.push(reader(setup)?);
    let mut generator = Generator::connect(setup.running, loads)?;
    let warm_up = generator.run(Until::Elapsed(WARM_UP))?;
    let until = Until::Elapsed(setup.options.interval);
    let before = Interval::measure(setup.running, &mut generator, until)?;

    generator.runs_those_beside = true;
    let during = Interval::measure(setup.running, &mut generator, until)?;
    generator.runs_those_beside = false;

    let puts = warm_up.requests + before.run.requests + during.run.requests;
    let mut reader = ask_for_all(setup)?;
    memory_at_rest(setup.running)?;
    let stalled = Interval::measure(setup.running, &mut generator, until)?;
    drain(setup, &mut reader, POINTS_THERE + puts as usize)?;

    let points_read = during.run.batches_beside as f64 * POINTS as f64;
    let read = Some(points_read / during.run.elapsed_in_all.as_secs_f64());
    let [first, second, third] = [&before, &during, &stalled].map(|it| others_figures(&it.run));
    setup.record(&blocks::OTHERS, &[&first[..], &second, &[read]].concat());
    setup.record(
        &blocks::STALL,
        &[&[Some(stalled_growth)], &third[..]].concat(),
    );
    setup.note(&blocks::OTHERS, &before);
    setup.note(&blocks::OTHERS, &during);
    setup.note(&blocks::STALL, &stalled);
    Ok(())
}

fn others_figures(run: &Run) -> [Option<f64>; 3] {
    [
        Some(run.requests_per_second()),
        run.latency_micros(0.99),
        run.latency_micros(1.0),
    ]
}

/// Its replies grow with the puts, so that their end must be known by something else than
/// their length.
fn reader(setup: &Setup) -> Result<Load, String> {
    let reply = match setup.server.get_all()?.end {
        GetAllEnd::Newlines => Reply::Newlines,
        GetAllEnd::BlankLine => Reply::BlankLine {
            least_bytes: POINTS * LEAST_BYTES_A_POINT,
        },
    };
    Ok(Load::beside(get_all_script(setup)?, reply))
}

/// A line of a key of 18 bytes, a value, a timestamp of ten digits, two blanks, a newline.
const LEAST_BYTES_A_POINT: usize = 18 + 3 + 10 + 3;

/// What a server's written memory grows by when a client asks for everything and reads nothing.
fn stalled_growth(setup: &Setup) -> Result<f64, String> {
    let before = memory_at_rest(setup.running)?.written_bytes;
    let mut reader = ask_for_all(setup)?;
    let after = memory_at_rest(setup.running)?.written_bytes;
    drain(setup, &mut reader, POINTS_THERE)?;
    Ok((after as f64 - before as f64) / 1024.0)
}

fn ask_for_all(setup: &Setup) -> Result<TcpStream, String> {
    let script = get_all_script(setup)?;
    let mut stream = setup.running.connect(1)?.remove(0);
    stream
        .write_all(script.last_request())
        .map_err(|error| format!("cannot ask for everything: {error}"))?;
    Ok(stream)
}

/// Reads the stalled reply at last. It holds what was stored when it was asked for, to the
/// point, and nothing of what was put since.
fn drain(setup: &Setup, reader: &mut TcpStream, points: usize) -> Result<(), String> {
    let newlines = (setup.server.get_all()?.newlines)(points);
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
    match seen == newlines && is_silent(reader) {
        true => Ok(()),
        false => Err(format!(
            "{seen} lines for the stalled reader, not {newlines}"
        )),
    }
}

/// Nothing may follow a whole reply.
fn is_silent(reader: &mut TcpStream) -> bool {
    let silence = Duration::from_millis(20);
    let outcome = reader
        .set_read_timeout(Some(silence))
        .and_then(|()| reader.read(&mut [0]));
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
