//! What fits under `--memory-limit`: the formula and the table of the README, and whether they are
//! true.
//!
//! Servers are filled with few and with many series until they refuse a put, and with twice as much
//! as there is room for while they evict. Each must hold as many points of every series as the formula
//! says. What they grew by gives the bytes of a series and of a point.
//! `METRICD_MEMORY_LIMIT=64M` fills larger ones.

use std::io::{BufRead, BufReader, Read, Write};

use crate::support::*;
use crate::work::{Kind, NOISE, WALK};

/// What is kept free for connections, and for what comes between two looks at the memory.
const FREE_SHARE: f64 = 0.05;

/// What the process takes beside series and points, with `--data`. Without it, it is 0.3 MB less.
const OWN_BYTES: f64 = 2.8e6;

/// What of this is not code, at most.
const WRITTEN_BYTES: f64 = 0.3e6;

/// The oldest points of a series go as a block of so many.
const BLOCK_POINTS: f64 = 1_120.0;

/// Values of some kind, and what they take: of a series beside its points, which is its key of 18 bytes, its
/// place in the index, and what its newest points take before they are compressed; and of a point.
struct Values(&'static str, Kind, f64, f64);

const VALUES: [Values; 2] = [
    Values("two decimals", WALK, 620.0, 1.05),
    Values("17 digits", NOISE, 1_100.0, 7.8),
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

/// Of the limit, at any time.
const MOST_SHARE: f64 = 1.05;

pub fn run() -> Result<()> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))?;
    let formulas = VALUES.iter().map(Values::formula).collect();
    for part in [formulas, what_fits()] {
        println!("{part}");
        ensure!(readme.contains(&part), "the README says otherwise");
    }
    let limit = env::var("METRICD_MEMORY_LIMIT").unwrap_or("16M".into());
    let known = LIMITS.into_iter().find(|(name, _)| *name == limit);
    let (_, limit_bytes) = known.with_context(|| format!("{limit} is not in the README"))?;
    for values in VALUES {
        println!("{}, --memory-limit {limit}\n", values.0);
        values.check(limit_bytes as f64)?;
    }
    Ok(())
}

/// The table of the README: how long points are kept, of the one kind of values and of the other.
fn what_fits() -> String {
    let row = |(load, series, seconds): (&str, f64, f64)| {
        let cells = LIMITS.map(|(_, limit_bytes)| {
            let points = |values: &Values| values.points(limit_bytes as f64, series) - BLOCK_POINTS;
            let time = |values| duration(points(values).floor() * seconds);
            VALUES.each_ref().map(time).join(" / ")
        });
        [vec![load.to_string()], cells.into()].concat()
    };
    let names = VALUES.map(|values| values.0).join(" / ");
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

/// How much more of the program's code and its libraries is resident than the formula says. That depends on
/// what the system happens to have in memory, and is no room that the program has lost.
fn more_code_bytes() -> Result<f64> {
    let memory = Server::metricd("")?.memory_at_rest()?;
    Ok((memory.resident - memory.written + WRITTEN_BYTES - OWN_BYTES).max(0.0))
}

impl Values {
    fn formula(&self) -> String {
        let (share, own) = (1.0 - FREE_SHARE, OWN_BYTES / 1e6);
        let Values(name, _, series, point) = self;
        format!("- {name}: points = (({share} × limit − {own} MB) ÷ series − {series}) ÷ {point}\n")
    }

    /// How many points of each series there is room for.
    fn points(&self, limit_bytes: f64, series: f64) -> f64 {
        (room_bytes(limit_bytes) / series - self.2) / self.3
    }

    fn check(&self, limit_bytes: f64) -> Result<()> {
        let given_bytes = limit_bytes + more_code_bytes()?;
        let many = room_bytes(limit_bytes) / (self.2 + FEWEST_POINTS * self.3);
        let (few, many) = ((many / 8.0).floor(), many.floor());
        let mut rows: Vec<[f64; 6]> = Vec::new();
        let loads = [("refuse", few), ("refuse", many), ("evict", many)];
        for (when_full, series) in loads {
            let room = self.points(limit_bytes, series);
            let (promised, rounds) = match when_full {
                "evict" => (room - BLOCK_POINTS, Some(2 * room as usize)),
                _ => (room, None),
            };
            let options = format!("--memory-limit {given_bytes} --when-full {when_full}");
            let [points, own, grown, peak] = self.fill(&options, series as usize, rounds)?;
            let [grown, peak] = [grown, peak].map(|bytes| bytes / given_bytes);
            rows.push([series, points, promised, own, grown, peak]);
        }
        let head = "at the limit|series|points of each|must ≥|own bytes|grown by|at its peak";
        let named = loads
            .iter()
            .zip(&rows)
            .map(|(load, row)| cells(load.0, row));
        println!("{}", table(head, named.collect()));
        // The bytes of a series go up and down by some hundred while the newest 160 points come in,
        // which are compressed together.
        let bytes = [0, 1].map(|row: usize| rows[row][4] * given_bytes / rows[row][0]);
        let point = (bytes[0] - bytes[1]) / (rows[0][1] - rows[1][1]);
        let [series, point] = [bytes[1] - rows[1][1] * point, point].map(figure);
        println!("{series} bytes a series, {point} bytes a point\n");
        for [_, points, promised, .., peak] in rows {
            ensure!(points >= promised, "there is not so much room");
            let is_used = (1.0 - FREE_SHARE..=MOST_SHARE).contains(&peak);
            ensure!(is_used, "{peak} of the limit are used");
        }
        Ok(())
    }

    /// Puts so many points to each series or, if none are given, until one is not stored. Returns the points
    /// of the series that has the fewest, then bytes: before the first put, by series and points, at the peak.
    fn fill(&self, options: &str, series: usize, rounds: Option<usize>) -> Result<[f64; 4]> {
        let server = Server::metricd(options)?;
        let own = server.memory_at_rest()?.resident;
        let keys: Vec<String> = (0..series).map(key).collect();
        let mut makers: Vec<_> = (0..series).map(self.1.2).collect();
        let puts = rounds.map_or(usize::MAX, |rounds| rounds * series);
        let puts = (0..puts).map(|number| number % series);
        let puts = puts.filter_map(|series| Some(put_line(&keys[series], &makers[series].next()?)));
        let outcome = server.put(puts);
        let grown = server.memory_at_rest()?.resident - own;
        match rounds {
            Some(_) => drop(outcome?),
            None => ensure!(outcome.is_err(), "all is stored"),
        }
        let (mut stream, mut fewest) = (BufReader::new(server.connect()?), usize::MAX);
        for key in &keys {
            stream
                .get_mut()
                .write_all(format!("get {key}\n").as_bytes())?;
            let lines = stream.by_ref().lines().map_while(Result::ok);
            // The first is `ok`, and the blank one is the end.
            let points = lines.skip(1).take_while(|line| !line.is_empty());
            fewest = fewest.min(points.count());
        }
        Ok([fewest as f64, own, grown, server.peak_bytes()?])
    }
}
