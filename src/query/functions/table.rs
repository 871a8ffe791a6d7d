//! All functions: what they are called, their headings, [signatures](parameters), operations, and what they
//! do.

use super::Operation::{All, Each, First, Gather};
use super::filter::Order::{Highest, Lowest, Name};
use super::{Function, alias, combine, filter, percent, time, transform};
use crate::query::aggregation::Aggregation::{Average, Difference, Last, Maximum, Minimum, Sum};
#[cfg(doc)]
use crate::query::parameters::parameters;

/// Functions of a name, a heading, a signature, an operation and a description, and what else is not as in
/// most.
macro_rules! functions {
    ($($name:literal, $group:literal, $signature:literal, $operation:expr, $description:literal
       $(, $field:ident: $value:expr)*;)*) => {
        &[$(Function {
            name: $name,
            group: $group,
            signature: $signature,
            operation: $operation,
            description: $description,
            $($field: $value,)*
            ..Function::PLAIN
        }),*]
    };
}

pub const TABLE: &[Function] = functions! {
    "alias", "Alias", "seriesList: series, newName: text", Each(alias::alias),
        "Gives series another name.";
    "aliasByMetric", "Alias", "seriesList: series", Each(alias::by_metric),
        "Names series after the last node of the path that they were made from.";
    "aliasByNode", "Alias", "seriesList: series, *nodes: node", Each(alias::by_node),
        "Names series after nodes or tags of the path that they were made from.";
    "aliasSub", "Alias", "seriesList: series, search: regex, replace: text", Each(alias::sub),
        "Replaces what a regular expression finds in names.";

    "asPercent", "Combine", "seriesList: series, total: seriesOrNumber = none, *nodes: node = none",
        All(percent::as_percent),
        "How many percent series are of their sum, of a number, of one series or of as many; with nodes, of those that have the same text in them.",
        alias: Some("pct");
    "averageSeries", "Combine", "*seriesLists: series", Gather(|_| combine::all(Average, "average")),
        "The average of series.", alias: Some("avg");
    "diffSeries", "Combine", "*seriesLists: series", Gather(|_| combine::all(Difference, "diff")),
        "The first series less the others.";
    "divideSeries", "Combine", "dividendSeriesList: series, divisorSeries: series",
        Each(percent::divide_series),
        "Divides series by one.";
    "groupByNode", "Combine", "seriesList: series, nodeNum: node, callback: aggregationOfSeries = average",
        Gather(combine::by_node),
        "Combines the series that have the same text in a node, and names them after it.";
    "maxSeries", "Combine", "*seriesLists: series", Gather(|_| combine::all(Maximum, "max")),
        "The highest of series.";
    "minSeries", "Combine", "*seriesLists: series", Gather(|_| combine::all(Minimum, "min")),
        "The lowest of series.";
    "sumSeries", "Combine", "*seriesLists: series", Gather(|_| combine::all(Sum, "sum")),
        "The sum of series.", alias: Some("sum");

    "currentAbove", "Filter Series", "seriesList: series, n: number", Each(filter::current_above),
        "Keeps the series whose last value is above a number.";
    "exclude", "Filter Series", "seriesList: series, pattern: regex", Each(filter::exclude),
        "Drops the series in whose name a regular expression is found.";
    "grep", "Filter Series", "seriesList: series, pattern: regex", Each(filter::grep),
        "Keeps the series in whose name a regular expression is found.";
    "highestAverage", "Filter Series", "seriesList: series, n: integer", Gather(|arguments| filter::ranked(Highest(Average), arguments.integer(1))),
        "Keeps the series with the highest average.";
    "highestCurrent", "Filter Series", "seriesList: series, n: integer", Gather(|arguments| filter::ranked(Highest(Last), arguments.integer(1))),
        "Keeps the series with the highest last value.";
    "highestMax", "Filter Series", "seriesList: series, n: integer", Gather(|arguments| filter::ranked(Highest(Maximum), arguments.integer(1))),
        "Keeps the series with the highest maximum.";
    "limit", "Filter Series", "seriesList: series, n: count", First(filter::limit),
        "Keeps the first so many series.";
    "lowestAverage", "Filter Series", "seriesList: series, n: integer", Gather(|arguments| filter::ranked(Lowest(Average), arguments.integer(1))),
        "Keeps the series with the lowest average.";

    "sortByMaxima", "Sorting", "seriesList: series", Gather(|_| filter::ranked(Highest(Maximum), i64::MAX)),
        "Orders series by their maximum, the highest first.";
    "sortByName", "Sorting", "seriesList: series, natural: flag = false, reverse: flag = false",
        Gather(|arguments| filter::ranked(Name(arguments.flag(1), arguments.flag(2)), i64::MAX)),
        "Orders series by their name; if natural, with the numbers in it by their value.";

    "consolidateBy", "Special", "seriesList: series, consolidationFunc: consolidation", Each(time::consolidate_by),
        "Says how points become one value of a step, which is their average otherwise.",
        window: time::consolidated;
    "constantLine", "Special", "value: number", All(time::constant_line),
        "Makes a series of one value.",
        step: Some(|window, _| time::half(window));
    "movingAverage", "Calculate", "seriesList: series, windowSize: steps, xFilesFactor: number = none",
        Each(time::moving_average),
        "The average of the values before each step, so many or over so long.",
        window: time::with_those_before,
        counts_steps: true;
    "summarize", "Transform", "seriesList: series, intervalString: duration, func: aggregation = sum, alignToFrom: flag = false",
        Each(time::summarize),
        "Makes one step of all within an interval, by their sum or otherwise.",
        step: Some(|_, arguments| arguments.integer(1)),
        counts_steps: true;
    "timeShift", "Transform", "seriesList: series, timeShift: interval, resetEnd: flag = true, alignDst: flag = false",
        Each(time::time_shift),
        "Shows what was so long before, or, with a plus, what is after.",
        window: time::shifted;

    "absolute", "Transform", "seriesList: series", Each(transform::absolute),
        "Makes negative values positive.";
    "derivative", "Transform", "seriesList: series", Each(transform::derivative),
        "The difference of each value to the one before.",
        counts_steps: true;
    "integral", "Transform", "seriesList: series", Each(transform::integral),
        "The sum of all values up to each.",
        counts_steps: true;
    "keepLastValue", "Transform", "seriesList: series, limit: integerOrInfinity = inf",
        Each(transform::keep_last_value),
        "Fills gaps of at most so many steps with the value before them.";
    "nonNegativeDerivative", "Transform", "seriesList: series, maxValue: number = none, minValue: number = none", Each(transform::non_negative_derivative),
        "The increase of a counter from step to step; nothing where it was reset, unless its greatest value is known.",
        counts_steps: true;
    "offset", "Transform", "seriesList: series, factor: number", Each(transform::offset),
        "Adds a number to all values.";
    "perSecond", "Transform", "seriesList: series, maxValue: number = none, minValue: number = none", Each(transform::per_second),
        "The increase of a counter in a second; nothing where it was reset, unless its greatest value is known.";
    "scale", "Transform", "seriesList: series, factor: number", Each(transform::scale),
        "Multiplies all values by a number.";
    "scaleToSeconds", "Transform", "seriesList: series, seconds: number", Each(transform::scale_to_seconds),
        "What values that count events of a step would be in so many seconds.",
        counts_steps: true;
    "transformNull", "Transform", "seriesList: series, default: number = 0, referenceSeries: series = none",
        Each(transform::transform_null),
        "Replaces missing values by a number, or only those where one of other series has a value.";
};
