//! All functions: what they are called, their headings, parameters, operations, and what they do.

use super::Operation::{All, Each, First, Gather};
use super::filter::Order::{self, Highest, Lowest};
use super::{Function, alias, combine, filter, percent, time, transform};
use crate::query::aggregation::Aggregation::{Average, Difference, Last, Maximum, Minimum, Sum};
use crate::query::arguments::{Kind, Literal, Parameter};

/// Functions of a name, a heading, parameters, an operation and a description, and what else is not as in
/// most.
macro_rules! functions {
    ($($name:literal, $group:literal, [$($parameter:expr),*], $operation:expr, $description:literal
       $(, $field:ident: $value:expr)*;)*) => {
        &[$(Function {
            $($field: $value,)*
            ..Function::new($name, $group, &[$($parameter),*], $operation, $description)
        }),*]
    };
}

pub const TABLE: &[Function] = functions! {
    "alias", "Alias", [SERIES, required("newName", Kind::Text)], Each(alias::alias),
        "Gives series another name.";
    "aliasByMetric", "Alias", [SERIES], Each(alias::by_metric),
        "Names series after the last node of the path that they were made from.";
    "aliasByNode", "Alias", [SERIES, multiple(required("nodes", Kind::Node))], Each(alias::by_node),
        "Names series after nodes or tags of the path that they were made from.";
    "aliasSub", "Alias", [SERIES, required("search", Kind::Regex), required("replace", Kind::Text)], Each(alias::sub),
        "Replaces what a regular expression finds in names.";

    "asPercent", "Combine", [SERIES, optional("total", Kind::SeriesOrNumber, NONE), multiple(optional("nodes", Kind::Node, NONE))],
        All(percent::as_percent),
        "How many percent series are of their sum, of a number, of one series or of as many; with nodes, of those that have the same text in them.",
        alias: Some("pct");
    "averageSeries", "Combine", [LISTS], Gather(|_| combine::all(Average, "average")),
        "The average of series.", alias: Some("avg");
    "diffSeries", "Combine", [LISTS], Gather(|_| combine::all(Difference, "diff")),
        "The first series less the others.";
    "divideSeries", "Combine", [required("dividendSeriesList", Kind::Series), required("divisorSeries", Kind::Series)],
        Each(percent::divide_series),
        "Divides series by one.";
    "groupByNode", "Combine", [SERIES, required("nodeNum", Kind::Node), optional("callback", Kind::AggregationOfSeries, Literal::Text("average"))],
        Gather(combine::by_node),
        "Combines the series that have the same text in a node, and names them after it.";
    "maxSeries", "Combine", [LISTS], Gather(|_| combine::all(Maximum, "max")),
        "The highest of series.";
    "minSeries", "Combine", [LISTS], Gather(|_| combine::all(Minimum, "min")),
        "The lowest of series.";
    "sumSeries", "Combine", [LISTS], Gather(|_| combine::all(Sum, "sum")),
        "The sum of series.", alias: Some("sum");

    "currentAbove", "Filter Series", [SERIES, required("n", Kind::Number)], Each(filter::current_above),
        "Keeps the series whose last value is above a number.";
    "exclude", "Filter Series", [SERIES, PATTERN], Each(filter::exclude),
        "Drops the series in whose name a regular expression is found.";
    "grep", "Filter Series", [SERIES, PATTERN], Each(filter::grep),
        "Keeps the series in whose name a regular expression is found.";
    "highestAverage", "Filter Series", [SERIES, COUNT], Gather(|arguments| filter::first_by(Highest(Average), arguments)),
        "Keeps the series with the highest average.";
    "highestCurrent", "Filter Series", [SERIES, COUNT], Gather(|arguments| filter::first_by(Highest(Last), arguments)),
        "Keeps the series with the highest last value.";
    "highestMax", "Filter Series", [SERIES, COUNT], Gather(|arguments| filter::first_by(Highest(Maximum), arguments)),
        "Keeps the series with the highest maximum.";
    "limit", "Filter Series", [SERIES, required("n", Kind::Count)], First(filter::limit),
        "Keeps the first so many series.";
    "lowestAverage", "Filter Series", [SERIES, COUNT], Gather(|arguments| filter::first_by(Lowest(Average), arguments)),
        "Keeps the series with the lowest average.";

    "sortByMaxima", "Sorting", [SERIES], Gather(|_| filter::all_by(Highest(Maximum))),
        "Orders series by their maximum, the highest first.";
    "sortByName", "Sorting", [SERIES, flag("natural", false), flag("reverse", false)],
        Gather(|arguments| filter::all_by(Order::by_name(arguments))),
        "Orders series by their name; if natural, with the numbers in it by their value.";

    "consolidateBy", "Special", [SERIES, required("consolidationFunc", Kind::Consolidation)], Each(time::consolidate_by),
        "Says how points become one value of a step, which is their average otherwise.",
        window: Some(time::consolidated);
    "constantLine", "Special", [required("value", Kind::Number)], All(time::constant_line),
        "Makes a series of one value.",
        step: Some(|window, _| time::half(window));
    "movingAverage", "Calculate", [SERIES, required("windowSize", Kind::DurationOrSteps), optional("xFilesFactor", Kind::Number, NONE)],
        Each(time::moving_average),
        "The average of the values before each step, so many or over so long.",
        window: Some(time::with_those_before),
        counts_steps: true;
    "summarize", "Transform", [SERIES, required("intervalString", Kind::Duration), optional("func", Kind::Aggregation, Literal::Text("sum")), flag("alignToFrom", false)],
        Each(time::summarize),
        "Makes one step of all within an interval, by their sum or otherwise.",
        step: Some(|_, arguments| arguments.seconds(1)),
        counts_steps: true;
    "timeShift", "Transform", [SERIES, required("timeShift", Kind::Interval), flag("resetEnd", true), flag("alignDst", false)],
        Each(time::time_shift),
        "Shows what was so long before, or, with a plus, what is after.",
        window: Some(time::shifted);

    "absolute", "Transform", [SERIES], Each(transform::absolute),
        "Makes negative values positive.";
    "derivative", "Transform", [SERIES], Each(transform::derivative),
        "The difference of each value to the one before.",
        counts_steps: true;
    "integral", "Transform", [SERIES], Each(transform::integral),
        "The sum of all values up to each.",
        counts_steps: true;
    "keepLastValue", "Transform", [SERIES, optional("limit", Kind::IntegerOrInfinity, Literal::Number(f64::INFINITY))],
        Each(transform::keep_last_value),
        "Fills gaps of at most so many steps with the value before them.";
    "nonNegativeDerivative", "Transform", [SERIES, MAXIMUM, MINIMUM], Each(transform::non_negative_derivative),
        "The increase of a counter from step to step; nothing where it was reset, unless its greatest value is known.",
        counts_steps: true;
    "offset", "Transform", [SERIES, FACTOR], Each(transform::offset),
        "Adds a number to all values.";
    "perSecond", "Transform", [SERIES, MAXIMUM, MINIMUM], Each(transform::per_second),
        "The increase of a counter in a second; nothing where it was reset, unless its greatest value is known.";
    "scale", "Transform", [SERIES, FACTOR], Each(transform::scale),
        "Multiplies all values by a number.";
    "scaleToSeconds", "Transform", [SERIES, required("seconds", Kind::Number)], Each(transform::scale_to_seconds),
        "What values that count events of a step would be in so many seconds.",
        counts_steps: true;
    "transformNull", "Transform", [SERIES, optional("default", Kind::Number, Literal::Integer(0)), optional("referenceSeries", Kind::Series, NONE)],
        Each(transform::transform_null),
        "Replaces missing values by a number, or only those where one of other series has a value.";
};

const NONE: Literal = Literal::None;
const SERIES: Parameter = required("seriesList", Kind::Series);
const LISTS: Parameter = multiple(required("seriesLists", Kind::Series));
const COUNT: Parameter = required("n", Kind::Integer);
const PATTERN: Parameter = required("pattern", Kind::Regex);
const FACTOR: Parameter = required("factor", Kind::Number);
const MAXIMUM: Parameter = optional("maxValue", Kind::Number, NONE);
const MINIMUM: Parameter = optional("minValue", Kind::Number, NONE);

/// A parameter that a call must give.
const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        is_required: true,
        is_multiple: false,
        default: NONE,
    }
}

/// A parameter that a call may leave out.
const fn optional(name: &'static str, kind: Kind, default: Literal<'static>) -> Parameter {
    Parameter {
        is_required: false,
        default,
        ..required(name, kind)
    }
}

/// A parameter that is true or false.
const fn flag(name: &'static str, default: bool) -> Parameter {
    optional(name, Kind::Flag, Literal::Flag(default))
}

/// A parameter that takes all arguments that are left.
const fn multiple(parameter: Parameter) -> Parameter {
    Parameter {
        is_multiple: true,
        ..parameter
    }
}
