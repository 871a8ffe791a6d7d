//! What fits under `--memory-limit`: the formula and the table of the README, and whether they are
//! true.
//!
//! Servers are filled with few and with many series until they refuse a put, and with twice as much
//! as there is room for while they evict. Each must hold as many points of every series as the formula
//! says. What they grew by gives the bytes of a series and of a point.
//! `METRICD_MEMORY_LIMIT=64M` fills larger ones.

use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use procfs_core::{FromRead, process::Status};

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::series::key;
use crate::support::table::{figure, table};
use crate::wire::Server;
use crate::work::{Kind, NOISE, WALK};

/// What is kept free for connections, and for what comes between two looks at the memory.
const FREE_SHARE: f64 = 0.05;

/// What the process takes beside series and points, with `--data`. Without it, it is 0.3 MB less.
const OWN_BYTES: f64 = 2.8e6;

/// The oldest points of a series go as a block of so many.
const BLOCK_POINTS: f64 = 1_120.0;

/// Values of some kind, and what they take.
struct Values {
    name: &'static str,
    kind: Kind,
    /// Of a series beside what its points take: its key of 18 bytes, its place in the index, and
    /// what its newest points take before they are compressed.
    series_bytes: f64,
    point_bytes: f64,
}

const VALUES: [Values; 2] = [
    Values {
        name: "two decimals",
        kind: WALK,
        series_bytes: 620.0,
        point_bytes: 1.05,
    },
    Values {
        name: "17 digits",
        kind: NOISE,
        series_bytes: 1_100.0,
        point_bytes: 7.8,
    },
];

const LIMITS: [(&str, usize); 4] = [
    ("16M", 16 << 20),
    ("64M", 64 << 20),
    ("256M", 256 << 20),
    ("1G", 1 << 30),
];

/// How many series there are, and the seconds between two points of each.
const LOADS: [(&str, f64, f64); 4] = [
    ("100 series, every 1 s", 100.0, 1.0),
    ("1,000 series, every 10 s", 1e3, 10.0),
    ("5,000 series, every 60 s", 5e3, 60.0),
    ("50,000 series, every 60 s", 5e4, 60.0),
];

/// The points of each series when there are many: more than a block.
const FEWEST_POINTS: f64 = 1_500.0;

/// Of the limit, for series and points, at least.
const LEAST_SHARE: f64 = 0.8;

/// Of the limit, at any time.
const MOST_SHARE: f64 = 1.05;

pub fn run() -> Result<()> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))?;
    for part in [formulas(), what_fits()] {
        println!("{part}");
        ensure!(readme.contains(&part), "the README says otherwise");
    }

    let limit = env::var("METRICD_MEMORY_LIMIT").unwrap_or("16M".into());
    let known = LIMITS.into_iter().find(|(name, _)| *name == limit);
    let (_, limit_bytes) = known.with_context(|| format!("{limit} is not in the README"))?;
    for values in VALUES {
        println!("{}, --memory-limit {limit}\n", values.name);
        values.check(&limit, limit_bytes as f64)?;
    }
    Ok(())
}

/// How many points there is room for in each series, as the README has it.
fn formulas() -> String {
    VALUES.iter().map(Values::formula).collect()
}

/// The table of the README: how long points are kept, of the one kind of values and of the other.
fn what_fits() -> String {
    let row = |(load, series, seconds): (&str, f64, f64)| {
        let cells = LIMITS.map(|(_, limit_bytes)| {
            let times = VALUES.each_ref().map(|values| {
                let points = values.points(limit_bytes as f64, series) - BLOCK_POINTS;
                duration(points.floor() * seconds)
            });
            times.join(" / ")
        });
        [vec![load.to_string()], cells.into()].concat()
    };
    let names = VALUES.each_ref().map(|values| values.name).join(" / ");
    let limits = LIMITS.map(|(name, _)| name).join("|");
    table(&format!("{names}|{limits}"), LOADS.map(row).into())
}

/// Two digits or more, rounded down.
fn duration(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    let unit = units.iter().find(|(unit, _)| seconds >= 10.0 * unit);
    unit.map_or("–".into(), |(unit, name)| {
        format!("{} {name}", (seconds / unit).floor())
    })
}

/// What is left for series and points.
fn room_bytes(limit_bytes: f64) -> f64 {
    limit_bytes * (1.0 - FREE_SHARE) - OWN_BYTES
}

impl Values {
    fn formula(&self) -> String {
        let (share, own) = (1.0 - FREE_SHARE, OWN_BYTES / 1e6);
        let (name, series, point) = (self.name, self.series_bytes, self.point_bytes);
        format!("- {name}: points = (({share} × limit − {own} MB) ÷ series − {series}) ÷ {point}\n")
    }

    /// How many points of each series there is room for.
    fn points(&self, limit_bytes: f64, series: f64) -> f64 {
        (room_bytes(limit_bytes) / series - self.series_bytes) / self.point_bytes
    }

    fn check(&self, limit: &str, limit_bytes: f64) -> Result<()> {
        let many = room_bytes(limit_bytes) / (self.series_bytes + FEWEST_POINTS * self.point_bytes);
        let (few, many) = (many as usize / 8, many as usize);
        let (mut rows, mut all) = (Vec::new(), Vec::new());
        for (when_full, series) in [("refuse", few), ("refuse", many), ("evict", many)] {
            let room = self.points(limit_bytes, series as f64);
            let (promised, rounds) = match when_full {
                "evict" => (room - BLOCK_POINTS, Some(2 * room as usize)),
                _ => (room, None),
            };
            let options = ["--memory-limit", limit, "--when-full", when_full];
            let full = Full::new(&options, &self.kind, series, rounds)?;
            let shares = [full.grown_bytes, full.peak_bytes].map(|bytes| bytes / limit_bytes);
            let figures = [full.points, promised, full.own_bytes, shares[0], shares[1]].map(figure);
            rows.push([vec![when_full.into(), series.to_string()], figures.into()].concat());
            all.push((full, promised, shares));
        }
        let head = "at the limit|series|points of each|must ≥|own bytes|grown by|at its peak";
        println!("{}", table(head, rows));
        print_bytes(&all[0].0, &all[1].0);
        for (full, promised, [grown, peak]) in all {
            ensure!(full.points >= promised, "there is not so much room");
            ensure!(grown >= LEAST_SHARE && peak <= MOST_SHARE, "of the limit");
        }
        Ok(())
    }
}

/// Prints what a series and a point took. The former goes up and down by some hundred bytes while
/// the newest 160 points come in, which are compressed together.
fn print_bytes(few: &Full, many: &Full) {
    let [of_few, of_many] = [few, many].map(|full| full.grown_bytes / full.series);
    let point_bytes = (of_few - of_many) / (few.points - many.points);
    let series_bytes = of_many - many.points * point_bytes;
    let [series, point] = [series_bytes, point_bytes].map(figure);
    println!("{series} bytes a series, {point} bytes a point\n");
}

/// A server that has no room for more.
struct Full {
    series: f64,
    /// Of the series that has the fewest.
    points: f64,
    /// Before the first put.
    own_bytes: f64,
    /// By series and points.
    grown_bytes: f64,
    peak_bytes: f64,
}

impl Full {
    /// Puts so many points to each series or, if none are given, until one is not stored.
    fn new(options: &[&str], kind: &Kind, series: usize, rounds: Option<usize>) -> Result<Full> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metricd"));
        let command = command.args(["--listen", "127.0.0.1:0"]).args(options);
        let mut server = Server::over(Process::start(command, &[])?)?;
        let keys: Vec<String> = (0..series).map(key).collect();
        let mut makers: Vec<_> = (0..series).map(kind.make).collect();
        let puts = rounds.map_or(usize::MAX, |rounds| rounds * series);
        let puts = (0..puts).map(|number| number % series);
        let puts = puts.filter_map(|series| Some((&*keys[series], makers[series].next()?)));
        let outcome = server.put(puts);
        let grown_bytes = server.process.memory_at_rest()?.resident - server.start_bytes;

        let mut client = Client::connect(&server.process)?;
        if rounds.is_some() {
            outcome?;
        } else {
            ensure!(outcome.is_err(), "all is stored");
            expect_refusal(&mut client)?;
        }
        let mut points = usize::MAX;
        for key in &keys {
            client.send(format!("get {key}\n").as_bytes())?;
            points = points.min(client.read_lines(0, b"\n\n")? - 2);
        }
        let status = Status::from_file(format!("/proc/{}/status", server.process.child.id()))?;
        Ok(Full {
            series: series as f64,
            points: points as f64,
            own_bytes: server.start_bytes,
            grown_bytes,
            peak_bytes: status.vmhwm.context("no VmHWM")? as f64 * 1024.0,
        })
    }
}

/// Puts new keys until one is refused: the buffers of the connection that has filled the server are free
/// by now, so there is room for some.
fn expect_refusal(client: &mut Client) -> Result<()> {
    for number in 0..10_000 {
        client.send(format!("put new.key.{number} 1 1\n").as_bytes())?;
        // `ok` and a blank line, or `error`, `not stored` and one.
        if client.read_lines(0, b"\n\n")? == 3 {
            return Ok(());
        }
    }
    bail!("there is room for many more, though a put was not stored");
}
