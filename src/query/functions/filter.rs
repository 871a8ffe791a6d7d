//! Functions that choose and order series.

use super::{Function, Operation, SERIES, required};
use crate::query::aggregation::Aggregation;
use crate::query::arguments::Kind;

pub const TABLE: &[Function] = &[
    Function::new(
        "currentAbove",
        "Filter Series",
        Operation::Each(|series, context| {
            let least = context.arguments.number(1).unwrap_or(0.0);
            Ok(Aggregation::Last.of(&series.values) > least)
        }),
        &[SERIES, required("n", Kind::Number)],
        "Keeps the series whose last value is above a number.",
    ),
    Function::new(
        "limit",
        "Filter Series",
        Operation::First(|arguments| usize::try_from(arguments.integer(1)).unwrap_or(0)),
        &[SERIES, required("n", Kind::Count)],
        "Keeps the first so many series.",
    ),
];
