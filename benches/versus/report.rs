//! What was measured, by block, column and server, and the tables of it.

use crate::cases::CASES;
use crate::servers::{Need, Peer};
use crate::support::*;
use std::collections::HashMap;
use std::fmt::Write;

const NOTES: &str = include_str!("notes.md");

/// A table of all servers: its title, and what a server must be able to do. Then names of columns with
/// `|` between them, with an arrow after those by which the others are compared with metricd: more is
/// better, or less.
pub struct Block(pub &'static str, pub &'static [Need], pub &'static str);

#[derive(Default)]
pub struct Report {
    /// Times that every case is measured on every server.
    pub rounds: usize,
    /// Length of one measured interval.
    pub interval: Duration,
    /// Only the blocks with this in their title.
    pub only: String,
    /// metricd first; each with what it says of its version.
    pub peers: Vec<(&'static Peer, String)>,
    /// Which servers are left out, and which measurements failed.
    pub notes: Vec<String>,
    /// The rows of each round, by the titles of blocks and the names of servers. A measurement that failed has
    /// none, and fails the whole.
    pub figures: HashMap<(&'static str, &'static str), Vec<Vec<f64>>>,
}

impl Report {
    pub fn wants(&self, block: &Block, peer: &Peer) -> bool {
        block.0.contains(&self.only) && peer.can(block.1)
    }

    /// Of each round.
    fn values(&self, block: &Block, column: usize, peer: &Peer) -> Vec<f64> {
        let rows = self.figures.get(&(block.0, peer.0));
        rows.map_or(vec![], |rows| rows.iter().map(|row| row[column]).collect())
    }

    pub fn median(&self, block: &Block, column: usize, peer: &Peer) -> f64 {
        median(self.values(block, column, peer))
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
        for (peer, version) in &self.peers {
            writeln!(text, "- {}: `{}` {version}", peer.0, peer.1)?;
        }
        for note in &self.notes {
            writeln!(text, "\n{note}")?;
        }
        for block in CASES.iter().flat_map(|case| case.0) {
            if self.wants(block, self.peers[0].0) {
                writeln!(text, "\n## {}\n\n{}", block.0, self.table(block))?;
            }
        }
        Ok(text.replace('*', "\\*").trim_end().to_string() + "\n")
    }

    fn table(&self, block: &Block) -> String {
        let head = block.2.replace('↑', "↑|×").replace('↓', "↓|×");
        let peers = self.peers.iter().map(|(peer, _)| *peer);
        let able = peers.filter(|peer| peer.can(block.1));
        let rows = able.map(|peer| self.row(block, peer)).collect();
        table(&format!("|{head}"), rows)
    }

    fn row(&self, block: &Block, peer: &Peer) -> Vec<String> {
        let mut cells = vec![peer.0.to_string()];
        for (column, name) in block.2.split('|').enumerate() {
            let values = self.values(block, column, peer);
            let middle = figure(self.median(block, column, peer));
            if !name.ends_with(['↑', '↓']) {
                cells.push(middle);
                continue;
            }
            let least = values.iter().copied().fold(f64::NAN, f64::min);
            let most = values.iter().copied().fold(f64::NAN, f64::max);
            cells.push(match values.len() {
                0 | 1 => middle,
                _ => format!("{middle} ({}–{})", figure(least), figure(most)),
            });
            // How many times better metricd is than this server. Round by round, because the machine
            // changes between rounds more than within one.
            let sign = if name.ends_with('↓') { -1 } else { 1 };
            let own = self.values(block, column, self.peers[0].0);
            let ratios = own.iter().zip(values).map(|(own, other)| own / other);
            cells.push(figure(median(ratios).powi(sign)));
        }
        cells
    }
}
