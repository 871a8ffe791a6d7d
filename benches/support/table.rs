//! Tables, in Markdown that is as good to read in a terminal, and the figures in them.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

/// Rows of cells under a head, with `|` between its names; all but the first column are aligned on the right.
pub fn table(head: &str, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(head.split('|')).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut lines: Vec<String> = table.lines().collect();
    lines[1] = lines[1].replace("-|", ":|").replacen(":|", "-|", 1);
    lines.join("\n") + "\n"
}

/// Prints a figure, and what is to be said of it.
pub fn print_row(name: &str, value: f64, verdict: &str) {
    println!("{name:72} {:>8}  {verdict}", figure(value));
}

/// Three digits or so, and no more than five characters.
pub fn figure(value: f64) -> String {
    let (divisor, suffix) = match value.abs() {
        size if size >= 999.5e3 => (1e6, "M"),
        size if size >= 9_999.5 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let decimals = match value.abs() / divisor {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{:.decimals$}{suffix}", value / divisor)
}

/// The middle one; of an even number of them the mean of the middle two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some((values[(values.len() - 1) / 2] + upper) / 2.0)
}
