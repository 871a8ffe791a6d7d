//! What was measured, by block, column and server, and the tables of it.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;

use crate::cases::CASES;
use crate::servers::{Need, Running, Server};
use crate::support::process::machine;
use crate::support::table::{figure, median, table};

const NOTES: &str = include_str!("notes.md");

/// A table of all servers.
pub struct Block {
    pub title: &'static str,
    /// What a server must be able to do.
    pub needs: &'static [Need],
    /// Names with `|` between them, with an arrow after those by which the others are compared
    /// with metricd: more is better, or less.
    pub columns: &'static str,
}

#[derive(Default)]
pub struct Report {
    /// Times that every case is measured on every server.
    pub rounds: usize,
    /// Length of one measured interval.
    pub interval: Duration,
    /// Only the blocks with this in their title.
    pub only: String,
    /// Whether the figures are written into the files of the repository too.
    pub writes_readme: bool,
    /// metricd first; each with what it says of its version.
    pub servers: Vec<(&'static Server, String)>,
    /// Which servers are left out, and which measurements failed.
    pub notes: Vec<String>,
    /// Of each round, by a block's title, a column's number and a server's name. A measurement
    /// that failed has none, and fails the whole.
    pub figures: HashMap<(&'static str, usize, &'static str), Vec<f64>>,
}

/// One server, running, and where its figures go.
pub struct Setup<'a> {
    pub report: &'a mut Report,
    pub running: &'a Running,
}

impl Setup<'_> {
    pub fn interval(&self) -> Duration {
        self.report.interval
    }

    pub fn wants(&self, block: &Block) -> bool {
        self.report.wants(block, self.running.server)
    }

    /// Takes a figure for each column; what is not a number is none.
    pub fn record(&mut self, block: &'static Block, values: &[f64]) {
        let columns = block.columns.split('|').count();
        assert_eq!(values.len(), columns, "{}", block.title);
        for (column, &value) in values.iter().enumerate() {
            let place = (block.title, column, self.running.server.name);
            let rounds = self.report.figures.entry(place).or_default();
            rounds.extend((!value.is_nan()).then_some(value));
        }
    }
}

impl Report {
    pub fn wants(&self, block: &Block, server: &Server) -> bool {
        block.title.contains(&self.only) && server.can(block.needs)
    }

    /// Of each round.
    fn values(&self, block: &Block, column: usize, server: &Server) -> &[f64] {
        let place = (block.title, column, server.name);
        self.figures.get(&place).map_or(&[], Vec::as_slice)
    }

    pub fn median(&self, block: &Block, column: usize, server: &Server) -> Option<f64> {
        median(self.values(block, column, server).to_vec())
    }

    /// How many times better metricd is than this server. Round by round, because the machine
    /// changes between rounds more than within one.
    fn advantage(&self, block: &Block, column: usize, server: &Server) -> Option<f64> {
        let is_less_better = block.columns.split('|').nth(column)?.ends_with('↓');
        let own = self.values(block, column, self.servers[0].0);
        let pairs = own.iter().zip(self.values(block, column, server));
        let ratios = pairs.map(|(own, theirs)| own / theirs);
        let ratio = median(ratios.collect())?;
        Some(if is_less_better { 1.0 / ratio } else { ratio })
    }

    /// How the figures came, and a table for each block.
    pub fn markdown(&self) -> Result<String> {
        let (rounds, interval) = (self.rounds, self.interval);
        let mut text = format!(
            "# metricd beside its peers\n\n\
             Written by `cargo bench --bench versus`, on {}. Rounds: {rounds}, of {interval:?} a \
             figure; medians, and the least to the most.\n\n{NOTES}\n",
            machine()?
        );
        for (server, version) in &self.servers {
            writeln!(text, "- {}: `{}` {version}", server.name, server.command)?;
        }
        for note in &self.notes {
            writeln!(text, "\n{note}")?;
        }
        for block in CASES.iter().flat_map(|case| case.blocks) {
            if self.wants(block, self.servers[0].0) {
                writeln!(text, "\n## {}\n\n{}", block.title, self.table(block))?;
            }
        }
        Ok(text.replace('*', "\\*").trim_end().to_string() + "\n")
    }

    fn table(&self, block: &Block) -> String {
        let head = |name: &str| match is_compared(name) {
            true => format!("|{name}|×"),
            false => format!("|{name}"),
        };
        let head: String = block.columns.split('|').map(head).collect();
        let servers = self.servers.iter().map(|(server, _)| *server);
        let able = servers.filter(|server| server.can(block.needs));
        table(&head, able.map(|server| self.row(block, server)).collect())
    }

    fn row(&self, block: &Block, server: &Server) -> Vec<String> {
        let mut cells = vec![server.name.to_string()];
        for (column, name) in block.columns.split('|').enumerate() {
            let middle = self.median(block, column, server);
            cells.push(middle.map_or("–".into(), figure));
            if is_compared(name) {
                let mut values = self.values(block, column, server).to_vec();
                values.sort_by(f64::total_cmp);
                if let ([least, .., most], Some(cell)) = (&values[..], cells.last_mut()) {
                    *cell += &format!(" ({}–{})", figure(*least), figure(*most));
                }
                let advantage = self.advantage(block, column, server);
                cells.push(advantage.map_or("–".into(), figure));
            }
        }
        cells
    }
}

fn is_compared(column: &str) -> bool {
    column.ends_with(['↑', '↓'])
}
