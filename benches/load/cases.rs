//! The cases: what each does to the server, and the limits.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::crowd::{Crowd, OK, Script};
use crate::daemon::Daemon;
use crate::support::latency::waits_under;
use crate::support::table::median;
use crate::{Bench, Limit, full};

type Case = fn(&mut Bench) -> Result<()>;

pub const CASES: &[(&str, Case)] = &[
    ("1: another's put while clients send", sending),
    ("2: another's put while readers are reset", resetting),
    ("3: another's put while keys are new", new_keys),
    ("4: memory of stalled readers", stalled_memory),
    ("5: memory of pipelined replies", replies_memory),
    ("6: exit under load", exit),
    ("7: stalled readers and the kernel", stalled_kernel),
    ("9: CPU of a put at the limit", full::cost_at_limit),
    ("10: above the limit on memory", full::attacks),
    ("11: a million series expire", full::expiry),
];

pub const LONGEST_WAIT: Limit = (20.0, "ms");
const ABOVE_STORE: Limit = (100.0, "MB");
const GONE: Limit = (1.3, "x");
const SEND_QUEUE: Limit = (400.0, "KB");
const PEAK: Limit = (150.0, "MB");
const SLOWER_PUTS: Limit = (3.0, "x");
const EXIT: [(u32, Limit, &str); 2] = [(1, (5.2, "s"), "the first"), (2, (0.1, "s"), "the second")];

/// When the server holds so much, no more readers stall.
const MEMORY_MOST_MEGABYTES: f64 = 3_000.0;

const POLL_INTERVAL: Duration = Duration::from_millis(10);
const WRONG_COMMAND: &str = "error\nwrong command\n\n";

/// What clients do, how many of them, and whether they have done it, and all series are put to
/// after it, before the load begins.
type Load = (&'static str, u32, Script, bool);

/// Five that more than one case takes; then lines of which 64 KiB, or one alone, cost most.
#[rustfmt::skip]
fn loads() -> [Load; 11] {
    let long = |before, repeated: &str, after| {
        format!("{before}{}{after}\n", repeated.repeat(65_500 / repeated.len()))
    };
    let many = |line: fn(u32) -> String| (0..4_000).map(line).collect::<String>();
    let ordinary = many(|number| format!("put k{} 23.7 1150864247\n", number % 1_000));
    let late = many(|number| format!("put l {}.5 {}\n", number % 7, number * 1_567 % 4_000));
    let digits = format!("put k 9007199254740993.{}1 1\n", "0".repeat(751));
    let puts = |what, lines: &str| (what, 1_000, Script::endless(lines, OK), false);
    let wrong = |what, lines: &str| (what, 1_000, Script::endless(lines, WRONG_COMMAND), false);
    [
        puts("ordinary puts", &ordinary),
        puts("digits near the middle", "put k 17976931348623156083e289 1\n"),
        ("get * of 1 M points, unread", 1_000, unread("get *\n"), false),
        ("30 of them, then puts to all series", 30, unread("get *\n"), true),
        ("64 KiB of x, unread", 9_000, unread(&"x\n".repeat(32 << 10)), false),
        puts("768 digits near the middle", &digits),
        puts("64 KiB of underscores, value", &long("put k ", "1_", "1 1")),
        wrong("64 KiB of underscores, timestamp", &long("put k 1 ", "0_", "1")),
        puts("64 KiB of white space", &long("put k", "\u{a0}", "1 1")),
        puts("late, in random order", &late),
        wrong("wrong commands of one byte", "x\n"),
    ]
}

pub fn unread(request: &str) -> Script {
    Script::once(request.into(), String::new())
}

/// One client that sends this and reads all replies: the seconds that it takes.
pub fn run(daemon: &Daemon, script: Script) -> Result<f64> {
    let begin = Instant::now();
    Crowd::connect(daemon, 1, script)?.finish()?;
    Ok(begin.elapsed().as_secs_f64())
}

/// A server that has a point in each of a million series.
fn filled(bench: &Bench) -> Result<Daemon> {
    let daemon = bench.start()?;
    put_to_all(bench, &daemon, IN_ORDER, 0)?;
    Ok(daemon)
}

/// The load begins when the clients are driven.
fn prepared(bench: &Bench, (_, clients, script, puts): Load) -> Result<(Daemon, Crowd)> {
    let daemon = filled(bench)?;
    let mut crowd = Crowd::connect(&daemon, bench.scaled(clients), script)?;
    if puts {
        crowd.finish()?;
        daemon.settle()?;
        put_to_all(bench, &daemon, IN_ORDER, 1)?;
    }
    Ok((daemon, crowd))
}

pub fn idle(stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

fn sending(bench: &mut Bench) -> Result<()> {
    let waits = waits_under(&bench.start()?.process, bench.seconds(1), idle)?;
    bench.waits("without load", waits);
    for load in loads() {
        let (what, clients) = (load.0, bench.scaled(load.1) as usize);
        let (daemon, mut crowd) = prepared(bench, load)?;
        let load = |stop: &AtomicBool| crowd.run(stop);
        let waits = waits_under(&daemon.process, bench.seconds(3), load)?;
        bench.waits(what, waits);
        // Who does not read may be.
        let reads = !crowd.script.reply.is_empty();
        if reads && daemon.connections()?.0 < clients {
            bail!("clients were cut off");
        }
    }
    Ok(())
}

/// By round, the timestamps and the value of puts to each of a million series.
type Puts = fn(u32) -> (Range<u32>, &'static str);
const IN_ORDER: Puts = |round| (round..round + 1, "1.5");
const REPLACING: Puts = |round| (0..1, ["1.5", "2.5"][round as usize % 2]);
const NOTHING: Puts = |_| (0..0, "");

fn put_to_all(bench: &Bench, daemon: &Daemon, puts: Puts, round: u32) -> Result<()> {
    let (timestamps, value) = puts(round);
    let puts = Script::puts(0..bench.scaled(1_000_000), timestamps, value);
    run(daemon, puts)?;
    daemon.settle()
}

/// Groups of readers that stall, each before puts to all series.
fn stall(bench: &Bench, daemon: &Daemon, groups: &[u32], puts: Puts) -> Result<Vec<Crowd>> {
    let mut crowds = Vec::new();
    for readers in groups {
        let mut crowd = Crowd::connect(daemon, *readers, unread("get *\n"))?;
        crowd.finish()?;
        daemon.settle()?;
        crowds.push(crowd);
        put_to_all(bench, daemon, puts, crowds.len() as u32)?;
        if daemon.megabytes("VmRSS")? > MEMORY_MOST_MEGABYTES {
            break;
        }
    }
    Ok(crowds)
}

fn resetting(bench: &mut Bench) -> Result<()> {
    let readers = bench.scaled(30);
    let singles = vec![1; readers as usize];
    for (what, groups, puts) in [
        ("30 readers, then puts in order", &[readers][..], IN_ORDER),
        ("30 readers, then puts that replace", &[readers], REPLACING),
        ("30 readers, puts after each", &singles, IN_ORDER),
    ] {
        let daemon = filled(bench)?;
        let crowds = stall(bench, &daemon, groups, puts)?;
        let load = |stop: &AtomicBool| {
            // They have not read all that came, so that closing them resets the connections.
            drop(crowds);
            idle(stop)
        };
        let waits = waits_under(&daemon.process, bench.seconds(4), load)?;
        bench.waits(what, waits);
    }
    Ok(())
}

fn new_keys(bench: &mut Bench) -> Result<()> {
    let (daemon, keys) = (bench.start()?, bench.scaled(16_000_000));
    let load = |stop: &AtomicBool| {
        // As many at once as a client takes memory for with ease.
        for first in (0..keys).step_by(400_000) {
            if stop.load(Ordering::Relaxed) {
                bail!("the keys are not put in time");
            }
            run(&daemon, Script::puts(first..first + 400_000, 0..1, "1.5"))?;
        }
        Ok(())
    };
    let waits = waits_under(&daemon.process, Duration::from_secs(100), load)?;
    bench.waits("16 M keys by one client", waits);
    Ok(())
}

/// Readers stall, and between each two all series are put to. Then the same puts without them
/// say what the store itself takes.
fn stalled_memory(bench: &mut Bench) -> Result<()> {
    let groups = vec![1; bench.scaled(100) as usize];
    for (what, puts) in [("in order", IN_ORDER), ("replacing", REPLACING)] {
        let (daemon, alone) = (filled(bench)?, filled(bench)?);
        let crowds = stall(bench, &daemon, &groups, puts)?;
        let (held, opened) = (daemon.megabytes("VmRSS")?, crowds.len());
        let (left, unsent) = daemon.connections()?;
        // What waits for those that were cut off is counted too.
        let unsent = unsent * left.max(1) as f64 / opened as f64;
        drop(crowds);
        // Puts that replace come round to the same after two.
        let changes = |round: &u32| *round < 2 || puts(*round) != puts(round - 2);
        for round in (0..=opened as u32).take_while(changes) {
            put_to_all(bench, &alone, puts, round)?;
        }
        let (store, begin) = (alone.megabytes("VmRSS")?, Instant::now());
        while daemon.megabytes("VmRSS")? > 1.3 * store && begin.elapsed() < bench.seconds(5) {
            thread::sleep(POLL_INTERVAL);
        }
        let after = daemon.megabytes("VmRSS")? / store;
        let note = format!("{what}: {opened} opened, {left} left, store {store:.0} MB");
        bench.row("above the store", held - store, ABOVE_STORE, &note);
        bench.row("kernel's send queues, each", unsent, SEND_QUEUE, "");
        bench.row("of the store, when they are gone", after, GONE, "");
    }
    Ok(())
}

/// Clients that read only when all have sent and nothing more can be answered.
fn replies_memory(bench: &mut Bench) -> Result<()> {
    let count = (64 << 10) / WRONG_COMMAND.len();
    let puts = Script::puts(0..1, 0..3_700, "1.5");
    let short = ("x\n".repeat(count), WRONG_COMMAND.repeat(count));
    for (request, reply) in [short, ("get k0000000\n".into(), puts.points())] {
        let daemon = bench.start()?;
        run(&daemon, puts.clone())?;
        let mut crowd = Crowd::connect(&daemon, bench.scaled(10_000), unread(&request))?;
        crowd.finish()?;
        daemon.settle()?;
        crowd.script.reply = reply;
        crowd.finish()?;
        let note = format!("10,000 clients sent {} bytes", request.len());
        bench.row("most resident", daemon.megabytes("VmHWM")?, PEAK, &note);
    }
    Ok(())
}

fn exit(bench: &mut Bench) -> Result<()> {
    for (signals, limit, signal) in EXIT {
        for load in loads().into_iter().take(5) {
            let (what, stop) = (load.0, AtomicBool::new(false));
            let (daemon, mut crowd) = prepared(bench, load)?;
            let (took, by_the_clock) = thread::scope(|scope| {
                let load = scope.spawn(|| crowd.run(&stop));
                thread::sleep(bench.seconds(1));
                let took = daemon.stop(signals);
                stop.store(true, Ordering::Relaxed);
                load.join().ok().context("the load panicked")?.and(took)
            })?;
            let note = format!("after {signal} signal, by the clock {by_the_clock:.1?}");
            bench.row(what, took.as_secs_f64(), limit, &note);
        }
    }
    Ok(())
}

fn stalled_kernel(bench: &mut Bench) -> Result<()> {
    let (daemon, series) = (filled(bench)?, bench.scaled(100_000));
    let puts = |at| run(&daemon, Script::puts(0..series, at..at + 1, "1.5"));
    let without = median((1..6).map(puts).collect::<Result<_>>()?).context("no rounds")?;
    // In groups, because the system gives less to each of many at once.
    let _crowds = stall(bench, &daemon, &[bench.scaled(100); 15], NOTHING)?;
    let with = median((6..11).map(puts).collect::<Result<_>>()?).context("no rounds")?;
    let (left, unsent) = daemon.connections()?;
    let note = format!("{left} readers");
    bench.row("kernel's send queues, each", unsent, SEND_QUEUE, &note);
    let note = format!("{with:.3} s, without readers {without:.3}");
    bench.row("100,000 puts", with / without, SLOWER_PUTS, &note);
    Ok(())
}
