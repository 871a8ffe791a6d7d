//! The chart: a panel a unit of measure, a row a case, a dot a server, on scales of powers.
//!
//! It has no background, and its greys and colours are seen on white and on black alike,
//! because a README is read on either.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordi32;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::blocks::{self, Block};
use crate::figure;
use crate::report::{Report, Summary};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordi32>>;
type DrawResult = Result<(), Box<dyn std::error::Error>>;

struct Panel {
    title: &'static str,
    rows: &'static [PanelRow],
}

struct PanelRow {
    /// Two lines.
    label: [&'static str; 2],
    block: &'static Block,
    column: usize,
    /// What a figure is multiplied by for the panel's unit.
    factor: f64,
}

const fn row(label: [&'static str; 2], block: &'static Block, column: usize) -> PanelRow {
    PanelRow {
        label,
        block,
        column,
        factor: 1.0,
    }
}

const MEDIAN_RATE: usize = 0;
const P99: usize = 2;
const P99_DURING: usize = 4;
const AFTER_ONE_PUT: usize = 1;

static PANELS: [Panel; 4] = [
    Panel {
        title: "requests a second: more is better",
        rows: &[
            row(["put", "50 connections"], &blocks::PUT_50, MEDIAN_RATE),
            row(["put", "1,000 connections"], &blocks::PUT_1000, MEDIAN_RATE),
            row(
                ["put, pipelined", "8 connections × 100"],
                &blocks::PIPELINED_8,
                MEDIAN_RATE,
            ),
            row(
                ["put, pipelined", "1 connection × 1,000"],
                &blocks::PIPELINED_1,
                MEDIAN_RATE,
            ),
            row(
                ["nine puts to one get", "of 100 points"],
                &blocks::MIX,
                MEDIAN_RATE,
            ),
        ],
    },
    Panel {
        title: "points read a second: more is better",
        rows: &[
            row(["get", "1,000 points"], &blocks::GET_SERIES, MEDIAN_RATE),
            row(["get *", "1 M points"], &blocks::GET_ALL, MEDIAN_RATE),
        ],
    },
    Panel {
        title: "p99 latency, µs: less is better",
        rows: &[
            row(["put", "50 connections"], &blocks::PUT_50, P99),
            row(
                ["the same, while one", "reads get * over 1 M"],
                &blocks::OTHERS,
                P99_DURING,
            ),
        ],
    },
    Panel {
        title: "memory, bytes: less is better",
        rows: &[
            row(["a point", "1,000 series of 1,000"], &blocks::POINT, 0),
            row(
                ["an idle connection", "after one put"],
                &blocks::IDLE,
                AFTER_ONE_PUT,
            ),
            PanelRow {
                factor: 1024.0,
                ..row(["resident", "at the start"], &blocks::START, 0)
            },
        ],
    },
];

const WIDTH: u32 = 820;
const MARGIN: i32 = 12;
const LABEL_WIDTH: u32 = 160;
const RIGHT_MARGIN: u32 = 30;
const LEGEND_HEIGHT: i32 = 52;
const LEGEND_COLUMNS: usize = 5;
const TITLE_HEIGHT: i32 = 30;
const AXIS_HEIGHT: u32 = 30;
/// One server's line within a row.
const LANE_HEIGHT: i32 = 13;
const ROW_GAP: i32 = 12;

/// Greys between white and black: text on either, and lines that stay behind.
const TEXT: RGBColor = RGBColor(0x7a, 0x82, 0x8c);
const LINE: RGBAColor = RGBAColor(0x80, 0x88, 0x92, 0.3);

pub fn draw(report: &Report) -> Result<String, String> {
    let mut svg = String::new();
    draw_into(&mut svg, report).map_err(|error| format!("the chart: {error}"))?;
    Ok(svg)
}

fn draw_into(svg: &mut String, report: &Report) -> DrawResult {
    let panels: Vec<PlottedPanel> = PANELS
        .iter()
        .map(|panel| PlottedPanel::of(report, panel))
        .filter(|panel| !panel.rows.is_empty())
        .collect();
    let height = LEGEND_HEIGHT + panels.iter().map(PlottedPanel::height).sum::<i32>();
    let root = SVGBackend::with_string(svg, (WIDTH, height as u32)).into_drawing_area();
    let (legend, mut rest) = root.split_vertically(LEGEND_HEIGHT);
    draw_legend(&legend, report)?;
    for panel in &panels {
        let (area, below) = rest.split_vertically(panel.height());
        panel.draw(&area)?;
        rest = below;
    }
    root.present()?;
    Ok(())
}

fn draw_legend(area: &Area, report: &Report) -> DrawResult {
    let step = (WIDTH as i32 - 2 * MARGIN) / LEGEND_COLUMNS as i32;
    for (number, server) in report.servers.iter().enumerate() {
        let x = MARGIN + step * (number % LEGEND_COLUMNS) as i32;
        let y = 16 + 20 * (number / LEGEND_COLUMNS) as i32;
        area.draw(&Circle::new((x + 5, y), 5, colour(server.colour).filled()))?;
        area.draw(&Text::new(server.name, (x + 16, y), text(15, HPos::Left)))?;
    }
    Ok(())
}

fn colour((red, green, blue): (u8, u8, u8)) -> RGBColor {
    RGBColor(red, green, blue)
}

fn text(size: i32, side: HPos) -> TextStyle<'static> {
    let style = TextStyle::from(("sans-serif", size).into_font());
    style.color(&TEXT).pos(Pos::new(side, VPos::Center))
}

/// A panel with the figures that there are.
struct PlottedPanel {
    title: &'static str,
    rows: Vec<PlottedRow>,
}

struct PlottedRow {
    label: [&'static str; 2],
    dots: Vec<Dot>,
}

struct Dot {
    colour: RGBColor,
    radius: i32,
    summary: Summary,
}

impl PlottedPanel {
    fn of(report: &Report, panel: &Panel) -> PlottedPanel {
        let rows = panel.rows.iter().map(|row| PlottedRow {
            label: row.label,
            dots: dots(report, row),
        });
        PlottedPanel {
            title: panel.title,
            rows: rows.filter(|row| !row.dots.is_empty()).collect(),
        }
    }

    fn height(&self) -> i32 {
        TITLE_HEIGHT + self.rows_height() + AXIS_HEIGHT as i32
    }

    fn rows_height(&self) -> i32 {
        self.rows.iter().map(PlottedRow::height).sum()
    }

    fn draw(&self, area: &Area) -> DrawResult {
        let title = text(17, HPos::Left);
        let title = TextStyle {
            font: title.font.style(FontStyle::Bold),
            ..title
        };
        area.draw(&Text::new(self.title, (MARGIN, TITLE_HEIGHT / 2), title))?;
        let (_, below) = area.split_vertically(TITLE_HEIGHT);
        let (least, most) = self.ends();
        let rows_height = self.rows_height();
        let mut chart = ChartBuilder::on(&below)
            .set_label_area_size(LabelAreaPosition::Left, LABEL_WIDTH)
            .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT)
            .margin_right(RIGHT_MARGIN)
            .build_cartesian_2d((least..most).log_scale(), rows_height..0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .y_label_formatter(&|_| String::new())
            .x_labels(8)
            .x_label_formatter(&|value| tick(*value))
            .bold_line_style(LINE)
            .light_line_style(TRANSPARENT)
            .axis_style(LINE)
            .label_style(text(13, HPos::Center))
            .draw()?;
        let mut top = 0;
        for row in &self.rows {
            let ends = [(least, top), (most, top)];
            chart.draw_series([PathElement::new(ends, LINE)])?;
            row.draw_label(&below, top)?;
            for (lane, dot) in row.dots.iter().enumerate() {
                let y = top + ROW_GAP / 2 + LANE_HEIGHT * lane as i32 + LANE_HEIGHT / 2;
                dot.draw(&mut chart, y)?;
            }
            top += row.height();
        }
        Ok(())
    }

    /// Of the scale: room on the left of the least dot, and on the right for the last figure, and
    /// two powers of ten in between, without which it could not be read.
    fn ends(&self) -> (f64, f64) {
        let summaries = self.rows.iter().flat_map(|row| &row.dots);
        let (least, most) = summaries.fold((f64::MAX, f64::MIN), |(least, most), dot| {
            let Dot { summary, .. } = dot;
            (least.min(summary.least), most.max(summary.most))
        });
        let (left, right) = (least / 1.5, most * 2.2);
        let powers = right.log10().floor() - left.log10().ceil() + 1.0;
        match powers >= 2.0 {
            true => (left, right),
            false => (10f64.powf(left.log10().floor()), right),
        }
    }
}

impl PlottedRow {
    fn height(&self) -> i32 {
        // Two lines of label need as much as three servers.
        ROW_GAP + LANE_HEIGHT * self.dots.len().max(3) as i32
    }

    fn draw_label(&self, area: &Area, top: i32) -> DrawResult {
        for (number, line) in self.label.iter().enumerate() {
            let y = top + ROW_GAP / 2 + 8 + 16 * number as i32;
            area.draw(&Text::new(*line, (MARGIN, y), text(15, HPos::Left)))?;
        }
        Ok(())
    }
}

impl Dot {
    /// The median, a line from the least to the most, and the figure behind it.
    fn draw(&self, chart: &mut Chart, y: i32) -> DrawResult {
        let Summary {
            median,
            least,
            most,
        } = self.summary;
        let ends = [(least, y), (most, y)];
        chart.draw_series([PathElement::new(ends, self.colour.stroke_width(2))])?;
        let circle = Circle::new((median, y), self.radius, self.colour.filled());
        chart.draw_series([circle])?;
        let right_of_it = (self.radius + 5, 0);
        let figure = Text::new(figure::figure(median), right_of_it, text(12, HPos::Left));
        chart.draw_series([EmptyElement::at((most, y)) + figure])?;
        Ok(())
    }
}

/// One for each server that has a figure above zero, which a scale of powers cannot show.
fn dots(report: &Report, row: &PanelRow) -> Vec<Dot> {
    let servers = report.servers.iter().enumerate();
    let dot = |(number, server): (usize, &crate::servers::Server)| {
        let summary = report.summary(row.block, row.column, number)?;
        let scaled = Summary {
            median: summary.median * row.factor,
            least: summary.least * row.factor,
            most: summary.most * row.factor,
        };
        (scaled.least > 0.0).then_some(Dot {
            colour: colour(server.colour),
            radius: if number == 0 { 6 } else { 4 },
            summary: scaled,
        })
    };
    servers.filter_map(dot).collect()
}

/// A power of ten, without the digits behind the point that a figure has.
fn tick(value: f64) -> String {
    let (number, suffix) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    format!("{number}{suffix}")
}
