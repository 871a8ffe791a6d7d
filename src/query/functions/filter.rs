//! Functions that choose and order series.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Function, Gather, Operation, SERIES, optional, required};
use crate::query::aggregation::Aggregation;
use crate::query::arguments::{Arguments, Kind, Literal, Parameter};
use crate::query::series::Series;

const COUNT: Parameter = required("n", Kind::Integer);
const PATTERN: Parameter = required("pattern", Kind::Regex);

pub const TABLE: &[Function] = &[
    filter(
        "currentAbove",
        Operation::Each(|series, context| {
            let least = context.arguments.number(1).unwrap_or(f64::NAN);
            Ok(Aggregation::Last.of(&series.values) > least)
        }),
        &[SERIES, required("n", Kind::Number)],
        "Keeps the series whose last value is above a number.",
    ),
    filter(
        "exclude",
        Operation::Each(|series, context| Ok(!context.arguments.matches(1, &series.name))),
        &[SERIES, PATTERN],
        "Drops the series in whose name a regular expression is found.",
    ),
    filter(
        "grep",
        Operation::Each(|series, context| Ok(context.arguments.matches(1, &series.name))),
        &[SERIES, PATTERN],
        "Keeps the series in whose name a regular expression is found.",
    ),
    filter(
        "highestAverage",
        Operation::Gather(|arguments| {
            Ranking::new(
                |series| highest(Aggregation::Average, series),
                arguments.integer(1),
            )
        }),
        &[SERIES, COUNT],
        "Keeps the series with the highest average.",
    ),
    filter(
        "highestCurrent",
        Operation::Gather(|arguments| {
            Ranking::new(
                |series| highest(Aggregation::Last, series),
                arguments.integer(1),
            )
        }),
        &[SERIES, COUNT],
        "Keeps the series with the highest last value.",
    ),
    filter(
        "highestMax",
        Operation::Gather(|arguments| {
            Ranking::new(
                |series| highest(Aggregation::Maximum, series),
                arguments.integer(1),
            )
        }),
        &[SERIES, COUNT],
        "Keeps the series with the highest maximum.",
    ),
    filter(
        "limit",
        Operation::First(|arguments| usize::try_from(arguments.integer(1)).unwrap_or(0)),
        &[SERIES, required("n", Kind::Count)],
        "Keeps the first so many series.",
    ),
    filter(
        "lowestAverage",
        Operation::Gather(|arguments| {
            let key = |series: &Series| Key::Ascending(number(Aggregation::Average, series));
            Ranking::new(key, arguments.integer(1))
        }),
        &[SERIES, COUNT],
        "Keeps the series with the lowest average.",
    ),
    Function {
        group: "Sorting",
        ..filter(
            "sortByMaxima",
            Operation::Gather(|_| {
                Ranking::new(|series| highest(Aggregation::Maximum, series), i64::MAX)
            }),
            &[SERIES],
            "Orders series by their maximum, the highest first.",
        )
    },
    Function {
        group: "Sorting",
        ..filter(
            "sortByName",
            Operation::Gather(by_name),
            &[
                SERIES,
                optional("natural", Kind::Flag, Literal::Flag(false)),
                optional("reverse", Kind::Flag, Literal::Flag(false)),
            ],
            "Orders series by their name; if natural, with numbers in it by their value.",
        )
    },
];

const fn filter(
    name: &'static str,
    operation: Operation,
    parameters: &'static [Parameter],
    description: &'static str,
) -> Function {
    Function::new(name, "Filter Series", operation, parameters, description)
}

/// By what a series is ranked. All keys of a ranking are of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Ascending(i64),
    Descending(Reverse<i64>),
    Name(String),
    NameDescending(Reverse<String>),
}

/// The values of a series as one, as an integer in the same order. No value is below all others.
fn number(aggregation: Aggregation, series: &Series) -> i64 {
    match aggregation.of(&series.values) {
        value if value.is_nan() => i64::MIN,
        // The zeros are the same; the bits of negative numbers go the other way.
        value => {
            let bits = (value + 0.0).to_bits() as i64;
            if bits < 0 { !bits | i64::MIN } else { bits }
        }
    }
}

/// The key by which the series with the highest value comes first.
fn highest(aggregation: Aggregation, series: &Series) -> Key {
    Key::Descending(Reverse(number(aggregation, series)))
}

fn by_name(arguments: &Arguments) -> Box<dyn Gather> {
    let key: fn(&Series) -> Key = match (arguments.flag(1), arguments.flag(2)) {
        (false, false) => |series| Key::Name(series.name.clone()),
        (false, true) => |series| Key::NameDescending(Reverse(series.name.clone())),
        (true, false) => |series| Key::Name(padded(&series.name)),
        (true, true) => |series| Key::NameDescending(Reverse(padded(&series.name))),
    };
    Ranking::new(key, i64::MAX)
}

/// A name with its numbers as long as ten digits at least, so that they are in order.
fn padded(name: &str) -> String {
    let mut padded = String::with_capacity(name.len() + 16);
    let mut rest = name;
    while let Some(start) = rest.find(|next: char| next.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let length = digits
            .find(|next: char| !next.is_ascii_digit())
            .unwrap_or(digits.len());
        let digits = digits[..length].trim_start_matches('0');
        padded += before;
        padded.extend(std::iter::repeat_n(
            '0',
            10usize.saturating_sub(digits.len()),
        ));
        padded += digits;
        rest = &rest[start + length..];
    }
    padded + rest
}

/// Series in the order of their keys, those with the same in the order in which they came.
#[derive(Debug)]
struct Ranking {
    key: fn(&Series) -> Key,
    /// How many are kept; if negative, how many of the last are not.
    most: i64,
    /// By key and number.
    ranked: BTreeMap<(Key, u64), Series>,
    count: u64,
    kept_bytes: usize,
    is_complete: bool,
}

impl Ranking {
    fn new(key: fn(&Series) -> Key, most: i64) -> Box<dyn Gather> {
        Box::new(Ranking {
            key,
            most,
            ranked: BTreeMap::new(),
            count: 0,
            kept_bytes: 0,
            is_complete: false,
        })
    }

    fn drop_last(&mut self) {
        if let Some(((key, _), series)) = self.ranked.pop_last() {
            self.kept_bytes = self
                .kept_bytes
                .saturating_sub(Ranking::bytes_of(&key, &series));
        }
    }

    fn bytes_of(key: &Key, series: &Series) -> usize {
        let name = match key {
            Key::Name(name) | Key::NameDescending(Reverse(name)) => name.capacity(),
            Key::Ascending(_) | Key::Descending(_) => 0,
        };
        // A node of the tree is at least half full.
        2 * size_of::<(Key, u64)>() + size_of::<Series>() + name + series.kept_bytes()
    }
}

impl Gather for Ranking {
    fn add(&mut self, series: Series, _: i64) {
        let key = (self.key)(&series);
        self.kept_bytes += Ranking::bytes_of(&key, &series);
        self.ranked.insert((key, self.count), series);
        self.count += 1;
        if self.most >= 0 && self.ranked.len() as u64 > self.most.unsigned_abs() {
            self.drop_last();
        }
    }

    fn next(&mut self) -> Option<Series> {
        if !std::mem::replace(&mut self.is_complete, true) && self.most < 0 {
            let dropped = self.most.unsigned_abs().min(self.ranked.len() as u64);
            (0..dropped).for_each(|_| self.drop_last());
        }
        let ((key, _), series) = self.ranked.pop_first()?;
        self.kept_bytes = self
            .kept_bytes
            .saturating_sub(Ranking::bytes_of(&key, &series));
        Some(series)
    }

    fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}
