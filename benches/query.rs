//! Queries over HTTP: how much of the server's processor time they take beside gets of the same points,
//! and whom they hold up.
//!
//!     cargo bench --bench query -- [--render | --long | --find | --puts]
//!
//! Each option is one part only. With Debian's graphite-web, `--render` has it render the same. Answers are checked before they are timed. Processor time is the server's
//! own, from `/proc`; the rounds of what is compared take turns, and a figure is the median of their ratios.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use metricd::Point;
use support::client::Client;
use support::http::get;
use support::latency::waits_under;
use support::process::Process;
use support::series::{FIRST_TIMESTAMP, SECONDS_BETWEEN_POINTS, key, walk};
use support::table::{median, print_row};

const ROUNDS: usize = 9;

/// How long puts are timed.
const PUTS_TIME: Duration = Duration::from_secs(5);

const CLIENTS: usize = 8;

fn main() -> Result<()> {
    let parts = support::parts(&["--render", "--long", "--find", "--puts"], &[])?;
    println!("{}\n", support::process::machine()?);
    for part in parts {
        match part {
            "--render" => render()?,
            "--long" => long()?,
            "--find" => find()?,
            _ => puts()?,
        }
    }
    Ok(())
}

/// A server, a client of its main port, and where it speaks HTTP.
struct Server {
    process: Process,
    client: Client,
    http: SocketAddr,
}

impl Server {
    fn start() -> Result<Server> {
        let process = Process::metricd(["--http", "127.0.0.1:0"])?;
        let http = process.announced()?.parse()?;
        let client = Client::connect(&process)?;
        Ok(Server {
            process,
            client,
            http,
        })
    }

    fn put(&mut self, key: &str, points: impl Iterator<Item = Point>) -> Result<()> {
        let lines =
            points.map(|Point { timestamp, value }| format!("put {key} {value:?} {timestamp}\n"));
        self.client.put_lines(lines).map(drop)
    }

    /// Microseconds of the server's processor time.
    fn cpu_of(&mut self, work: impl FnOnce(&mut Server) -> Result<()>) -> Result<f64> {
        let before = self.process.cpu()?.running;
        work(self)?;
        Ok((self.process.cpu()?.running - before) * 1e6)
    }

    /// How many times the processor time of `other` one takes, and both in microseconds.
    fn compare(
        &mut self,
        mut one: impl FnMut(&mut Server) -> Result<()>,
        mut other: impl FnMut(&mut Server) -> Result<()>,
    ) -> Result<(f64, f64, f64)> {
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ones.push(self.cpu_of(&mut one)?);
            others.push(self.cpu_of(&mut other)?);
        }
        let ratios = ones.iter().zip(&others).map(|(one, other)| one / other);
        let ratio = median(ratios.collect()).context("no rounds")?;
        Ok((
            ratio,
            median(ones).context("no rounds")?,
            median(others).context("no rounds")?,
        ))
    }
}

/// What a series of these values looks like in JSON.
fn json(key: &str, start: i64, step: i64, values: impl Iterator<Item = f64>) -> Result<String> {
    let mut json =
        format!("{{\"target\": \"{key}\", \"tags\": {{\"name\": \"{key}\"}}, \"datapoints\": [");
    for (place, value) in values.enumerate() {
        let separator = if place > 0 { ", " } else { "" };
        write!(
            json,
            "{separator}[{value:?}, {}]",
            start + place as i64 * step
        )?;
    }
    json.push_str("]}");
    Ok(json)
}

const SERIES: usize = 1_000;
const POINTS: usize = 360;

/// A thousand series of an hour, and the query that asks for all of them.
fn hour() -> Result<(Server, String)> {
    let mut server = Server::start()?;
    let points = |series| walk(series, 20, 0).take(POINTS);
    for series in 0..SERIES {
        server.put(&key(series), points(series))?;
    }
    let until = FIRST_TIMESTAMP + SECONDS_BETWEEN_POINTS * (POINTS as i64 - 1);
    let from = FIRST_TIMESTAMP - 1;
    let query = format!("/render?target=*.cpu.sys&format=json&from={from}&until={until}");
    let mut expected = Vec::new();
    for series in 0..SERIES {
        let values = points(series).map(|point| point.value);
        expected.push(json(
            &key(series),
            FIRST_TIMESTAMP,
            SECONDS_BETWEEN_POINTS,
            values,
        )?);
    }
    let answer = get(server.http, &query)?;
    let expected = format!("[{}]", expected.join(", "));
    ensure!(
        answer == expected.as_bytes(),
        "a render is not what was put"
    );
    server.client.send(b"get *\n")?;
    server.client.expect_lines(SERIES * POINTS + 2, b"\n\n")?;
    Ok((server, query))
}

fn render() -> Result<()> {
    let (mut server, query) = hour()?;
    let (ratio, get_time, render_time) = server.compare(
        |server| {
            server.client.send(b"get *\n")?;
            server.client.read_lines(SERIES * POINTS + 2, b"\n\n")?;
            Ok(())
        },
        |server| get(server.http, &query).map(drop),
    )?;
    let points = (SERIES * POINTS) as f64;
    print_row(
        "get * of 1,000 series × 360 points: points/s of CPU",
        points * 1e6 / get_time,
        "",
    );
    print_row(
        "/render of the same as JSON: points/s of CPU",
        points * 1e6 / render_time,
        "",
    );
    print_row("    against the get", ratio, "must ≥ 0.4, aim 0.8");
    match graphite_web()? {
        Some(seconds) => print_row(
            "the same by graphite-web over whisper: points/s of CPU",
            points / seconds,
            "",
        ),
        None => println!("graphite-web is not installed"),
    }
    Ok(())
}

/// Seconds of processor time that graphite-web takes for the same, if it is installed.
fn graphite_web() -> Result<Option<f64>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/graphite_web.py");
    let arguments = [SERIES, POINTS, SECONDS_BETWEEN_POINTS as usize, ROUNDS];
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(script)
        .args(arguments.map(|number| number.to_string()));
    let Ok(output) = command.output() else {
        return Ok(None);
    };
    if output.status.code() == Some(2) {
        return Ok(None);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "graphite-web fails: {errors}");
    Ok(Some(str::from_utf8(&output.stdout)?.trim().parse()?))
}

/// One long series to a thousand points.
fn long() -> Result<()> {
    const POINTS: usize = 1_000_000;
    const STEPS: usize = 1_000;
    let mut server = Server::start()?;
    let points = || walk(7, 20, 0).take(POINTS);
    server.put("long", points())?;
    let step = SECONDS_BETWEEN_POINTS * POINTS as i64 / STEPS as i64;
    // The next one of the ladder.
    let (from, step) = (
        FIRST_TIMESTAMP - 1,
        (step > 7_200).then_some(10_800).context("another step")?,
    );
    let until = FIRST_TIMESTAMP + SECONDS_BETWEEN_POINTS * (POINTS as i64 - 1);
    let query =
        format!("/render?target=long&maxDataPoints={STEPS}&format=json&from={from}&until={until}");
    let start = from - from.rem_euclid(step) + step;
    let end = until - until.rem_euclid(step) + step;
    let mut sums = vec![(0.0, 0.0); ((end - start) / step) as usize];
    for point in points().filter(|point| point.timestamp >= start) {
        let (sum, count) = &mut sums[((point.timestamp - start) / step) as usize];
        (*sum, *count) = (*sum + point.value, *count + 1.0);
    }
    let values = sums.iter().map(|(sum, count)| sum / count);
    let expected = format!("[{}]", json("long", start, step, values)?);
    let answer = get(server.http, &query)?;
    ensure!(
        answer == expected.as_bytes(),
        "a render is not the means of what was put"
    );

    let (ratio, render_time, get_time) = server.compare(
        |server| get(server.http, &query).map(drop),
        |server| {
            server.client.send(b"get long\n")?;
            server.client.read_lines(POINTS + 2, b"\n\n")?;
            Ok(())
        },
    )?;
    print_row(
        "get of 1 M points of one series: ms of CPU",
        get_time / 1e3,
        "",
    );
    print_row(
        "/render of them to 1,000 points: ms of CPU",
        render_time / 1e3,
        "",
    );
    print_row("    against the get", ratio, "must ≤ 0.5, aim 0.2");
    Ok(())
}

/// The first nodes of a million series.
fn find() -> Result<()> {
    const SERIES: usize = 1_000_000;
    const NODES: usize = 1_000;
    let mut server = Server::start()?;
    let line = |series| {
        format!(
            "put node{:03}.metric{:03} 1 {FIRST_TIMESTAMP}\n",
            series % NODES,
            series / NODES
        )
    };
    server.client.put_lines((0..SERIES).map(line))?;
    let query = "/metrics/find?query=*";
    let found = get(server.http, query)?;
    let nodes = memchr::memmem::find_iter(&found, b"\"text\"").count();
    ensure!(nodes == NODES, "{nodes} nodes are found");
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        cpu.push(server.cpu_of(|server| get(server.http, query).map(drop))? / 1e3);
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let median = |times| median(times).context("no rounds");
    print_row(
        "/metrics/find?query=* at 1 M series in 1,000 first nodes: ms",
        median(times)?,
        "must ≤ 50, aim 5",
    );
    print_row("    ms of CPU", median(cpu)?, "");
    let idle = p99_under(&server, idle)?;
    let beside = p99_under(&server, |stop| {
        while !stop.load(Ordering::Relaxed) {
            get(server.http, query)?;
        }
        Ok(())
    })?;
    print_row(
        "    p99 of a put beside it, more than alone: ms",
        beside - idle,
        "must ≤ 1",
    );
    Ok(())
}

fn puts() -> Result<()> {
    let (server, query) = hour()?;
    let idle = p99_under(&server, idle)?;
    let rendering = p99_under(&server, |stop| {
        load(stop, || get(server.http, &query).map(drop))
    })?;
    print_row("p99 of a put, alone: ms", idle, "");
    print_row(
        "    while 8 clients render without pause, more than alone",
        rendering - idle,
        "must ≤ 1, aim 0.2",
    );
    Ok(())
}

fn idle(stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Eight clients ask for something without pause, until they are told to stop.
fn load(stop: &AtomicBool, ask: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let ask = || -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            ask()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        for client in clients {
            client.join().ok().context("a client panicked")??;
        }
        Ok(())
    })
}

/// The milliseconds in which 99 of 100 puts are answered, each by itself, while a load lasts.
fn p99_under(server: &Server, load: impl FnOnce(&AtomicBool) -> Result<()> + Send) -> Result<f64> {
    Ok(waits_under(&server.process, PUTS_TIME, load)?.percentile(99))
}
