//! Functions that choose and order series.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Poll;

use slab::Slab;

use super::{Context, Gather, Outcome};
use crate::query::aggregation::Aggregation;
use crate::query::arguments::Arguments;
use crate::query::number::ordered;
use crate::query::series::Series;

pub fn current_above(series: &mut Series, context: &Context) -> Outcome {
    let least = context.arguments.number(1).unwrap_or(f64::NAN);
    Ok(Aggregation::Last.of(&series.values) > least)
}

pub fn exclude(series: &mut Series, context: &Context) -> Outcome {
    Ok(!context.arguments.matches(1, &series.name))
}

pub fn grep(series: &mut Series, context: &Context) -> Outcome {
    Ok(context.arguments.matches(1, &series.name))
}

pub fn limit(arguments: &Arguments) -> usize {
    usize::try_from(arguments.integer(1)).unwrap_or(usize::MAX)
}

/// The first so many series in an order, or all but the last so many if the number is negative.
pub fn ranked(order: Order, most: i64) -> Box<dyn Gather> {
    Box::new(Ranking::new(order, most))
}

/// Series in the order of their names.
pub fn sorted_by_name(series: Vec<Series>) -> Vec<Series> {
    let (mut sorted, count) = (Vec::new(), series.len());
    let mut ranking = Ranking::new(Order::Name(false, false), i64::MAX);
    series.into_iter().for_each(|series| ranking.add(series, 1));
    while sorted.len() < count {
        if let Poll::Ready(next) = ranking.next() {
            sorted.extend(next);
        }
    }
    sorted
}

/// How series are ordered.
#[derive(Clone, Copy)]
pub enum Order {
    /// By the aggregation of their values, the lowest first. One without values is below all others.
    Lowest(Aggregation),
    /// The same, the highest first.
    Highest(Aggregation),
    /// By their names. The flags: numbers in them are ordered by their value; the last name comes first.
    Name(bool, bool),
}

/// The series with the least key comes first. All keys of a ranking are of one kind.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Name(String),
    NameDescending(Reverse<String>),
}

impl Order {
    fn key(self, series: &Series) -> Key {
        let number = |aggregation: Aggregation| match aggregation.of(&series.values) {
            value if value.is_nan() => i64::MIN,
            value => ordered(value),
        };
        let name = |is_natural| match is_natural {
            true => padded(&series.name),
            false => series.name.clone(),
        };
        match self {
            Order::Lowest(aggregation) => Key::Number(number(aggregation)),
            Order::Highest(aggregation) => Key::Number(!number(aggregation)),
            Order::Name(is_natural, false) => Key::Name(name(is_natural)),
            Order::Name(is_natural, true) => Key::NameDescending(Reverse(name(is_natural))),
        }
    }
}

/// A name with its numbers as long as ten digits at least, so that they are in order.
fn padded(name: &str) -> String {
    let mut padded = String::with_capacity(name.len() + 16);
    let mut rest = name;
    while let Some(start) = rest.bytes().position(|next| next.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let after = digits.trim_start_matches(|next: char| next.is_ascii_digit());
        let digits = digits[..digits.len() - after.len()].trim_start_matches('0');
        let zeros = &"0000000000"[digits.len().min(10)..];
        padded.extend([before, zeros, digits]);
        rest = after;
    }
    padded.push_str(rest);
    padded
}

/// Series in the order of their keys, those with the same in the order in which they came.
struct Ranking {
    order: Order,
    /// How many are kept; if it is negative, how many of the last are dropped.
    most: i64,
    /// Those that are kept.
    series: Slab<Series>,
    /// Their keys and places.
    kept: BinaryHeap<Ranked>,
    /// When all have come, the same in order, the last one first.
    last_first: Vec<Ranked>,
    count: u64,
    kept_bytes: usize,
}

/// The key of a series, how many came before it, and where it is kept.
type Ranked = (Key, u64, usize);

fn kept_bytes((key, ..): &Ranked, series: &Series) -> usize {
    let name = match key {
        Key::Name(name) | Key::NameDescending(Reverse(name)) => name.capacity(),
        Key::Number(_) => 0,
    };
    // There is room for twice as many.
    2 * (size_of::<Ranked>() + size_of::<Series>()) + name + series.kept_bytes()
}

impl Ranking {
    fn new(order: Order, most: i64) -> Ranking {
        Ranking {
            order,
            most,
            series: Slab::new(),
            kept: BinaryHeap::new(),
            last_first: Vec::new(),
            count: 0,
            kept_bytes: 0,
        }
    }

    fn take(&mut self, ranked: Option<Ranked>) -> Option<Series> {
        let ranked = ranked?;
        let series = self.series.remove(ranked.2);
        self.kept_bytes -= kept_bytes(&ranked, &series);
        Some(series)
    }
}

impl Gather for Ranking {
    fn add(&mut self, series: Series, _: i64) {
        let place = self.series.vacant_key();
        let ranked = (self.order.key(&series), self.count, place);
        self.count += 1;
        self.kept_bytes += kept_bytes(&ranked, &series);
        self.series.insert(series);
        self.kept.push(ranked);
        if self.most >= 0 && self.kept.len() as u64 > self.most.unsigned_abs() {
            let last = self.kept.pop();
            drop(self.take(last));
        }
    }

    fn next(&mut self) -> Poll<Option<Series>> {
        let Some(last) = self.kept.pop() else {
            let first = self.last_first.pop();
            return Poll::Ready(self.take(first));
        };
        if self.most < 0 {
            self.most += 1;
            drop(self.take(Some(last)));
        } else {
            self.last_first.push(last);
        }
        Poll::Pending
    }

    fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}
