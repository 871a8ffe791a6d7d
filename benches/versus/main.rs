//! metricd beside its peers: the same work, the same machine, the same minutes.
//!
//!     cargo bench --bench versus -- [--rounds N] [--seconds S] [--only TEXT] [--readme]
//!
//! Absolute figures move from machine to machine and from hour to hour. So the servers take
//! turns within a round, ratios are taken within it, and medians over the rounds; and one of
//! the servers is the *ceiling*, which does nothing but answer.
//!
//! Every figure comes from a server started for it, whose answers were checked before and are
//! checked while they are timed. Processor time and memory are the server's own, from `/proc`.

mod cases;
mod ceiling;
mod check;
mod dialect;
mod generator;
mod inlet;
mod report;
mod servers;
mod summary;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;
mod workload;

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, ValueExt};

use cases::{CASES, Case};
use report::{Report, Setup};
use support::process::open_many_files;

const USAGE: &str =
    "cargo bench --bench versus -- [--rounds N] [--seconds S] [--only TEXT] [--readme]";

fn main() -> Result<()> {
    let first = env::args().nth(1).unwrap_or_default();
    if first == servers::CEILING_ARGUMENT {
        return Ok(ceiling::run()?);
    }
    let report = options().context(USAGE)?;
    open_many_files()?;
    compare(report)
}

fn options() -> Result<Report> {
    let mut report = Report {
        rounds: 3,
        interval: Duration::from_secs(1),
        ..Report::default()
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            // What cargo itself passes to every bench.
            Arg::Long("bench") => {}
            Arg::Long("rounds") => report.rounds = parser.value()?.parse()?,
            Arg::Long("seconds") => {
                report.interval = Duration::try_from_secs_f64(parser.value()?.parse()?)?;
            }
            Arg::Long("only") => report.only = parser.value()?.string()?,
            Arg::Long("readme") => report.writes_readme = true,
            _ => return Err(argument.unexpected().into()),
        }
    }
    let is_whole = report.only.is_empty() || !report.writes_readme;
    ensure!(is_whole, "--readme takes all cases, so no --only");
    Ok(report)
}

fn compare(mut report: Report) -> Result<()> {
    for server in &servers::ALL {
        eprintln!("checking {}", server.name);
        match server.start().and_then(|running| check::check(&running)) {
            Ok(()) => report.servers.push((server, server.version()?)),
            // A comparison of others says nothing.
            Err(error) if report.servers.is_empty() => return Err(error),
            Err(error) => {
                let note = format!("Left out: {}: {error:#}", server.name);
                report.notes.push(note);
            }
        }
    }
    let (begin, left_out) = (Instant::now(), report.notes.len());
    for round in 0..report.rounds {
        for case in &CASES {
            measure_in_turn(case, round, &mut report, begin);
        }
    }
    println!("{}", report.markdown()?);
    let is_whole = report.notes.len() == left_out;
    ensure!(is_whole, "some measurements failed, see above");
    ensure!(!report.figures.is_empty(), "nothing to do: {USAGE}");
    match report.writes_readme {
        true => summary::write(&report),
        false => Ok(()),
    }
}

/// One case on all servers. Each round begins with another of them, because the first of a
/// round may find the machine in another state than the last.
fn measure_in_turn(case: &Case, round: usize, report: &mut Report, begin: Instant) {
    let mut servers: Vec<_> = report.servers.iter().map(|(server, _)| *server).collect();
    let first = round % servers.len();
    servers.rotate_left(first);
    for server in servers {
        if !case.blocks.iter().any(|block| report.wants(block, server)) {
            continue;
        }
        let (title, seconds) = (case.blocks[0].title, begin.elapsed().as_secs());
        let what = format!("round {}: {title}: {}", round + 1, server.name);
        eprintln!("{seconds:4} s, {what}");
        let outcome = server.start().and_then(|running| {
            let running = &running;
            let outcome = (case.measure)(&mut Setup { report, running });
            outcome.with_context(|| running.process.log())
        });
        if let Err(error) = outcome {
            report.notes.push(format!("Failed: {what}: {error:#}"));
        }
    }
}
