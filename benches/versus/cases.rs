//! The cases: what is measured of one server that was started for it.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use crate::check::fill;
use crate::generator::{Generator, Reply, Run};
use crate::report::{Block, Setup};
use crate::servers::{Need, Running};
use crate::support::client::Client;
use crate::support::series;
use crate::workload::{self, KEYS, POINTS, POINTS_A_SERIES, RING_PASSES, Script};
use Need::{Answering, Keeping, Pipelining, Reading};

const WARM_UP: Duration = Duration::from_millis(150);
const MIX_POINTS_A_GET: usize = 100;
const IDLE_CONNECTIONS: usize = 5_000;
const SERIES_CONNECTIONS: usize = 8;
/// Of the mix, and of those who put while others read.
const PUT_CONNECTIONS: usize = 50;

/// Rate, latency, processor time in user mode and in the kernel, and how noisy it was.
const TIMED: &str = "a second ↑|p50, µs|p99 ↓|p99.9|longest|CPU, ns each ↓|user|system\
                     |generator, %|waiting, %";
const DURING: &str = "before: puts/s|p99, µs|longest|during: puts/s ↑|p99, µs ↓|longest\
                      |points/s read";
const STARTED: &str = "resident, KiB ↓|of it private|private and written";
const OF_ONE: &str = "that never spoke, bytes ↓|after one put, bytes ↓";

/// Columns of these.
pub const RATE: usize = 0;
pub const CPU: usize = 5;
pub const P99_DURING: usize = 4;
pub const AFTER_ONE_PUT: usize = 1;

const BOTH: &[Need] = &[Answering, Reading];

const fn block(title: &'static str, needs: &'static [Need], columns: &'static str) -> Block {
    Block {
        title,
        needs,
        columns,
    }
}

pub static PUT_1: Block = block("put, 1 connection", &[Answering], TIMED);
pub static PUT_50: Block = block("put, 50 connections", &[Answering], TIMED);
pub static PUT_1000: Block = block("put, 1,000 connections", &[Answering], TIMED);
pub static PIPELINED_8: Block = block("put, pipelined, 8 x 100", &[Pipelining], TIMED);
pub static PIPELINED_1: Block = block("put, pipelined, 1 x 1,000", &[Pipelining], TIMED);
pub static PIPELINED_4: Block = block("put, pipelined, 4 x 100", &[Pipelining], TIMED);
pub static MIX: Block = block("nine puts to a get, 50 connections", BOTH, TIMED);
pub static GET_SERIES: Block = block("get, 1,000 points, 8 connections", &[Reading], TIMED);
pub static GET_ALL: Block = block("get *, 1 M points, 1 connection", &[Reading], TIMED);
pub static OTHERS: Block = block("puts by 50 others during get *", BOTH, DURING);
pub static START: Block = block("memory at the start", &[], STARTED);
pub static IDLE: Block = block("memory of an idle connection", &[], OF_ONE);
pub static POINT: Block = block("memory of a point", &[Keeping], "resident growth, bytes ↓");

/// What is measured of one started server, and the blocks that it fills.
pub struct Case {
    pub blocks: &'static [&'static Block],
    pub measure: fn(&mut Setup) -> Result<()>,
}

const fn case(blocks: &'static [&'static Block], measure: fn(&mut Setup) -> Result<()>) -> Case {
    Case { blocks, measure }
}

pub static CASES: [Case; 10] = [
    case(&[&PUT_1], |setup| puts(setup, &PUT_1, 1, 1)),
    case(&[&PUT_50], |setup| puts(setup, &PUT_50, 50, 1)),
    case(&[&PUT_1000], |setup| puts(setup, &PUT_1000, 1_000, 1)),
    case(&[&PIPELINED_8], |setup| puts(setup, &PIPELINED_8, 8, 100)),
    case(&[&PIPELINED_1], |setup| puts(setup, &PIPELINED_1, 1, 1_000)),
    case(&[&PIPELINED_4], |setup| puts(setup, &PIPELINED_4, 4, 100)),
    case(&[&MIX], mix),
    case(&[&GET_SERIES, &GET_ALL, &OTHERS, &POINT], reads),
    case(&[&START], start),
    case(&[&IDLE], idle),
];

/// Puts by so many connections, each sending so many at once; 1 is unpipelined.
fn puts(setup: &mut Setup, block: &'static Block, connections: usize, batch: usize) -> Result<()> {
    let generator = putting(setup.running, connections, batch, 0)?;
    time(setup, block, generator, 1)
}

/// Each connection owns its share of the series, so that the points of a series arrive in order
/// whichever connection is served first.
fn putting(
    running: &Running,
    connections: usize,
    batch: usize,
    first_pass: i64,
) -> Result<Generator<'_>> {
    let dialect = running.server.dialect;
    let mut generator = Generator::new(running)?;
    let reply = Rc::new(Reply::same(dialect.put_reply(false)));
    for connection in 0..connections {
        let keys = workload::share(0..KEYS, connection, connections);
        let script = Script::puts(dialect, keys, batch, first_pass);
        generator.add(script, &reply, false)?;
    }
    Ok(generator)
}

fn time(
    setup: &mut Setup,
    block: &'static Block,
    mut generator: Generator,
    points: usize,
) -> Result<()> {
    generator.run(WARM_UP, false)?;
    let run = generator.run(setup.interval(), false)?;
    let points = (run.requests * points) as f64;
    let nanos = run.server_cpu.running * 1e9 / points;
    let user = (run.server_cpu.user * 1e9 / points).min(nanos);
    let latencies = [0.5, 0.99, 0.999, 1.0].map(|part| run.latency_micros(part));
    let waiting = run.own_cpu.waiting.max(run.server_cpu.waiting);
    let percent = [run.own_cpu.running, waiting].map(|time| 100.0 * time / run.seconds_in_all);
    let (rate, cpu) = ([points / run.seconds], [nanos, user, nanos - user]);
    setup.record(block, &[&rate[..], &latencies, &cpu, &percent].concat());
    Ok(())
}

/// The gets go to series of their own, which stay as long as they are.
fn mix(setup: &mut Setup) -> Result<()> {
    let dialect = setup.running.server.dialect;
    let read_keys = KEYS..KEYS + PUT_CONNECTIONS;
    fill(setup.running, read_keys, MIX_POINTS_A_GET)?;
    let (mut generator, reply) = (Generator::new(setup.running)?, Rc::new(Reply::Lines));
    for connection in 0..PUT_CONNECTIONS {
        let keys = workload::share(0..KEYS, connection, PUT_CONNECTIONS);
        let get = dialect.get(&series::key(KEYS + connection));
        let lines = dialect.reply_lines(1, MIX_POINTS_A_GET);
        let script = Script::ring(dialect, keys, RING_PASSES, 1, Some((&get, lines)));
        generator.add(script, &reply, false)?;
    }
    time(setup, &MIX, generator, 1)
}

fn start(setup: &mut Setup) -> Result<()> {
    let memory = setup.running.process.memory_at_rest()?;
    let bytes = [memory.resident, memory.private, memory.written];
    setup.record(&START, &bytes.map(|bytes| bytes / 1024.0));
    Ok(())
}

/// Written private memory, because pages of code that are touched on the way (they count as
/// private where one process runs the program) are no cost of a connection.
fn idle(setup: &mut Setup) -> Result<()> {
    let process = &setup.running.process;
    let mut first = [Client::connect(process)?];
    put_first(setup.running, &mut first, false)?;
    let before = process.memory_at_rest()?;
    let clients = (0..IDLE_CONNECTIONS).map(|_| Client::connect(process));
    let mut clients = clients.collect::<Result<Vec<_>>>()?;
    let silent = process.memory_at_rest()?;
    put_first(setup.running, &mut clients, true)?;
    let spoken = process.memory_at_rest()?;
    let growth = [silent, spoken].map(|memory| memory.written - before.written);
    setup.record(&IDLE, &growth.map(|bytes| bytes / IDLE_CONNECTIONS as f64));
    Ok(())
}

/// What the first client costs is no part of what is measured after it. All put one point to one
/// series of its own, so that no store grows when everybody puts it.
fn put_first(running: &Running, clients: &mut [Client], is_there: bool) -> Result<()> {
    let dialect = running.server.dialect;
    let put = dialect.put("first", &workload::points(0, 1)[0]);
    for client in &mut *clients {
        client.expect(&put, dialect.put_reply(is_there))?;
    }
    running.await_points(clients.len(), &[&put])
}

/// What a point weighs, gets of one series and of all, and puts by others meanwhile. They share one
/// filled server, because filling the slowest takes longer than the rest.
fn reads(setup: &mut Setup) -> Result<()> {
    let (running, dialect) = (setup.running, setup.running.server.dialect);
    let mut first = [Client::connect(&running.process)?];
    put_first(running, &mut first, false)?;
    let before = running.process.memory_at_rest()?.resident;
    fill(running, 0..KEYS, POINTS_A_SERIES)?;
    if setup.wants(&POINT) {
        let growth = running.process.memory_at_rest()?.resident - before;
        setup.record(&POINT, &[growth / POINTS as f64]);
    }
    let reply = Rc::new(Reply::Lines);
    if setup.wants(&GET_SERIES) {
        let mut generator = Generator::new(running)?;
        for connection in 0..SERIES_CONNECTIONS {
            let get = dialect.get(&series::key(connection * KEYS / SERIES_CONNECTIONS));
            let lines = dialect.reply_lines(1, POINTS_A_SERIES);
            generator.add(Script::repeating(&get, lines), &reply, false)?;
        }
        time(setup, &GET_SERIES, generator, POINTS_A_SERIES)?;
    }
    if setup.wants(&GET_ALL) {
        let mut generator = Generator::new(running)?;
        generator.add(all_script(running), &reply, false)?;
        time(setup, &GET_ALL, generator, POINTS)?;
    }
    match setup.wants(&OTHERS) {
        true => others(setup),
        false => Ok(()),
    }
}

/// Asks for everything: what was filled in, and the first put.
fn all_script(running: &Running) -> Script {
    let dialect = running.server.dialect;
    Script::repeating(&dialect.get_all(), dialect.reply_lines(KEYS, POINTS + 1))
}

/// Puts by others: alone, then beside a client that asks for everything again as soon as it has got it.
fn others(setup: &mut Setup) -> Result<()> {
    let (running, dialect) = (setup.running, setup.running.server.dialect);
    let mut generator = putting(running, PUT_CONNECTIONS, 1, POINTS_A_SERIES as i64)?;
    let reply = match dialect.replies_grow() {
        true => Reply::GrowingLines,
        false => Reply::Lines,
    };
    generator.add(all_script(running), &Rc::new(reply), true)?;
    generator.run(WARM_UP, false)?;
    let before = generator.run(setup.interval(), false)?;
    let during = generator.run(setup.interval(), true)?;
    let figures = |run: &Run| {
        let rate = run.requests as f64 / run.seconds;
        [rate, run.latency_micros(0.99), run.latency_micros(1.0)]
    };
    let read = during.batches_beside as f64 * POINTS as f64 / during.seconds_in_all;
    let figures = [&figures(&before)[..], &figures(&during), &[read]].concat();
    setup.record(&OTHERS, &figures);
    Ok(())
}
