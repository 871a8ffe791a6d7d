//! One block laid out in cells.

use crate::blocks::{Block, Column};
use crate::figure;
use crate::report::Report;

pub struct Grid {
    /// What stands over some neighbouring cells, and over how many.
    pub groups: Vec<(&'static str, usize)>,
    pub header: Vec<Head>,
    pub rows: Vec<Row>,
}

pub struct Head {
    pub text: &'static str,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Median,
    /// From the least to the most of the rounds.
    Range,
    /// How many times better metricd is.
    Ratio,
}

pub struct Row {
    pub server: &'static str,
    pub content: Content,
}

pub enum Content {
    Figures(Vec<String>),
    /// What stands in place of figures.
    Sentence(String),
}

impl Grid {
    /// With the ranges of the first so many columns that have one.
    pub fn of(report: &Report, block: &Block, ranges: usize) -> Grid {
        let ranges = if report.options.rounds > 1 { ranges } else { 0 };
        let kinds = kinds_by_column(block, ranges);
        let mut grid = Grid {
            groups: Vec::new(),
            header: Vec::new(),
            rows: Vec::new(),
        };
        for (column, kinds) in block.columns.iter().zip(&kinds) {
            grid.add_header(column, kinds);
        }
        for number in 0..report.servers.len() {
            grid.rows.push(row(report, block, &kinds, number));
        }
        grid
    }

    fn add_header(&mut self, column: &Column, kinds: &[Kind]) {
        self.header.extend(kinds.iter().map(|kind| Head {
            text: match kind {
                Kind::Median => column.name,
                Kind::Range => "range",
                Kind::Ratio => "×",
            },
            kind: *kind,
        }));
        match self.groups.last_mut() {
            Some((group, count)) if *group == column.group => *count += kinds.len(),
            _ => self.groups.push((column.group, kinds.len())),
        }
    }
}

/// One figure of a server has a cell, or two, or three.
fn kinds_by_column(block: &Block, ranges: usize) -> Vec<Vec<Kind>> {
    let mut ranges_left = ranges;
    let kinds = |column: &Column| {
        let mut kinds = vec![Kind::Median];
        if column.has_spread && ranges_left > 0 {
            ranges_left -= 1;
            kinds.push(Kind::Range);
        }
        if column.better.is_some() {
            kinds.push(Kind::Ratio);
        }
        kinds
    };
    block.columns.iter().map(kinds).collect()
}

fn row(report: &Report, block: &Block, kinds: &[Vec<Kind>], number: usize) -> Row {
    let server = &report.servers[number];
    let has_figures =
        (0..block.columns.len()).any(|column| report.summary(block, column, number).is_some());
    let content = match server.reason_against(block.needs) {
        Some(reason) => Content::Sentence(format!("cannot: {reason}")),
        None if !has_figures => Content::Sentence("failed, see below".into()),
        None => {
            let mut cells = Vec::new();
            for (column, kinds) in kinds.iter().enumerate() {
                let cell = |kind: &Kind| cell(report, block, column, *kind, number);
                cells.extend(kinds.iter().map(cell));
            }
            Content::Figures(cells)
        }
    };
    Row {
        server: server.name,
        content,
    }
}

fn cell(report: &Report, block: &Block, column: usize, kind: Kind, server: usize) -> String {
    let summary = report.summary(block, column, server);
    match kind {
        Kind::Median => {
            let star = column == 0 && report.was_limited(block, server);
            summary.map_or("–".into(), |summary| {
                figure::figure(summary.median) + if star { "*" } else { "" }
            })
        }
        Kind::Range => summary.map_or(String::new(), figure::range),
        Kind::Ratio => {
            let advantage = report.advantage(block, column, server);
            let of_others = advantage.filter(|_| server > 0);
            of_others.map_or(String::new(), figure::ratio)
        }
    }
}
