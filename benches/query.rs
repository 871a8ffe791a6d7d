//! Queries over HTTP: how much of the server's processor time they take beside gets of the same points,
//! and whom they hold up.
//!
//!     cargo bench --bench query -- [--render | --long | --find | --puts]
//!
//! Each option is one part only. With Debian's graphite-web, `--render` has it render the same. Answers are
//! checked before they are timed. Processor time is the server's own, from `/proc`; the rounds of what is
//! compared take turns, and a figure is the median of their ratios.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use anyhow::bail;
use std::process::Command;

use support::*;

const ROUNDS: usize = 9;

/// How long puts are timed.
const PUTS_TIME: Duration = Duration::from_secs(5);

const HTTP: &str = "--http 127.0.0.1:$http";

const CLIENTS: usize = 8;

const POINTS: usize = 360;

fn main() -> Result<()> {
    let [render, long]: [Part; 2] = [("render", render), ("long", long)];
    run_parts(&[render, long, ("find", find), ("puts", others_puts)], &[])
}

/// The processor time of a get and of a query, in milliseconds, and how many times the second the first is.
fn compare(server: &Server, get: &str, lines: usize, query: &str) -> Result<[f64; 3]> {
    let mut client = Fleet::one(server)?;
    medians(ROUNDS, || {
        let got = server.nanos_of(|| client.read(get, lines))?;
        let rendered = server.nanos_of(|| server.get(query).map(drop))?;
        Ok([got / 1e6, rendered / 1e6, got / rendered])
    })
}

/// What a series of these values looks like in JSON.
fn json(key: &str, start: i64, step: i64, values: impl Iterator<Item = f64>) -> String {
    let datum = |(place, value)| format!("[{value:?}, {}]", start + place as i64 * step);
    let data: Vec<String> = values.enumerate().map(datum).collect();
    let (name, data) = (format!("{{\"name\": \"{key}\"}}"), data.join(", "));
    format!("{{\"target\": \"{key}\", \"tags\": {name}, \"datapoints\": [{data}]}}")
}

/// A query for so many points ten seconds apart.
fn query(target: &str, points: usize) -> String {
    let until = FIRST_TIMESTAMP + SECONDS_BETWEEN_POINTS * (points as i64 - 1);
    let from = FIRST_TIMESTAMP - 1;
    format!("/render?target={target}&format=json&from={from}&until={until}")
}

/// A thousand series of an hour, and the query that asks for all of them.
fn hour() -> Result<(Server, String)> {
    let server = Server::filled(HTTP, puts(20).take(SERIES * POINTS))?;
    let query = query("*.cpu.sys", POINTS);
    let series = |series| {
        let values = walk(series, 20, 0).take(POINTS).map(|point| point.value);
        json(
            &key(series),
            FIRST_TIMESTAMP,
            SECONDS_BETWEEN_POINTS,
            values,
        )
    };
    let expected: Vec<String> = (0..SERIES).map(series).collect();
    let is_same = server.get(&query)? == format!("[{}]", expected.join(", "));
    ensure!(is_same, "a render is not what was put");
    Ok((server, query))
}

fn render() -> Result<()> {
    let (server, query) = hour()?;
    let [got, rendered, ratio] = compare(&server, "get *\n", SERIES * POINTS + 2, &query)?;
    let points = (SERIES * POINTS) as f64;
    let [got, rendered] = [got, rendered].map(|millis| points * 1e3 / millis);
    row("get * of 1,000 series × 360 points: points/s", got, "");
    row("/render of the same as JSON: points/s", rendered, "");
    row("    against the get", ratio, "≥ 0.4, aim 0.8");
    let theirs = points / graphite_web()?;
    row("the same by graphite-web over whisper", theirs, "");
    Ok(())
}

/// Seconds of processor time that graphite-web takes for the same; not a number if it is not installed.
fn graphite_web() -> Result<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/graphite_web.py");
    let numbers =
        [SERIES, POINTS, SECONDS_BETWEEN_POINTS as usize, ROUNDS].map(|number| number.to_string());
    let mut command = Command::new("/usr/bin/python3");
    let Ok(output) = command.arg(script).args(numbers).output() else {
        return Ok(f64::NAN);
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(str::from_utf8(&output.stdout)?.trim().parse()?),
        Some(2) => Ok(f64::NAN),
        _ => bail!("graphite-web fails: {errors}"),
    }
}

/// One long series to a thousand points.
fn long() -> Result<()> {
    const POINTS: usize = 1_000_000;
    /// The next step of the ladder above a thousandth of the time.
    const STEP: i64 = 10_800;
    let points = || walk(7, 20, 0).take(POINTS);
    let server = Server::filled(HTTP, points().map(|point| put_line("long", &point)))?;
    let query = query("long", POINTS) + "&maxDataPoints=1000";
    let start = FIRST_TIMESTAMP - FIRST_TIMESTAMP.rem_euclid(STEP) + STEP;
    let mut sums = vec![];
    for point in points().filter(|point| point.timestamp >= start) {
        let place = ((point.timestamp - start) / STEP) as usize;
        sums.resize(place + 1, (0.0, 0.0));
        let (sum, count) = &mut sums[place];
        (*sum, *count) = (*sum + point.value, *count + 1.0);
    }
    let means = sums.iter().map(|(sum, count)| sum / count);
    let is_same = server.get(&query)? == format!("[{}]", json("long", start, STEP, means));
    ensure!(is_same, "a render is not the means of what was put");

    let [got, rendered, ratio] = compare(&server, "get long\n", POINTS + 2, &query)?;
    row("get of 1 M points of one series: ms of CPU", got, "");
    row("/render of them as 1,000: ms of CPU", rendered, "");
    row("    against the get", 1.0 / ratio, "≤ 0.5, aim 0.2");
    Ok(())
}

/// The first nodes of a million series.
fn find() -> Result<()> {
    const NODES: usize = 1_000;
    const QUERY: &str = "/metrics/find?query=*";
    let key = |series| format!("node{:03}.metric{:03}", series % NODES, series / NODES);
    let line = |series| format!("put {} 1 {FIRST_TIMESTAMP}\n", key(series));
    let server = Server::filled(HTTP, (0..NODES * 1_000).map(line))?;
    let nodes = server.get(QUERY)?.matches("\"text\"").count();
    ensure!(nodes == NODES, "{nodes} nodes are found");
    let figures = medians(ROUNDS, || {
        let begin = Instant::now();
        let nanos = server.nanos_of(|| server.get(QUERY).map(drop))?;
        Ok([begin.elapsed().as_secs_f64() * 1e3, nanos / 1e6])
    })?;
    let name = "/metrics/find?query=* at 1 M series in 1,000 first nodes: ms";
    rows([(name, "≤ 50, aim 5"), ("    ms of CPU", "")], figures);
    beside(&server, 1, QUERY)
}

fn others_puts() -> Result<()> {
    let (server, query) = hour()?;
    beside(&server, CLIENTS, &query)
}

/// The milliseconds in which 99 of 100 puts are answered, each by itself, alone and while so many clients ask
/// without pause.
fn beside(server: &Server, clients: usize, query: &str) -> Result<()> {
    let ask = |stop: &AtomicBool| {
        while !stop.load(Ordering::Relaxed) {
            server.get(query)?;
        }
        anyhow::Ok(())
    };
    let alone = waits_under(server, PUTS_TIME, idle)?;
    let beside = waits_under(server, PUTS_TIME, |stop| {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(|| ask(stop))).collect();
            let mut joined = clients.into_iter().map(|client| client.join().ok());
            joined.try_for_each(|outcome| outcome.context("a client panicked")?)
        })
    })?;
    let [alone, beside] = [alone, beside].map(|waits| waits.millis(0.99));
    row("p99 of a put, alone: ms", alone, "");
    let name = format!("    while {clients} clients ask without pause, more than alone");
    row(&name, beside - alone, "≤ 1, aim 0.2");
    Ok(())
}
