//! Hostile loads: what the server must keep to whatever its clients do.
//!
//!     cargo bench --bench load -- [--only TEXT] [--small] [--check] [--binary PATH]
//!
//! Each case starts a server of its own, puts a load on it and prints what was measured beside
//! what it must be at most. All replies that clients read are compared byte by byte.
//!
//! `--only` runs the cases with this in their title. `--small` takes a tenth of everything and
//! no limits: it tries whether all runs and is answered rightly. `--check` exits with 1 if a
//! limit is missed. `--binary` measures another server than the one built with the bench.

mod cases;
mod crowd;
mod daemon;
mod probe;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use rustix::process::{Resource, getrlimit, setrlimit};

use daemon::Daemon;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a figure must be at most, and its unit.
type Limit = (f64, &'static str);

/// What was asked for, and how often a limit was missed so far.
#[derive(Default)]
struct Bench {
    program: Option<PathBuf>,
    only: String,
    is_small: bool,
    is_checked: bool,
    missed: usize,
}

fn main() -> Result<()> {
    let mut bench = Bench::parse()?;
    let mut descriptors = getrlimit(Resource::Nofile);
    descriptors.current = descriptors.maximum;
    setrlimit(Resource::Nofile, descriptors)?;
    let mut failed = 0;
    for (title, case) in cases::CASES {
        if title.contains(&bench.only) {
            println!("{title}");
            let begin = Instant::now();
            if let Err(error) = case(&mut bench) {
                failed += 1;
                println!("  failed: {error}");
            }
            println!("  ({} s)", begin.elapsed().as_secs());
        }
    }
    let missed = bench.missed;
    println!("{missed} limits missed, {failed} cases failed");
    match failed > 0 || bench.is_checked && missed > 0 {
        true => Err("not as it must be".into()),
        false => Ok(()),
    }
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
                Long("check") => bench.is_checked = true,
                Long("binary") => bench.program = Some(parser.value()?.into()),
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
        let built = PathBuf::from(env!("CARGO_BIN_EXE_metricd"));
        Daemon::start(self.program.as_ref().unwrap_or(&built), self.scaled(5))
    }

    /// Prints a figure and what it must be at most.
    fn row(&mut self, what: &str, figure: f64, (most, unit): Limit, note: &str) {
        let is_missed = !self.is_small && figure > most;
        self.missed += usize::from(is_missed);
        let verdict = if is_missed { "MISSED" } else { "" };
        println!("  {what:<36} {figure:>9.2} {unit:<3} ≤ {most:>4} {verdict:<6} {note}");
    }

    fn waits(&mut self, what: &str, (longest, note): probe::Waits) {
        let milliseconds = longest.as_secs_f64() * 1e3;
        self.row(what, milliseconds, cases::LONGEST_WAIT, &note);
    }
}
