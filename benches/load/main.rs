//! Hostile loads: what the server must keep to whatever its clients do.
//!
//!     cargo bench --bench load -- [--only TEXT] [--small]
//!
//! Each case starts a server of its own, puts a load on it and prints what was measured beside
//! what it must be at most. All replies that clients read are compared byte by byte.
//!
//! `--only` runs the cases with this in their title. `--small` takes a tenth of everything and
//! no limits: it tries whether all runs and is answered rightly. Otherwise a limit that is missed
//! is a failure.

mod cases;
mod crowd;
mod daemon;
mod full;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lexopt::prelude::*;

use daemon::Daemon;
use support::latency::Waits;

/// What a figure must be at most, and its unit.
type Limit = (f64, &'static str);

/// What was asked for, and how often a limit was missed so far.
#[derive(Default)]
struct Bench {
    only: String,
    is_small: bool,
    missed: usize,
}

fn main() -> Result<()> {
    let mut bench = Bench::parse()?;
    support::process::open_many_files()?;
    let mut failed = 0;
    for (title, case) in cases::CASES {
        if title.contains(&bench.only) {
            println!("{title}");
            let begin = Instant::now();
            if let Err(error) = case(&mut bench) {
                failed += 1;
                println!("  failed: {error:#}");
            }
            println!("  ({} s)", begin.elapsed().as_secs());
        }
    }
    let missed = bench.missed;
    println!("{missed} limits missed, {failed} cases failed");
    ensure!(failed + missed == 0, "not as it must be");
    Ok(())
}

impl Bench {
    fn parse() -> Result<Bench> {
        let mut bench = Bench::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                // What cargo itself passes to every bench.
                Long("bench") => {}
                Long("only") => bench.only = parser.value()?.string()?,
                Long("small") => bench.is_small = true,
                _ => return Err(argument.unexpected().into()),
            }
        }
        Ok(bench)
    }

    /// A count as it is, or a tenth of it.
    fn scaled(&self, count: u32) -> u32 {
        if self.is_small { count / 10 } else { count }
    }

    fn seconds(&self, seconds: u32) -> Duration {
        Duration::from_millis(self.scaled(1_000 * seconds).into())
    }

    fn start(&self) -> Result<Daemon> {
        Daemon::start(&["--stop-timeout", &self.scaled(5).to_string()])
    }

    /// Prints a figure and what it must be at most.
    fn row(&mut self, what: &str, figure: f64, (most, unit): Limit, note: &str) {
        let is_missed = !self.is_small && figure > most;
        self.missed += usize::from(is_missed);
        let verdict = if is_missed { "MISSED" } else { "" };
        println!("  {what:<36} {figure:>9.2} {unit:<3} ≤ {most:>4} {verdict:<6} {note}");
    }

    fn waits(&mut self, what: &str, waits: Waits) {
        let (p99, by_the_clock) = (waits.percentile(99), waits.longest_by_the_clock);
        let note = format!("p99 {p99:.2} ms, longest by the clock {by_the_clock:.2} ms");
        self.row(what, waits.percentile(100), cases::LONGEST_WAIT, &note);
    }
}
