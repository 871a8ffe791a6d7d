//! Numbers as the table and the chart print them.

use crate::report::Summary;

/// What numbers of some size are printed in: the unit, and the digits after the point.
#[derive(Clone, Copy)]
struct Scale {
    divisor: f64,
    suffix: &'static str,
    decimals: usize,
}

impl Scale {
    /// Three digits or so, and no more than five characters.
    fn of(value: f64) -> Scale {
        let (divisor, suffix) = match value.abs() {
            size if size >= 999.5e3 => (1e6, "M"),
            size if size >= 9_999.5 => (1e3, "k"),
            _ => (1.0, ""),
        };
        let decimals = match value.abs() / divisor {
            size if size >= 99.95 => 0,
            size if size >= 9.995 => 1,
            size if size >= 0.9995 => 2,
            _ => 3,
        };
        Scale {
            divisor,
            suffix,
            decimals,
        }
    }

    fn digits(self, value: f64) -> String {
        let Scale {
            divisor, decimals, ..
        } = self;
        format!("{:.decimals$}", value / divisor)
    }
}

pub fn figure(value: f64) -> String {
    let scale = Scale::of(value);
    scale.digits(value) + scale.suffix
}

/// The least and the most of the rounds, in the unit of the median.
pub fn range(summary: Summary) -> String {
    let scale = Scale::of(summary.median);
    format!(
        "{}–{}",
        scale.digits(summary.least),
        scale.digits(summary.most)
    )
}

pub fn ratio(value: f64) -> String {
    match value {
        value if value >= 99.5 => format!("{value:.0}"),
        value if value >= 9.95 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
