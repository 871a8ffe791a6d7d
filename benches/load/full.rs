//! Servers at their `--memory-limit`, and points that get too old.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cases::{Puts, puts, unread};
use crate::support::*;
use crate::{MANY, row, scaled, seconds, start, waits_row};

const IN_ORDER: Puts = |round| {
    let put = |key, at| format!("put k{key} {}.25 {at}\n", at * 7_919 % (101 + key));
    Box::new((0..100_000).map(move |n| put(n / 100, 100 * round + n % 100)))
};
const NEW_SERIES: Puts = |n| puts(200_000 * n..200_000 * (n + 1), n..n + 1, "1.5");
const A_MILLION: Puts = |round| puts(0..1_000_000, round..round + 1, "1.5");
const LARGE_KEYS: Puts = |round| {
    let put = move |number| format!("put {round:x<60000}{number} 1.5 1\n");
    Box::new((0..100).map(put))
};

/// A server that has had so many rounds of puts, and evicts when it is full.
fn full(megabytes: u32, puts: Puts, rounds: u32) -> Result<Server> {
    let options = "--when-full evict --http 127.0.0.1:$http";
    let options = format!("{MANY} --memory-limit {megabytes}M {options}");
    Server::filled(&options, (0..rounds).flat_map(puts))
}

/// By how much the most that was resident is above the limit.
fn peak_row(what: &str, server: &Server, megabytes: u32) -> Result<()> {
    let count = |name: &str| server.metric(&format!("metricd_{name}"));
    let evicted = count("store_evicted_points_total")?;
    ensure!(evicted > 0.0, "it was not full");
    let shed = count("connections_shed_total")?;
    let turn = count("loop_longest_turn_seconds")? * 1e3;
    let of_limit = server.peak_bytes()? / f64::from(megabytes << 20);
    let remark =
        format!("≤ 5; {megabytes}M; {evicted} evicted, {shed} shed, longest turn {turn:.1} ms");
    let what = format!("  {what}: % above");
    row(&what, (of_limit - 1.0) * 100.0, &remark);
    Ok(())
}

/// What a put costs where others make room for it, and where there is room.
pub fn cost_at_limit() -> Result<()> {
    for (what, megabytes, puts, first, last) in [
        ("points in order", 8, IN_ORDER, 40..60, 40..60),
        ("new series", 64, NEW_SERIES, 5..10, 5..10),
        // At the limit a series is gone when the next put to it comes: each put makes a new series.
        ("a million series: too many", 128, A_MILLION, 0..1, 3..6),
    ] {
        let (server, roomy) = (full(megabytes, puts, last.start)?, start()?);
        roomy.put((0..first.start).flat_map(puts))?;
        let below = roomy.put(first.flat_map(puts))?;
        let at_limit = server.put(last.flat_map(puts))?;
        let remark = format!("≤ 2; {at_limit:.0} ns, below the limit {below:.0} ns");
        row(&format!("  {what}: times"), at_limit / below, &remark);
        peak_row("  most resident", &server, megabytes)?;
    }
    Ok(())
}

/// Servers that are full, and what then needs more memory, in pieces of another size.
pub fn attacks() -> Result<()> {
    for (what, megabytes, puts, rounds) in [
        ("points", 16, IN_ORDER, 140),
        ("series", 64, NEW_SERIES, 3),
        ("series", scaled(500), NEW_SERIES, scaled(20)),
    ] {
        let server = full(megabytes, puts, rounds)?;
        server.put((0..megabytes / 4).flat_map(LARGE_KEYS))?;
        let keys = format!("{what}, then keys of 60 KB");
        peak_row(&keys, &server, megabytes)?;
        for (attack, request) in [
            ("half a line of 60 KB", &*"x".repeat(60_000)),
            ("get *, unread", "get *\n"),
        ] {
            let server = full(megabytes, puts, rounds)?;
            // The server lets in no more than one for each 16 KiB.
            let clients = scaled(4_000.min(60 * megabytes)) as usize;
            let mut fleet = Fleet::same(&server, clients, &unread(request))?;
            println!("  {what}, then {attack}");
            let attack = |stop: &_| fleet.run(Until::Told(stop)).map(drop);
            waits_row("another's put", &server, seconds(2), attack)?;
            peak_row("most resident", &server, megabytes)?;
        }
    }
    Ok(())
}

/// A million series that are too old all at once.
pub fn expiry() -> Result<()> {
    let server = Server::metricd("--retention 1h --http 127.0.0.1:$http")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as u32;
    let (series, in_ten_seconds) = (scaled(1_000_000), now - 3_590);
    server.put(puts(0..series, in_ten_seconds..in_ten_seconds + 1, "1.5"))?;
    waits_row("another's put", &server, Duration::from_secs(15), idle)?;
    until("all are gone", || {
        Ok(server.metric("metricd_store_expired_points_total")? == series.into())
    })
}
