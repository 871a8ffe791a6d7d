//! The real server over loopback: resident memory and processor time, all included.
//!
//! Every figure comes from a server started for it, whose memory and processor time are its own,
//! from `/proc`. Every put is acknowledged, every reply has as many lines as there are points,
//! and one series of each load is compared byte for byte. How fast gets are, and whom they hold
//! up, is measured beside other servers: cargo bench --bench versus

use crate::support::*;
use crate::work::{STEP, WALK, Work, walk};

const ROUNDS: usize = 3;

pub fn run() -> Result<()> {
    orders()?;
    growth()
}

/// Puts everything to a new server, then some of it again; returns bytes a point, and microseconds a put
/// and a put again.
fn load(work: &Work, order: &[(u32, u32)], again: &[(u32, u32)]) -> Result<[f64; 3]> {
    let server = Server::metricd("")?;
    let before = server.memory_at_rest()?.resident;
    let put = server.put(work.lines(order))?;
    let bytes = (server.memory_at_rest()?.resident - before) / order.len() as f64;
    let again = server.put(work.lines(again))?;
    let (key, points) = &work.series[SERIES / 2];
    server.check(key, points, order.len())?;
    Ok([bytes, put / 1e3, again / 1e3])
}

/// Orders in turn, so that ratios are taken between neighbours in time.
fn orders() -> Result<()> {
    let work = Work::new(WALK, SERIES);
    let random = work.shuffled();
    let last = work.order[work.order.len() - 100 * SERIES..].repeat(10);
    let figures = medians(ROUNDS, || {
        let [bytes, micros, again] = load(&work, &work.order, &last)?;
        let [random_bytes, random, _] = load(&work, &random, &last[..1])?;
        Ok([bytes, micros, random / micros, random_bytes, again / micros])
    })?;
    let names = [
        ("walk, two decimals, every 10 s: bytes a point", "≤ 1.3"),
        ("  in order, 1 x 1,000: server CPU µs a put", "≤ 0.12"),
        ("  random order: times in order", "≤ 4"),
        ("  random order: bytes a point", ""),
        ("  the last 100 points again: times in order", "≤ 1.5"),
    ];
    rows(names, figures);
    Ok(())
}

/// A store that grows to 100 M points, beside one that holds a million.
fn growth() -> Result<()> {
    const MARK: usize = 100_000_000;
    /// Puts to either at the end: what fills a block of each series, be it full or empty before;
    /// in turns, since the machine's speed moves meanwhile.
    const COMPARED_PUTS: usize = 1_120_000;
    const TURNS: usize = 14;
    let (many, few) = (Server::metricd("")?, Server::metricd("")?);
    let (mut many_puts, mut few_puts) = (puts(STEP), puts(STEP));
    many.put(many_puts.by_ref().take(MARK - COMPARED_PUTS))?;
    few.put(few_puts.by_ref().take(1_000_000))?;
    let (mut with_few, mut with_many) = (0.0, 0.0);
    for _ in 0..TURNS {
        with_few += few.put(few_puts.by_ref().take(COMPARED_PUTS / TURNS))?;
        with_many += many.put(many_puts.by_ref().take(COMPARED_PUTS / TURNS))?;
    }
    let ratio = with_many / with_few;
    row("a put at 100 M points: times one at 1 M", ratio, "≤ 1.15");
    check(&many, MARK)?;
    let bytes = many.memory_at_rest()?.resident;
    row("  resident then, MB", bytes / 1e6, "≤ 130");
    Ok(())
}

/// Whether a server has so many points, put in turn to all series.
pub fn check(server: &Server, points: usize) -> Result<()> {
    let series: Vec<Point> = walk(SERIES / 2).take(points / SERIES).collect();
    server.check(&key(SERIES / 2), &series, points)
}
