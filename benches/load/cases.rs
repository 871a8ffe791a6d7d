//! The cases: what each does to the server, and the limits.

use crate::support::*;
use crate::{full, row, scaled, seconds, start, waits_row};

pub const CASES: [Part; 10] = [
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

const SECOND_SIGNAL_AFTER: Duration = Duration::from_millis(300);

/// Requests that a client sends before it waits for replies: more than the server reads in a turn,
/// too little for a thousand clients to fill the machine's memory.
const WINDOW_BYTES: usize = 128 << 10;

const OK: &str = "ok\n\n";
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
    let endless = |lines: &str, reply| answered(&lines.repeat(1 + WINDOW_BYTES / lines.len()), reply);
    let puts = |what, lines: &str| (what, 1_000, endless(lines, OK), false);
    let wrong = |what, lines: &str| (what, 1_000, endless(lines, WRONG_COMMAND), false);
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
    Script::once(request, &Reply::Unread, 0)
}

/// Lines, each with the same reply.
fn answered(lines: &str, reply: &str) -> Script {
    let replies = reply.repeat(lines.lines().count());
    Script::once(lines, &Reply::same(&replies), 0)
}

/// Puts by round.
pub type Puts = fn(u32) -> Box<dyn Iterator<Item = String>>;
const IN_ORDER: Puts = |round| puts(0..scaled(1_000_000), round..round + 1, "1.5");
const REPLACING: Puts = |round| {
    let value = ["1.5", "2.5"][round as usize % 2];
    puts(0..scaled(1_000_000), 0..1, value)
};

/// A point for each of the series at each of the timestamps, series by series.
pub fn puts(
    series: Range<u32>,
    timestamps: Range<u32>,
    value: &'static str,
) -> Box<dyn Iterator<Item = String>> {
    let put = move |key, at| format!("put k{key:07x} {value} {at}\n");
    let puts = move |key| timestamps.clone().map(move |at| put(key, at));
    Box::new(series.flat_map(puts))
}

fn put_to_all(server: &Server, puts: Puts, round: u32) -> Result<()> {
    server.put(puts(round))?;
    server.memory_at_rest().map(drop)
}

/// A server that has a point in each of a million series.
fn filled() -> Result<Server> {
    let server = start()?;
    put_to_all(&server, IN_ORDER, 0)?;
    Ok(server)
}

/// So many clients that have sent this.
fn stalled(server: &Server, clients: u32, script: &Script) -> Result<Fleet> {
    let mut fleet = Fleet::same(server, clients as usize, script)?;
    fleet.finish()?;
    server.memory_at_rest()?;
    Ok(fleet)
}

/// The load begins when the clients are driven.
fn prepared((_, clients, script, is_done): &Load) -> Result<(Server, Fleet)> {
    let server = filled()?;
    let mut fleet = Fleet::same(&server, scaled(*clients) as usize, script)?;
    if *is_done {
        fleet.finish()?;
        put_to_all(&server, IN_ORDER, 1)?;
    }
    Ok((server, fleet))
}

fn sending() -> Result<()> {
    waits_row("without load", &start()?, seconds(1), idle)?;
    for load in &loads() {
        let (server, mut fleet) = prepared(load)?;
        waits_row(load.0, &server, seconds(3), |stop| {
            let left = fleet.run(Until::Told(stop))?.at_work[0];
            // Who does not read may be.
            let is_whole = left == scaled(load.1) as usize;
            let may_be_cut_off = matches!(load.2.reply, Reply::Unread);
            ensure!(is_whole || may_be_cut_off, "clients were cut off");
            Ok(())
        })?;
    }
    Ok(())
}

/// Groups of so many readers that stall, each before puts to all series.
fn stall(server: &Server, groups: u32, readers: u32, puts: Puts) -> Result<Vec<Fleet>> {
    let group = |number| {
        let fleet = stalled(server, readers, &unread("get *\n"))?;
        put_to_all(server, puts, number + 1)?;
        Ok(fleet)
    };
    (0..groups).map(group).collect()
}

fn resetting() -> Result<()> {
    let all = scaled(30);
    for (what, groups, readers, puts) in [
        ("30 readers, then puts in order", 1, all, IN_ORDER),
        ("30 readers, then puts that replace", 1, all, REPLACING),
        ("30 readers, puts after each", all, 1, IN_ORDER),
    ] {
        let server = filled()?;
        let fleets = stall(&server, groups, readers, puts)?;
        waits_row(what, &server, seconds(4), |stop| {
            // They have not read all that came, so that closing them resets the connections.
            drop(fleets);
            idle(stop)
        })?;
    }
    Ok(())
}

fn new_keys() -> Result<()> {
    let (server, time) = (start()?, Duration::from_secs(100));
    waits_row("16 M keys by one client", &server, time, |stop| {
        let puts = puts(0..scaled(16_000_000), 0..1, "1.5");
        server.put(puts.take_while(|_| !stop.load(Ordering::Relaxed)))?;
        let is_late = stop.load(Ordering::Relaxed);
        ensure!(!is_late, "the keys are not put in time");
        Ok(())
    })
}

/// The clients that are connected, and the kilobytes for each that wait in the system to be sent.
fn connections(server: &Server) -> Result<(usize, f64)> {
    const ESTABLISHED: &str = "01";
    let local_port = format!(":{:04X}", server.ports[0]);
    let (mut count, mut bytes) = (0, 0);
    for line in fs::read_to_string("/proc/net/tcp")?.lines() {
        // Number, local address, remote address, state, queues of bytes sent and received.
        let fields: Vec<&str> = line.split_whitespace().take(5).collect();
        if fields[1].ends_with(&local_port) {
            count += usize::from(fields[3] == ESTABLISHED);
            bytes += u64::from_str_radix(&fields[4][..8], 16)?;
        }
    }
    Ok((count, bytes as f64 / 1e3))
}

/// Readers stall, and between each two all series are put to. Then the same puts without them
/// say what the store itself takes.
fn stalled_memory() -> Result<()> {
    let opened = scaled(100);
    // Puts that replace come round to the same after two.
    for (what, puts, rounds) in [("in order", IN_ORDER, opened), ("replacing", REPLACING, 1)] {
        let (server, alone) = (filled()?, filled()?);
        let fleets = stall(&server, opened, 1, puts)?;
        let held = server.memory()?.resident;
        // What waits for those that were cut off is counted too.
        let (left, unsent) = connections(&server)?;
        drop(fleets);
        for round in 0..=rounds {
            put_to_all(&alone, puts, round)?;
        }
        let store = alone.memory()?.resident;
        let after = || anyhow::Ok(server.memory()?.resident / store);
        until("its memory is free", || Ok(after()? <= 1.3))?;
        let [above, megabytes] = [held - store, store].map(|bytes| bytes / 1e6);
        let remark = format!("≤ 100; {opened} opened, {left} left, store {megabytes:.0} MB");
        row(&format!("  {what}: MB above the store"), above, &remark);
        row(
            "  KB in the kernel, each",
            unsent / f64::from(opened),
            "≤ 400",
        );
        row("  when they are gone, times the store", after()?, "≤ 1.3");
    }
    Ok(())
}

/// Clients that read only when all have sent and nothing more can be answered.
fn replies_memory() -> Result<()> {
    let count = (64 << 10) / WRONG_COMMAND.len();
    let puts: String = puts(0..1, 0..3_700, "1.5").collect();
    let points = format!("ok\n{}\n", puts.replace("put ", ""));
    let short = ("x\n".repeat(count), WRONG_COMMAND.repeat(count));
    for (request, reply) in [short, ("get k0000000\n".into(), points)] {
        let server = start()?;
        server.put(puts.split_inclusive('\n').map(String::from))?;
        let mut fleet = stalled(&server, scaled(10_000), &unread(&request))?;
        fleet.expect("", &reply)?;
        let what = format!("  10,000 clients sent {} bytes: most MB", request.len());
        row(&what, server.peak_bytes()? / 1e6, "≤ 150");
    }
    Ok(())
}

fn exit() -> Result<()> {
    for (signals, limit) in [
        (1, "≤ 5.2; after the first signal"),
        (2, "≤ 0.1; after the second"),
    ] {
        for load in &loads()[..5] {
            let (server, mut fleet) = prepared(load)?;
            let sending = |stop: &_| fleet.run(Until::Told(stop)).map(drop);
            let (took, by_the_clock) = during(sending, |_| {
                thread::sleep(seconds(1));
                seconds_to_stop(server, signals)
            })?;
            let remark = format!("{limit}, {by_the_clock:.2} by the clock");
            row(&format!("  {}: seconds", load.0), took, &remark);
        }
    }
    Ok(())
}

/// Sends SIGTERM, once or twice, and says how long after the last one the process ended, less the time in
/// which it was ready to run and had no core, which is the machine's doing; and the same by the clock.
fn seconds_to_stop(mut server: Server, signals: u32) -> Result<(f64, f64)> {
    for _ in 1..signals {
        server.signal(Signal::TERM)?;
        thread::sleep(SECOND_SIGNAL_AFTER);
    }
    let delay = |server: &Server| server.cpu().map_or(0.0, |cpu| cpu.waiting);
    let (begin, before, mut delayed) = (Instant::now(), delay(&server), 0.0);
    // It may have ended: until it is waited for, the process id is still its own.
    server.signal(Signal::TERM)?;
    until("the server ends", || {
        delayed = f64::max(delayed, delay(&server) - before);
        Ok(server.child.try_wait()?.is_some())
    })?;
    let took = begin.elapsed().as_secs_f64();
    let status = server.child.wait()?;
    ensure!(status.success(), "{status}");
    Ok((f64::max(took - delayed, 0.0), took))
}

fn stalled_kernel() -> Result<()> {
    let (server, series) = (filled()?, scaled(100_000));
    let seconds = |rounds: Range<u32>| {
        let seconds = rounds.map(|at| {
            let begin = Instant::now();
            server.put(puts(0..series, at..at + 1, "1.5"))?;
            Ok(begin.elapsed().as_secs_f64())
        });
        anyhow::Ok(median(seconds.collect::<Result<Vec<_>>>()?))
    };
    let without = seconds(1..6)?;
    // In groups, because the system gives less to each of many at once.
    let group = |_| stalled(&server, scaled(100), &unread("get *\n"));
    let _fleets: Vec<Fleet> = (0..15).map(group).collect::<Result<_>>()?;
    let with = seconds(6..11)?;
    let (left, unsent) = connections(&server)?;
    let each = unsent / left.max(1) as f64;
    row("  KB in the kernel, each", each, "≤ 400");
    let remark = format!("≤ 3; {with:.3} s, without {without:.3}; {left} readers");
    row("  100,000 puts, times without", with / without, &remark);
    Ok(())
}
