//! The command line.

use std::time::Duration;

pub const USAGE: &str =
    "cargo bench --bench versus -- [--rounds N] [--seconds S] [--only TEXT] [--readme]";

#[derive(Debug)]
pub struct Options {
    /// Times that every case is measured on every server. Default: 3.
    pub rounds: usize,
    /// Length of one measured interval. Default: 1 s.
    pub interval: Duration,
    /// Only the blocks of the table with this in their title. Default: all of them.
    pub only: Option<String>,
    /// Whether the table and the chart are written into the README too. Default: no.
    pub readme: bool,
}

const ROUNDS_MOST: usize = 1_000;
const SECONDS_LEAST: f64 = 0.05;
const SECONDS_MOST: f64 = 600.0;

impl Options {
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: 3,
            interval: Duration::from_secs(1),
            only: None,
            readme: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} takes a value; usage: {USAGE}"))
            };
            match argument.as_str() {
                // What cargo itself passes to every bench.
                "--bench" => {}
                "--rounds" => options.rounds = rounds(&value()?)?,
                "--seconds" => options.interval = seconds(&value()?)?,
                "--only" => options.only = Some(value()?),
                "--readme" => options.readme = true,
                _ => return Err(format!("unknown option {argument}; usage: {USAGE}")),
            }
        }
        match options.readme && options.only.is_some() {
            true => Err("--readme takes all cases, so no --only".into()),
            false => Ok(options),
        }
    }

    pub fn wants(&self, title: &str) -> bool {
        self.only.as_ref().is_none_or(|text| title.contains(text))
    }
}

fn rounds(word: &str) -> Result<usize, String> {
    let rounds = word.parse().ok().filter(|n| (1..=ROUNDS_MOST).contains(n));
    rounds.ok_or_else(|| format!("--rounds takes 1 to {ROUNDS_MOST}, not {word}"))
}

fn seconds(word: &str) -> Result<Duration, String> {
    let seconds = word
        .parse()
        .ok()
        .filter(|seconds| (SECONDS_LEAST..=SECONDS_MOST).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("--seconds takes {SECONDS_LEAST} to {SECONDS_MOST}, not {word}"))
}
