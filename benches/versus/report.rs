//! What was measured, and the table of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::generator::Interval;
use crate::options::Options;
use crate::servers::Server;

const ROW_WIDTH: usize = 38;
const VALUE_WIDTH: usize = 12;
const RATIO_WIDTH: usize = 12;

/// A measured interval is called noisy when either side waited for a core for longer than this.
const NOISY_SHARE: f64 = 0.1;

/// The figures of one row: by server, then by round.
type Figures = Vec<Vec<Option<f64>>>;

pub struct Report<'a> {
    options: &'a Options,
    servers: &'a [Server],
    rows: Vec<Row>,
    /// Rounds in which the load generator was the limit, by title and server.
    limited: BTreeMap<(String, usize), usize>,
    /// Why a server's cells of a title are empty, by title and server.
    cannot: BTreeMap<(String, usize), &'static str>,
    failures: Vec<String>,
    intervals: usize,
    noisy_intervals: usize,
}

struct Row {
    title: String,
    name: &'static str,
    figures: Figures,
}

impl Row {
    /// Rows on how busy a side was explain the others, neither more nor less of it is better;
    /// and a store that grew by its puts grew by as many of them as it took.
    fn is_compared(&self) -> bool {
        !self.name.contains("busy") && !self.name.contains("growth by the puts")
    }

    /// What a faster load generator might have raised.
    fn is_a_rate(&self) -> bool {
        self.name.contains("/s") && !self.name.contains("CPU")
    }
}

/// Takes the figures of one server in one round.
pub struct Recorder<'a, 'b> {
    pub report: &'a mut Report<'b>,
    pub server: usize,
    pub round: usize,
}

impl Recorder<'_, '_> {
    pub fn record(&mut self, title: &str, rows: &[&'static str], values: &[f64]) {
        assert_eq!(rows.len(), values.len(), "a value for each row of {title}");
        for (name, value) in rows.iter().zip(values) {
            if let Some(row) = self.report.row(title, name) {
                row.figures[self.server][self.round] = Some(*value);
            }
        }
    }

    /// Keeps in mind what the reader of the figures should know about how they came.
    pub fn note(&mut self, title: &str, interval: &Interval) {
        self.report.intervals += 1;
        if interval.waiting_share() > NOISY_SHARE {
            self.report.noisy_intervals += 1;
        }
        if interval.generator_was_the_limit() {
            let place = (title.to_string(), self.server);
            *self.report.limited.entry(place).or_default() += 1;
        }
    }

    pub fn cannot(&mut self, title: &str, reason: &'static str) {
        let place = (title.to_string(), self.server);
        self.report.cannot.insert(place, reason);
    }

    pub fn failed(&mut self, title: &str, reason: &str) {
        let name = self.report.servers[self.server].name;
        let round = self.round + 1;
        let failure = format!("{name}, {title}, round {round}: {reason}");
        self.report.failures.push(failure);
    }
}

impl<'a> Report<'a> {
    pub fn new(options: &'a Options, servers: &'a [Server]) -> Report<'a> {
        Report {
            options,
            servers,
            rows: Vec::new(),
            limited: BTreeMap::new(),
            cannot: BTreeMap::new(),
            failures: Vec::new(),
            intervals: 0,
            noisy_intervals: 0,
        }
    }

    /// Declares the rows that a title will have, in the order they are to be shown.
    pub fn declare(&mut self, title: &str, rows: &'static [&'static str]) {
        for name in rows.iter().filter(|row| self.options.wants(title, row)) {
            self.rows.push(Row {
                title: title.to_string(),
                name,
                figures: vec![vec![None; self.options.rounds]; self.servers.len()],
            });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    fn row(&mut self, title: &str, name: &str) -> Option<&mut Row> {
        let mut rows = self.rows.iter_mut();
        rows.find(|row| row.title == title && row.name == name)
    }

    pub fn print(&self) {
        println!("{}", self.header());
        let mut title = "";
        for row in &self.rows {
            if row.title != title {
                title = &row.title;
                println!("\n{title}");
            }
            println!("{}", self.line(row));
        }
        self.print_notes();
    }

    fn header(&self) -> String {
        let subject = self.servers[0].name;
        let rounds = self.options.rounds;
        let mut line = format!("{:ROW_WIDTH$}", "");
        for server in self.servers {
            line += &format!("{:>VALUE_WIDTH$}", server.name);
        }
        for server in &self.servers[1..] {
            line += &format!("{:>RATIO_WIDTH$}", format!("/{}", server.name));
        }
        let others = self.servers.len() - 1;
        let width = ROW_WIDTH + VALUE_WIDTH * self.servers.len();
        let ratios = RATIO_WIDTH * others;
        let about = format!("rounds: {rounds}; medians of them, and of the ratios within each");
        format!("{about:width$}{subject:>ratios$}\n{line}")
    }

    fn line(&self, row: &Row) -> String {
        let mut line = format!("{:ROW_WIDTH$}", format!("  {}", row.name));
        for server in 0..self.servers.len() {
            line += &format!("{:>VALUE_WIDTH$}", self.cell(row, server));
        }
        for server in 1..self.servers.len() {
            let ratio = median(ratios(&row.figures[0], &row.figures[server]));
            let ratio = ratio.filter(|_| row.is_compared());
            let text = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            line += &format!("{text:>RATIO_WIDTH$}");
        }
        line.trim_end().to_string()
    }

    fn cell(&self, row: &Row, server: usize) -> String {
        let place = (row.title.clone(), server);
        if self.cannot.contains_key(&place) {
            return "cannot".into();
        }
        let Some(value) = median(row.figures[server].iter().copied().flatten().collect()) else {
            return "failed".into();
        };
        let limited = row.is_a_rate() && self.was_limited(&place);
        format!("{}{}", figure(value), if limited { "*" } else { "" })
    }

    fn was_limited(&self, place: &(String, usize)) -> bool {
        let rounds = self.limited.get(place).copied().unwrap_or_default();
        rounds * 2 > self.options.rounds
    }

    fn print_notes(&self) {
        println!();
        if self.limited.keys().any(|place| self.was_limited(place)) {
            println!("* the load generator was the limit, not the server: it could take more");
        }
        let reasons = self
            .cannot
            .iter()
            .map(|((_, server), reason)| (server, reason));
        for (server, reason) in reasons.collect::<BTreeSet<_>>() {
            println!("cannot: {}, which {reason}", self.servers[*server].name);
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        if self.intervals == 0 {
            return;
        }
        let (noisy, all) = (self.noisy_intervals, self.intervals);
        let percent = 100.0 * NOISY_SHARE;
        println!(
            "noise: in {noisy} of {all} intervals, the server or the load generator was ready to \
             run\nand had no core for over {percent} % of the time"
        );
    }
}

/// Round by round, because the machine changes between rounds more than within one.
fn ratios(subject: &[Option<f64>], other: &[Option<f64>]) -> Vec<f64> {
    let pairs = subject.iter().zip(other);
    pairs
        .filter_map(|(subject, other)| Some((*subject)? / (*other)?))
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Three to six digits, whatever the size; a count below 1,000 as it is.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e3 => {
            let whole = value.round() as i64;
            format!("{},{:03}", whole / 1_000, whole.abs() % 1_000)
        }
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
