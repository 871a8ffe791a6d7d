//! Functions that choose and order series.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::{Function, Gather, Operation, SERIES, optional, required};
use crate::query::aggregation::Aggregation;
use crate::query::arguments::{Arguments, Kind, Literal, Parameter};
use crate::query::number::ordered;
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
            Ranking::new(
                |series| lowest(Aggregation::Average, series),
                arguments.integer(1),
            )
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
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Name(String),
    NameDescending(Reverse<String>),
}

/// The key by which the series with the lowest value comes first; no value is below all others.
fn lowest(aggregation: Aggregation, series: &Series) -> Key {
    match aggregation.of(&series.values) {
        value if value.is_nan() => Key::Number(i64::MIN),
        value => Key::Number(ordered(value)),
    }
}

/// The key by which the series with the highest value comes first.
fn highest(aggregation: Aggregation, series: &Series) -> Key {
    match lowest(aggregation, series) {
        Key::Number(number) => Key::Number(!number),
        key => key,
    }
}

/// Series in the order of their names.
pub fn sorted_by_name(series: Vec<Series>) -> Vec<Series> {
    let mut ranking = Ranking::new(|series| Key::Name(series.name.clone()), i64::MAX);
    series.into_iter().for_each(|series| ranking.add(series, 1));
    std::iter::from_fn(|| ranking.next()).collect()
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
struct Ranking {
    key: fn(&Series) -> Key,
    /// How many are kept; if negative, how many of the last are not.
    most: i64,
    /// Those that came and are kept.
    last_first: BinaryHeap<Ranked>,
    /// The same, when all have come.
    first_first: BinaryHeap<Reverse<Ranked>>,
    count: u64,
    kept_bytes: usize,
}

/// A series with its place in the order.
struct Ranked {
    key: Key,
    number: u64,
    series: Series,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        (&self.key, self.number).cmp(&(&other.key, other.number))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Ranked {}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Ranked {
    fn kept_bytes(&self) -> usize {
        let name = match &self.key {
            Key::Name(name) | Key::NameDescending(Reverse(name)) => name.capacity(),
            Key::Number(_) => 0,
        };
        // The heap has room for twice as many.
        2 * size_of::<Ranked>() + name + self.series.kept_bytes()
    }
}

impl Ranking {
    fn new(key: fn(&Series) -> Key, most: i64) -> Box<dyn Gather> {
        Box::new(Ranking {
            key,
            most,
            last_first: BinaryHeap::new(),
            first_first: BinaryHeap::new(),
            count: 0,
            kept_bytes: 0,
        })
    }

    fn drop_last(&mut self) {
        let dropped = self.last_first.pop();
        self.kept_bytes -= dropped.map_or(0, |dropped| dropped.kept_bytes());
    }
}

impl Gather for Ranking {
    fn add(&mut self, series: Series, _: i64) {
        let ranked = Ranked {
            key: (self.key)(&series),
            number: self.count,
            series,
        };
        self.count += 1;
        self.kept_bytes += ranked.kept_bytes();
        self.last_first.push(ranked);
        if self.most >= 0 && self.last_first.len() as u64 > self.most.unsigned_abs() {
            self.drop_last();
        }
    }

    fn next(&mut self) -> Option<Series> {
        if !self.last_first.is_empty() {
            let dropped = if self.most < 0 {
                self.most.unsigned_abs()
            } else {
                0
            };
            let dropped = dropped.min(self.last_first.len() as u64);
            (0..dropped).for_each(|_| self.drop_last());
            self.first_first = self.last_first.drain().map(Reverse).collect();
        }
        let Reverse(ranked) = self.first_first.pop()?;
        self.kept_bytes -= ranked.kept_bytes();
        Some(ranked.series)
    }

    fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}
