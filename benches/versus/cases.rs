//! The cases: what is measured of one server that was started for it.

use crate::check::{POINTS, POINTS_A_SERIES, Running, series};
use crate::dialect::Dialect;
use crate::report::Block;
use crate::servers::Need;
use crate::support::*;
use Need::{Answering, Keeping, Pipelining, Reading};

const WARM_UP: Duration = Duration::from_millis(150);
const MIX_POINTS_A_GET: usize = 100;
const IDLE_CONNECTIONS: usize = 5_000;
const SERIES_CONNECTIONS: usize = 8;
/// Of the mix, and of those who put while others read.
const PUT_CONNECTIONS: usize = 50;

/// Rate, latency, processor time, and how noisy it was.
const TIMED: &str = "a second ↑|p50, µs|p99 ↓|p99.9|longest|CPU, ns each ↓|generator, %|waiting, %";
const DURING: &str = "before: puts/s|p99, µs|longest|during: puts/s ↑|p99, µs ↓|longest\
                      |points/s read";
const STARTED: &str = "resident, KiB ↓|private and written";
const OF_ONE: &str = "that never spoke, bytes ↓|after one put, bytes ↓";
const GROWTH: &str = "resident growth, bytes ↓";

const BOTH: &[Need] = &[Answering, Reading];

pub const PUT_1: Block = Block("put, 1 connection", &[Answering], TIMED);
pub const PUT_50: Block = Block("put, 50 connections", &[Answering], TIMED);
pub const PUT_1000: Block = Block("put, 1,000 connections", &[Answering], TIMED);
pub const PIPELINED_8: Block = Block("put, pipelined, 8 x 100", &[Pipelining], TIMED);
pub const PIPELINED_1: Block = Block("put, pipelined, 1 x 1,000", &[Pipelining], TIMED);
pub const PIPELINED_4: Block = Block("put, pipelined, 4 x 100", &[Pipelining], TIMED);
pub const MIX: Block = Block("nine puts to a get, 50 connections", BOTH, TIMED);
pub const GET_SERIES: Block = Block("get, 1,000 points, 8 connections", &[Reading], TIMED);
pub const GET_ALL: Block = Block("get *, 1 M points, 1 connection", &[Reading], TIMED);
pub const OTHERS: Block = Block("puts by 50 others during get *", BOTH, DURING);
pub const START: Block = Block("memory at the start", &[], STARTED);
pub const IDLE: Block = Block("memory of an idle connection", &[], OF_ONE);
pub const POINT: Block = Block("memory of a point", &[Keeping], GROWTH);

/// Figures of tables: a row of each.
type Rows = Result<Vec<Vec<f64>>>;

/// Tables that one started server fills, and what fills them: only the first, if it cannot do more.
pub struct Case(pub &'static [Block], pub fn(&Running, Duration) -> Rows);

pub static CASES: [Case; 10] = [
    Case(&[PUT_1], |running, time| puts(running, time, 1, 1)),
    Case(&[PUT_50], |running, time| puts(running, time, 50, 1)),
    Case(&[PUT_1000], |running, time| puts(running, time, 1_000, 1)),
    Case(&[PIPELINED_8], |running, time| puts(running, time, 8, 100)),
    Case(&[PIPELINED_1], |running, time| {
        puts(running, time, 1, 1_000)
    }),
    Case(&[PIPELINED_4], |running, time| puts(running, time, 4, 100)),
    Case(&[MIX], mix),
    Case(&[POINT, GET_SERIES, GET_ALL, OTHERS], reads),
    Case(&[START], start),
    Case(&[IDLE], idle),
];

/// Puts by so many connections, each sending so many at once; 1 is unpipelined.
fn puts(running: &Running, time: Duration, connections: usize, batch: usize) -> Rows {
    let fleet = running.putting(connections, batch, None)?;
    Ok(vec![timed(running, time, fleet, 1)?])
}

/// A run of the fleet, and the processor time of the server and of this process.
fn measure<'a>(
    running: &Running,
    fleet: &mut Fleet,
    time: Duration,
) -> Result<(Run<'a>, Cpu, Cpu)> {
    let cpu = || anyhow::Ok((running.server.cpu()?, Cpu::of(std::process::id())?));
    let before = cpu()?;
    let mut run = fleet.run(Until::Time(time))?;
    running.await_points(run.requests, fleet)?;
    if !running.peer.can(&[Answering]) {
        run.seconds = run.begin.elapsed().as_secs_f64();
        // Times between writes that the socket took: nobody waited for a reply.
        run.latencies.clear();
    }
    let after = cpu()?;
    Ok((run, after.0.since(before.0), after.1.since(before.1)))
}

/// A row of a table with the columns [`TIMED`], of requests of so many points each.
fn timed(running: &Running, time: Duration, mut fleet: Fleet, points: usize) -> Result<Vec<f64>> {
    measure(running, &mut fleet, WARM_UP)?;
    let (run, server, own) = measure(running, &mut fleet, time)?;
    let points = (run.requests * points) as f64;
    let nanos = server.running * 1e9 / points;
    let latencies = [0.5, 0.99, 0.999, 1.0].map(|part| micros(&run.latencies, part));
    let waiting = own.waiting.max(server.waiting);
    let percent = [own.running, waiting].map(|time| 100.0 * time / run.seconds);
    Ok([&[points / run.seconds][..], &latencies, &[nanos], &percent].concat())
}

/// The gets go to series of their own, which stay as long as they are.
fn mix(running: &Running, time: Duration) -> Rows {
    running.fill(SERIES..SERIES + PUT_CONNECTIONS, MIX_POINTS_A_GET)?;
    let fleet = running.putting(PUT_CONNECTIONS, 1, Some(MIX_POINTS_A_GET))?;
    Ok(vec![timed(running, time, fleet, 1)?])
}

fn start(running: &Running, _: Duration) -> Rows {
    let memory = running.server.memory_at_rest()?;
    let bytes = [memory.resident, memory.written];
    Ok(vec![bytes.map(|bytes| bytes / 1024.0).into()])
}

/// Written private memory, because pages of code that are touched on the way (they count as
/// private where one process runs the program) are no cost of a connection.
fn idle(running: &Running, _: Duration) -> Rows {
    let server = &running.server;
    let _first = first(running)?;
    let before = server.memory_at_rest()?;
    let mut fleet = Fleet::same(server, IDLE_CONNECTIONS, &Script::default())?;
    let silent = server.memory_at_rest()?;
    put_first(running, &mut fleet, IDLE_CONNECTIONS)?;
    let spoken = server.memory_at_rest()?;
    let growth = [silent, spoken].map(|memory| memory.written - before.written);
    let bytes = growth.map(|bytes| bytes / IDLE_CONNECTIONS as f64);
    Ok(vec![bytes.into()])
}

/// What the first client costs is no part of what is measured after it.
fn first(running: &Running) -> Result<Fleet> {
    let mut fleet = Fleet::one(&running.server)?;
    put_first(running, &mut fleet, 1)?;
    Ok(fleet)
}

/// All put one point to one series of its own, so that no store grows when everybody puts it.
fn put_first(running: &Running, fleet: &mut Fleet, clients: usize) -> Result<()> {
    let dialect = running.peer.2;
    let put = dialect.put("first", &series(0, 1).1[0]);
    fleet.expect(&put, dialect.put_reply(clients > 1))?;
    running.await_points(clients, fleet)
}

/// What a point weighs, gets of one series and of all, and puts by others meanwhile. They share one
/// filled server, because filling the slowest takes longer than the rest.
fn reads(running: &Running, time: Duration) -> Rows {
    let (server, dialect) = (&running.server, running.peer.2);
    let _first = first(running)?;
    let before = server.memory_at_rest()?.resident;
    running.fill(0..SERIES, POINTS_A_SERIES)?;
    let growth = server.memory_at_rest()?.resident - before;
    let mut rows = vec![vec![growth / POINTS as f64]];
    if running.peer.can(&[Reading]) {
        let lines = dialect.reply_lines(1, POINTS_A_SERIES);
        let keys = (0..SERIES).step_by(SERIES / SERIES_CONNECTIONS).map(key);
        let gets = keys.map(|key| Script::once(&dialect.get(&key), &Reply::Lines, lines));
        let fleet = Fleet::connect(server, gets)?;
        rows.push(timed(running, time, fleet, POINTS_A_SERIES)?);
        // Asks for everything: what was filled in, and the first put.
        let lines = dialect.reply_lines(SERIES, POINTS + 1);
        let get_all = |reply| Script::once(&dialect.get_all(), &reply, lines);
        let fleet = Fleet::same(server, 1, &get_all(Reply::Lines))?;
        rows.push(timed(running, time, fleet, POINTS)?);
        // Its replies are longer when more was put.
        let is_growing = dialect == Dialect::Lines;
        let reply = if is_growing {
            Reply::GrowingLines
        } else {
            Reply::Lines
        };
        rows.push(others(running, time, get_all(reply))?);
    }
    Ok(rows)
}

/// Puts by others: alone, then beside a client that asks for everything again as soon as it has got it.
fn others(running: &Running, time: Duration, get_all: Script) -> Result<Vec<f64>> {
    let mut fleet = running.putting(PUT_CONNECTIONS, 1, None)?;
    fleet.skip_laps(POINTS_A_SERIES / RING_PASSES);
    fleet.run(Until::Time(WARM_UP))?;
    let before = fleet.run(Until::Time(time))?;
    fleet.add(&running.server, get_all, true)?;
    let during = fleet.run(Until::Time(time))?;
    let seconds = during.begin.elapsed().as_secs_f64();
    let figures = |run: &Run| {
        let [p99, longest] = [0.99, 1.0].map(|part| micros(&run.latencies, part));
        [run.requests as f64 / run.seconds, p99, longest]
    };
    let read = during.batches_beside as f64 * POINTS as f64 / seconds;
    Ok([&figures(&before)[..], &figures(&during), &[read]].concat())
}
