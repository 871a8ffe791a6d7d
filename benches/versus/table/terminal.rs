//! The table for a terminal of a hundred columns.

use super::grid::{Content, Grid, Kind};
use crate::blocks::Block;
use crate::report::Report;

const WIDTH_MOST: usize = 100;

pub fn for_terminal(report: &Report) -> String {
    let mut lines = Vec::new();
    for block in report.blocks() {
        lines.push(block.title.to_string());
        lines.extend(fitted(report, block));
        lines.extend(report.block_note(block));
        lines.push(String::new());
    }
    lines.join("\n")
}

/// A block with as many ranges as there is room for; the Markdown has them all.
fn fitted(report: &Report, block: &Block) -> Vec<String> {
    let mut ranges = block.columns.len();
    loop {
        let lines = Layout::of(&Grid::of(report, block, ranges)).lines();
        let is_wide = |line: &String| width(line) > WIDTH_MOST;
        if ranges == 0 || !lines.iter().any(is_wide) {
            return lines;
        }
        ranges -= 1;
    }
}

/// A grid with the width of each column, the gap before it included.
struct Layout<'a> {
    grid: &'a Grid,
    name_width: usize,
    widths: Vec<usize>,
}

impl Layout<'_> {
    fn of(grid: &Grid) -> Layout<'_> {
        let names = grid.rows.iter().map(|row| width(row.server));
        let mut widths: Vec<usize> = grid.header.iter().map(|head| width(head.text)).collect();
        for row in &grid.rows {
            if let Content::Figures(cells) = &row.content {
                for (column, cell) in widths.iter_mut().zip(cells) {
                    *column = width(cell).max(*column);
                }
            }
        }
        for (column, head) in widths.iter_mut().zip(&grid.header) {
            // A ratio belongs to the figure before it.
            *column += if head.kind == Kind::Ratio { 1 } else { 2 };
        }
        Layout {
            grid,
            name_width: names.max().unwrap_or_default(),
            widths,
        }
    }

    fn lines(&self) -> Vec<String> {
        let header = self.grid.header.iter().map(|head| head.text);
        let mut lines = vec![self.group_line(), self.line("", header)];
        for row in &self.grid.rows {
            lines.push(match &row.content {
                Content::Figures(cells) => self.line(row.server, cells.iter().map(String::as_str)),
                Content::Sentence(text) => {
                    format!("{:1$}  {text}", row.server, self.name_width)
                }
            });
        }
        lines
    }

    fn line<'a>(&self, server: &str, cells: impl Iterator<Item = &'a str>) -> String {
        let mut line = format!("{server:0$}", self.name_width);
        for (cell, width) in cells.zip(&self.widths) {
            line += &format!("{cell:>width$}");
        }
        line.trim_end().to_string()
    }

    /// Each group's name over its columns, with a rule to their end.
    fn group_line(&self) -> String {
        let mut line = " ".repeat(self.name_width);
        let mut widths = self.widths.iter();
        for (group, columns) in &self.grid.groups {
            let all: usize = widths.by_ref().take(*columns).sum();
            let text = format!("  {group} ");
            line += &text;
            line += &"─".repeat(all.saturating_sub(width(&text)));
        }
        line.trim_end().to_string()
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A sentence in lines that fit, those after the first indented.
pub fn wrapped(text: &str) -> String {
    const INDENT: &str = "    ";
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + width(word) > WIDTH_MOST {
            lines += "\n";
            lines += INDENT;
            column = INDENT.len();
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += width(word);
    }
    lines
}
