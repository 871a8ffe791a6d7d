//! The table as Markdown, with all ranges: a page scrolls where a terminal does not.

use super::grid::{Content, Grid};
use crate::blocks::Block;
use crate::report::Report;

pub fn as_markdown(report: &Report) -> String {
    let mut text = String::new();
    for block in report.blocks() {
        text += &format!("**{}**\n\n", escaped(block.title));
        text += &block_as_markdown(report, block);
        if let Some(note) = report.block_note(block) {
            text += &format!("\n{}\n", escaped(&note));
        }
        text.push('\n');
    }
    text
}

fn block_as_markdown(report: &Report, block: &Block) -> String {
    let grid = Grid::of(report, block, block.columns.len());
    let mut text = format!("| | {} |\n", header(&grid).join(" | "));
    text += &format!("|---|{}\n", "---:|".repeat(grid.header.len()));
    for row in &grid.rows {
        let server = row.server;
        let cells = match &row.content {
            Content::Figures(cells) => cells.join(" | "),
            Content::Sentence(sentence) => sentence.clone(),
        };
        text += &format!("| {server} | {} |\n", escaped(&cells));
    }
    text
}

/// A Markdown table has one line of headers: what stands over several is said in the first.
fn header(grid: &Grid) -> Vec<String> {
    let heads = grid.header.iter().map(|head| head.text.to_string());
    let mut heads: Vec<String> = heads.collect();
    let mut first = 0;
    for (group, columns) in &grid.groups {
        heads[first] = match grid.header[first].text {
            "median" => group.to_string(),
            name => format!("{group}: {name}"),
        };
        first += columns;
    }
    heads
}

/// An asterisk is one, not the begin of emphasis.
pub fn escaped(text: &str) -> String {
    text.replace('*', "\\*")
}
