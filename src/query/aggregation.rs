//! How many values become one.

use super::number::{from_ordered, ordered, sorted};

/// How many values become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// The mean.
    #[default]
    Average,
    /// The mean, where no value counts as zero.
    AverageZero,
    /// The middle one, or the mean of the two in the middle.
    Median,
    /// The sum.
    Sum,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// The first less the others.
    Difference,
    /// The standard deviation.
    Deviation,
    /// How many values there are.
    Count,
    /// The greatest less the least.
    Range,
    /// The product; no value if one is missing.
    Product,
    /// The last.
    Last,
    /// The first.
    First,
}

use Aggregation::*;

/// Values, aggregated as far as they came. Takes the same memory however many they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    value: f64,
    /// The greatest, of a range.
    greatest: f64,
    /// How many values there are.
    count: u32,
}

impl Aggregation {
    /// Graphite's names in order, and what they stand for. Those that end in `Series` are also functions.
    pub const NAMES: [(&str, Aggregation); 22] = [
        ("average", Average),
        ("averageSeries", Average),
        ("avg", Average),
        ("avg_zero", AverageZero),
        ("count", Count),
        ("current", Last),
        ("diff", Difference),
        ("diffSeries", Difference),
        ("first", First),
        ("last", Last),
        ("max", Maximum),
        ("maxSeries", Maximum),
        ("median", Median),
        ("min", Minimum),
        ("minSeries", Minimum),
        ("multiply", Product),
        ("range", Range),
        ("rangeOf", Range),
        ("stddev", Deviation),
        ("sum", Sum),
        ("sumSeries", Sum),
        ("total", Sum),
    ];

    /// Whether a tally is not enough, since all values are needed at once.
    pub fn needs_all(self) -> bool {
        matches!(self, Median | Deviation)
    }

    /// Adds a value, which is not NaN. Only for aggregations that do not [need all](Self::needs_all) values.
    #[inline]
    pub fn add(self, tally: &mut Tally, value: f64) {
        let is_first = tally.count == 0;
        tally.count = tally.count.saturating_add(1);
        match self {
            Average | AverageZero | Sum => tally.value += value,
            _ if is_first => (tally.value, tally.greatest) = (value, value),
            Difference => tally.value -= value,
            Product => tally.value *= value,
            Minimum | Range if value < tally.value => tally.value = value,
            Maximum if value > tally.value => tally.value = value,
            Range if value > tally.greatest => tally.greatest = value,
            Last => tally.value = value,
            Range | Minimum | Maximum | First | Count | Median | Deviation => {}
        }
    }

    /// What was added to a tally, as one value. `total` counts those that were missing too. NaN if
    /// there is none.
    #[inline]
    pub fn result(self, tally: &Tally, total: usize) -> f64 {
        let count = tally.count as usize;
        match self {
            _ if count == 0 => f64::NAN,
            Average => tally.value / count as f64,
            AverageZero => tally.value / total as f64,
            Count => count as f64,
            Range => tally.greatest - tally.value,
            Product if count < total => f64::NAN,
            _ => tally.value,
        }
    }

    /// All `values`, some of which may be missing, as one; NaN if all are missing.
    pub fn of(self, values: &[f64]) -> f64 {
        let present = values.iter().copied().filter(|value| !value.is_nan());
        match self {
            Median => median(present),
            Deviation => deviation(&present.collect::<Vec<f64>>()),
            _ => {
                let mut tally = Tally::default();
                present.for_each(|value| self.add(&mut tally, value));
                self.result(&tally, values.len())
            }
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values.map(ordered).collect());
    let value = |at: usize| from_ordered(values[at]);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => (value(middle - 1) + value(middle)) / 2.0,
        (middle, _) => value(middle),
    }
}

fn deviation(values: &[f64]) -> f64 {
    let mean = Average.of(values);
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    (squares.sum::<f64>() / values.len() as f64).sqrt()
}
