//! Figures, and tables of them in Markdown that is as good to read in a terminal.

use std::sync::atomic::AtomicUsize;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::*;

static MISSED: AtomicUsize = AtomicUsize::new(0);

/// How often a figure was not as it must be.
pub fn missed() -> usize {
    MISSED.load(Ordering::Relaxed)
}

/// Prints a figure and a remark. It must be as the remark says that begins with `≤` or `≥` and a number,
/// unless what is measured is small.
pub fn row(name: &str, value: f64, remark: &str) {
    let mut words = remark.split([' ', ',', ';']);
    let sign = words.next();
    let limit = words.next().and_then(|word| word.parse::<f64>().ok());
    // What is not a number is missed too.
    let (must, is_kept) = match (sign, limit) {
        (Some("≤"), Some(limit)) => ("must ", value <= limit),
        (Some("≥"), Some(limit)) => ("must ", value >= limit),
        _ => ("", true),
    };
    let is_missed = !is_kept && !is_small();
    MISSED.fetch_add(is_missed.into(), Ordering::Relaxed);
    let missed = if is_missed { "MISSED, " } else { "" };
    println!("{name:60} {:>8}  {missed}{must}{remark}", figure(value));
}

/// A row for each figure, with its name and remark.
pub fn rows<const N: usize>(rows: [(&str, &str); N], figures: [f64; N]) {
    for ((name, remark), value) in rows.into_iter().zip(figures) {
        row(name, value, remark);
    }
}

/// The median of each figure over so many rounds.
pub fn medians<const N: usize>(
    rounds: usize,
    mut measure: impl FnMut() -> Result<[f64; N]>,
) -> Result<[f64; N]> {
    let rounds = (0..rounds).map(|_| measure()).collect::<Result<Vec<_>>>()?;
    let middle = |figure: usize| median(rounds.iter().map(|round| round[figure]));
    Ok(std::array::from_fn(middle))
}

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

/// A row of a table.
pub fn cells(name: &str, figures: &[f64]) -> Vec<String> {
    let figures = figures.iter().map(|&value| figure(value));
    [name.to_string()].into_iter().chain(figures).collect()
}

/// Three digits or so, and no more than five characters; `–` for what is not a number.
pub fn figure(value: f64) -> String {
    let (divisor, suffix) = match value.abs() {
        size if size.is_nan() => return "–".into(),
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

/// The middle one, of an even number of them the mean of the middle two; not a number if there is none.
/// What is not a number is left out.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied();
    upper.map_or(f64::NAN, |upper| {
        (values[(values.len() - 1) / 2] + upper) / 2.0
    })
}
