//! What a person takes in at a glance: a chart and one table, and the files that they go into.

use std::fmt::Write;
use std::path::Path;

use crate::cases::*;
use crate::report::{Block, Report};
use crate::servers::Peer;
use crate::support::*;

const BEGIN: &str = "<!-- comparison: written by cargo bench --bench versus -- --readme -->\n";
const END: &str = "<!-- end of the comparison -->\n";

/// A title, a unit, and where the figures are: a block, and the place of a column in it.
type Measure = (&'static str, &'static str, Block, usize);

static MEASURES: [Measure; 12] = [
    ("put, 50 connections", "requests/s", PUT_50, 0),
    ("put, 1,000 connections", "requests/s", PUT_1000, 0),
    ("nine puts to a get of 100", "requests/s", MIX, 0),
    ("put, 8 × 100", "puts/s", PIPELINED_8, 0),
    ("put, 8 × 100", "CPU, ns a put", PIPELINED_8, 5),
    ("put, 1 × 1,000", "CPU, ns a put", PIPELINED_1, 5),
    ("get of 1,000 points", "points/s", GET_SERIES, 0),
    ("get of all, 1 M points", "points/s", GET_ALL, 0),
    ("put during such a get", "p99, µs", OTHERS, 4),
    ("memory of a point", "bytes", POINT, 0),
    ("an idle connection", "bytes", IDLE, 1),
    ("memory at the start", "KiB", START, 0),
];

/// Writes the figures and the chart beside this program, and the table into the README between
/// its two markers.
pub fn write(report: &Report) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = root.join("README.md");
    let mut text = fs::read_to_string(&readme)?;
    let begin = text.find(BEGIN).context("no comparison in the README")? + BEGIN.len();
    let end = text.find(END).context("no end of the comparison")?;
    text.replace_range(begin..end, &section(report)?);
    fs::write(root.join("benches/versus/chart.svg"), chart(report)?)?;
    fs::write(root.join("benches/versus/figures.md"), report.markdown()?)?;
    fs::write(&readme, text)?;
    eprintln!("written: README.md, benches/versus/chart.svg, benches/versus/figures.md");
    Ok(())
}

/// The servers that are compared here; the others are in the tables beside this program.
fn in_memory(report: &Report) -> impl Iterator<Item = &'static Peer> {
    let peers = report.peers.iter().map(|(peer, _)| *peer);
    peers.filter(|peer| peer.is_ordinary())
}

fn section(report: &Report) -> Result<String> {
    let names: Vec<&str> = in_memory(report).map(|peer| peer.0).collect();
    let row = |(title, unit, block, column): &Measure| {
        let median = |peer| report.median(block, *column, peer);
        let medians: Vec<f64> = in_memory(report).map(median).collect();
        cells(&format!("{title}: {unit}"), &medians)
    };
    let rows = MEASURES.iter().map(row).collect();
    let (table, machine) = (table(&format!("|{}", names.join("|")), rows), machine()?);
    let chart = "![metricd beside its peers](benches/versus/chart.svg)";
    let remark = "8 × 100 is 8 connections that send 100 puts each before they wait";
    Ok(format!("{chart}\n\nOn {machine}; {remark}:\n\n{table}"))
}

const PANELS_A_ROW: usize = 3;
const PANEL_WIDTH: usize = 300;
const NAME_WIDTH: usize = 104;
const BAR_WIDTH: f64 = 130.0;
const LANE_HEIGHT: usize = 17;
const HEAD_HEIGHT: usize = 46;
const GAP: usize = 24;

/// Small multiples: a panel a measure, a bar a server, always in the same order.
fn chart(report: &Report) -> Result<String> {
    let (mut panels, mut y) = (String::new(), 0);
    for row in MEASURES.chunks(PANELS_A_ROW) {
        let mut lanes = 0;
        for (number, measure) in row.iter().enumerate() {
            let x = PANEL_WIDTH * number;
            writeln!(panels, "<g transform=\"translate({x} {y})\">")?;
            lanes = draw(&mut panels, report, measure)?.max(lanes);
            writeln!(panels, "</g>")?;
        }
        y += HEAD_HEIGHT + LANE_HEIGHT * lanes + GAP;
    }
    let width = PANEL_WIDTH * PANELS_A_ROW;
    let size = format!("width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\"");
    let style = include_str!("chart.css");
    let xmlns = "xmlns=\"http://www.w3.org/2000/svg\"";
    let head = format!("<svg {xmlns} {size}>\n<style>\n{style}</style>");
    Ok(format!("{head}\n{panels}</svg>\n"))
}

/// Returns how many bars there are.
fn draw(svg: &mut String, report: &Report, measure: &Measure) -> Result<usize> {
    let (title, unit, block, column) = measure;
    let name = block.2.split('|').nth(*column).unwrap_or_default();
    let sense = ["more", "less"][usize::from(name.ends_with('↓'))];
    writeln!(svg, "<text class=\"title\" y=\"18\">{title}</text>")?;
    writeln!(svg, "<text y=\"35\">{unit}: {sense} is better</text>")?;
    let values = in_memory(report).map(|peer| (peer.0, report.median(block, *column, peer)));
    let values: Vec<_> = values.filter(|(_, value)| !value.is_nan()).collect();
    let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    for (lane, (name, value)) in values.iter().enumerate() {
        let (top, length) = (HEAD_HEIGHT + LANE_HEIGHT * lane, BAR_WIDTH * value / most);
        let bar = format!("x=\"{NAME_WIDTH}\" width=\"{:.1}\"", length.max(1.0));
        let (end, value) = (NAME_WIDTH as f64 + length + 6.0, figure(*value));
        writeln!(svg, "<g class=\"{name}\" transform=\"translate(0 {top})\">")?;
        writeln!(svg, "<text y=\"10\">{name}</text>")?;
        writeln!(svg, "<rect {bar} height=\"11\"/>")?;
        writeln!(svg, "<text x=\"{end:.1}\" y=\"10\">{value}</text></g>")?;
    }
    Ok(values.len())
}
