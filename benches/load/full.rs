//! Servers at their `--memory-limit`, and points that get too old.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::cases::{idle, run, unread};
use crate::crowd::{Crowd, OK, Script};
use crate::daemon::Daemon;
use crate::support::latency::waits_under;
use crate::{Bench, Limit};

const COSTLIER: Limit = (2.0, "x");
const ABOVE_LIMIT: Limit = (5.0, "%");

/// Puts by round.
type Puts = fn(u32) -> Script;
const IN_ORDER: Puts = |round| {
    let put = |key, at| format!("put k{key} {}.25 {at}\n", at * 7_919 % (101 + key));
    let puts = (0..100_000_u32).map(|n| put(n / 100, 100 * round + n % 100));
    Script::once(puts.collect(), OK.repeat(100_000))
};
const NEW_SERIES: Puts = |n| Script::puts(200_000 * n..200_000 * (n + 1), n..n + 1, "1.5");
const A_MILLION: Puts = |round| Script::puts(0..1_000_000, round..round + 1, "1.5");
const LARGE_KEYS: Puts = |round| {
    let puts = (0..100).map(|number| format!("put {round:x<60000}{number} 1.5 1\n"));
    Script::once(puts.collect(), OK.repeat(100))
};

/// A server that has had so many rounds of puts, and evicts when it is full.
fn full(megabytes: u32, puts: Puts, rounds: u32) -> Result<Daemon> {
    let limit = format!("{megabytes}M");
    let daemon = Daemon::start(&["--memory-limit", &limit, "--when-full", "evict"])?;
    cost(&daemon, puts, 0..rounds)?;
    Ok(daemon)
}

/// Nanoseconds that the server runs for each put of these rounds.
fn cost(daemon: &Daemon, puts: Puts, rounds: Range<u32>) -> Result<f64> {
    let (before, mut count) = (daemon.process.cpu()?, 0);
    for script in rounds.map(puts) {
        count += script.reply.len() / OK.len();
        run(daemon, script)?;
    }
    Ok(daemon.process.cpu()?.since(before).running * 1e9 / count as f64)
}

/// By how much the most that was resident is above the limit.
fn peak_row(bench: &mut Bench, what: &str, daemon: &Daemon, megabytes: u32) -> Result<()> {
    let evicted = daemon.count("store_evicted_points")?;
    ensure!(evicted > 0.0, "it was not full");
    let of_limit = daemon.megabytes("VmHWM")? / (f64::from(megabytes) * 1.048_576);
    let turn = daemon.count("loop_longest_turn_microseconds")? / 1e3;
    let shed = daemon.count("connections_shed")?;
    let note = format!("{megabytes}M; {evicted} evicted, {shed} shed, longest turn {turn:.1} ms");
    bench.row(what, (of_limit - 1.0) * 100.0, ABOVE_LIMIT, &note);
    Ok(())
}

/// What a put costs where others make room for it, and where there is room.
pub fn cost_at_limit(bench: &mut Bench) -> Result<()> {
    for (what, megabytes, puts, first, last) in [
        ("points in order", 8, IN_ORDER, 40..60, 40..60),
        ("new series", 64, NEW_SERIES, 5..10, 5..10),
        // At the limit a series is gone when the next put to it comes: each put makes a new series.
        ("a million series: too many", 128, A_MILLION, 0..1, 3..6),
    ] {
        let (daemon, roomy) = (full(megabytes, puts, last.start)?, bench.start()?);
        cost(&roomy, puts, 0..first.start)?;
        let (below, at_limit) = (cost(&roomy, puts, first)?, cost(&daemon, puts, last)?);
        let note = format!("{at_limit:.0} ns, below the limit {below:.0} ns");
        bench.row(what, at_limit / below, COSTLIER, &note);
        peak_row(bench, "  most resident", &daemon, megabytes)?;
    }
    Ok(())
}

/// Servers that are full, and what then needs more memory, in pieces of another size.
pub fn attacks(bench: &mut Bench) -> Result<()> {
    for (what, megabytes, puts, rounds) in [
        ("points", 16, IN_ORDER, 140),
        ("series", 64, NEW_SERIES, 3),
        ("series", bench.scaled(500), NEW_SERIES, bench.scaled(20)),
    ] {
        let daemon = full(megabytes, puts, rounds)?;
        cost(&daemon, LARGE_KEYS, 0..megabytes / 4)?;
        let keys = format!("{what}, then keys of 60 KB");
        peak_row(bench, &keys, &daemon, megabytes)?;
        for (attack, request) in [
            ("half a line of 60 KB", "x".repeat(60_000)),
            ("get *, unread", "get *\n".into()),
        ] {
            let daemon = full(megabytes, puts, rounds)?;
            // The server lets in no more than one for each 16 KiB.
            let clients = bench.scaled(4_000.min(60 * megabytes));
            let mut crowd = Crowd::connect(&daemon, clients, unread(&request))?;
            let load = |stop: &AtomicBool| crowd.run(stop);
            let waits = waits_under(&daemon.process, bench.seconds(2), load)?;
            peak_row(bench, &format!("{what}, then {attack}"), &daemon, megabytes)?;
            bench.waits("  another's put", waits);
        }
    }
    Ok(())
}

/// A million series that are too old all at once.
pub fn expiry(bench: &mut Bench) -> Result<()> {
    let daemon = Daemon::start(&["--retention", "1h"])?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as u32;
    let (series, in_ten_seconds) = (bench.scaled(1_000_000), now - 3_590);
    let puts = Script::puts(0..series, in_ten_seconds..in_ten_seconds + 1, "1.5");
    run(&daemon, puts)?;
    let waits = waits_under(&daemon.process, Duration::from_secs(15), idle)?;
    bench.waits("another's put", waits);
    let expired = daemon.count("store_expired_points")?;
    ensure!(expired == series.into(), "{expired} are gone");
    Ok(())
}
