//! The table and the chart of one run, written into the README and beside this program.

use std::fs;
use std::ops::Range;

use crate::report::Report;
use crate::{chart, machine, table};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/versus/chart.svg");
const CHART_IN_README: &str = "benches/versus/chart.svg";

const BEGIN: &str = "<!-- comparison: written by cargo bench --bench versus -- --readme -->\n";
const END: &str = "<!-- end of the comparison -->\n";

/// Replaces what is between the two markers, and nothing else.
pub fn write(report: &Report, missing: &[String]) -> Result<(), String> {
    let mut text = fs::read_to_string(README).map_err(|error| format!("{README}: {error}"))?;
    let between = between_markers(&text).ok_or_else(|| format!("{README}: no markers in it"))?;
    text.replace_range(between, &section(report, missing));
    fs::write(CHART, chart::draw(report)?).map_err(|error| format!("{CHART}: {error}"))?;
    fs::write(README, text).map_err(|error| format!("{README}: {error}"))?;
    eprintln!("written: {README}, {CHART}");
    Ok(())
}

fn between_markers(text: &str) -> Option<Range<usize>> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some(begin..end)
}

fn section(report: &Report, missing: &[String]) -> String {
    let mut text = format!("\nOn {}:\n\n", machine::description());
    text += &format!("![metricd beside its peers]({CHART_IN_README})\n\n");
    for note in report.notes() {
        text += &format!("- {}\n", table::escaped(&note));
    }
    for line in missing {
        text += &format!("- {line}\n");
    }
    text += "\n<details>\n<summary>How each was started</summary>\n\n";
    text += "| | command | version |\n|---|---|---|\n";
    for server in report.servers {
        let (name, command) = (server.name, server.command_line());
        text += &format!("| {name} | `{command}` | {} |\n", server.version);
    }
    text += "\n</details>\n\n<details>\n<summary>All figures</summary>\n\n";
    text += &table::as_markdown(report);
    text += "</details>\n\n";
    text
}
