//! Functions of one series each, step by step.

use super::{Context, Function, Operation, SERIES, optional, required};
use crate::query::arguments::{Kind, Literal, Parameter, Value};
use crate::query::interval;
use crate::query::number::{general, shortest};
use crate::query::series::{Series, bounded};
use crate::query::window::Window;

/// What is done to a series; whether it is kept.
type Outcome = Result<bool, String>;

pub const TABLE: &[Function] = &[
    transform(
        "absolute",
        absolute,
        &[SERIES],
        "Makes negative values positive.",
    ),
    Function {
        window: |window, arguments, _| {
            let consolidation = arguments.aggregation(1);
            Some(Window {
                consolidation,
                ..window.clone()
            })
        },
        ..Function::new(
            "consolidateBy",
            "Special",
            Operation::Each(consolidate_by),
            &[SERIES, required("consolidationFunc", Kind::Consolidation)],
            "Says how points become one value of a step, which is their average otherwise.",
        )
    },
    Function {
        step: Some(|window, _| (window.until.saturating_sub(window.from) / 2).max(1)),
        ..Function::new(
            "constantLine",
            "Special",
            Operation::Make(constant_line),
            &[required("value", Kind::Number)],
            "Makes a series of one value.",
        )
    },
    Function {
        window: |window, arguments, step| window.extended(span(arguments.get(1), step)),
        ..Function::new(
            "movingAverage",
            "Calculate",
            Operation::Each(moving_average),
            &[
                SERIES,
                required("windowSize", Kind::DurationOrSteps),
                optional("xFilesFactor", Kind::Number, Literal::None),
            ],
            "Replaces each value by the average of those before it, so many or over so long.",
        )
    },
    transform(
        "scale",
        scale,
        &[SERIES, required("factor", Kind::Number)],
        "Multiplies all values by a factor.",
    ),
    Function {
        window: |window, arguments, _| window.shifted(shift(arguments.text(1))),
        ..transform(
            "timeShift",
            time_shift,
            &[
                SERIES,
                required("timeShift", Kind::Interval),
                optional("resetEnd", Kind::Flag, Literal::Flag(true)),
                optional("alignDst", Kind::Flag, Literal::Flag(false)),
            ],
            "Shows what was so long before, or, with a plus, what is after.",
        )
    },
];

const fn transform(
    name: &'static str,
    operation: fn(&mut Series, &Context) -> Outcome,
    parameters: &'static [Parameter],
    description: &'static str,
) -> Function {
    Function::new(
        name,
        "Transform",
        Operation::Each(operation),
        parameters,
        description,
    )
}

fn absolute(series: &mut Series, _: &Context) -> Outcome {
    series
        .values
        .iter_mut()
        .for_each(|value| *value = value.abs());
    series.rename(format!("absolute({})", series.name));
    Ok(true)
}

fn consolidate_by(series: &mut Series, context: &Context) -> Outcome {
    series.consolidation = context.arguments.aggregation(1);
    series.rename(format!(
        "consolidateBy({},\"{}\")",
        series.name,
        context.arguments.text(1)
    ));
    Ok(true)
}

fn constant_line(context: &Context) -> Series {
    let value = context.arguments.number(0).unwrap_or(f64::NAN);
    let Window { from, until, .. } = *context.window;
    Series {
        name: shortest(value),
        expression: format!("constantLine({})", shortest(value)),
        start: from,
        step: (until.saturating_sub(from) / 2).max(1),
        values: vec![value; 3],
        ..Series::default()
    }
}

fn scale(series: &mut Series, context: &Context) -> Outcome {
    let factor = context.arguments.number(1).unwrap_or(1.0);
    series.values.iter_mut().for_each(|value| *value *= factor);
    series.rename(format!("scale({},{})", series.name, general(factor)));
    Ok(true)
}

/// Seconds that an interval reaches into the past if it has no sign, as Graphite has it.
fn shift(text: &str) -> i64 {
    let seconds = interval::parse(text).unwrap_or(0);
    match text.starts_with(['+', '-']) {
        true => seconds,
        false => -seconds,
    }
}

fn time_shift(series: &mut Series, context: &Context) -> Outcome {
    let text = context.arguments.text(1);
    let seconds = shift(text);
    // Where the steps begin does not change, even if the shift is not a multiple of them.
    series.start = match seconds % series.step {
        0 => series.start.saturating_sub(seconds),
        _ => Window {
            step: series.step,
            ..context.window.clone()
        }
        .start(),
    };
    let minus = if text.starts_with(['+', '-']) {
        ""
    } else {
        "-"
    };
    series.name = bounded(format!("timeShift({}, \"{minus}{text}\")", series.name));
    Ok(true)
}

/// Seconds before the first step over which a moving average is made.
fn span(size: &Value, step: i64) -> i64 {
    match *size {
        Value::Integer(steps) => steps.saturating_mul(step),
        Value::Number(steps) => (steps as i64).saturating_mul(step),
        Value::Interval(seconds, _) => seconds,
        _ => 0,
    }
}

fn moving_average(series: &mut Series, context: &Context) -> Outcome {
    let arguments = context.arguments;
    let seconds = span(arguments.get(1), series.step);
    let steps = usize::try_from(seconds / series.step).unwrap_or(usize::MAX);
    let least = arguments.number(2).unwrap_or(0.0);
    series.values = moving_averages(&series.values, steps, least);
    series.start = series.start.saturating_add(seconds);
    let size = match arguments.get(1) {
        Value::Interval(_, text) => format!("\"{text}\""),
        Value::Integer(steps) => steps.to_string(),
        _ => shortest(arguments.number(1).unwrap_or(0.0)),
    };
    series.rename(format!("movingAverage({},{size})", series.name));
    Ok(true)
}

/// For each value after the first `steps`, the average of the `steps` before it, if at least so large a
/// part of them are there. In linear time, and without the errors of a sum from which values are taken
/// again: a window is the end of one block of so many values and the beginning of the next, and the sums
/// of these are known (van Herk, "A fast algorithm for local minimum and maximum filters", 1992).
fn moving_averages(values: &[f64], steps: usize, least: f64) -> Vec<f64> {
    if steps == 0 || values.len() <= steps {
        return vec![f64::NAN; if steps == 0 { values.len() } else { 0 }];
    }
    let add = |(sum, count): (f64, u32), value: f64| match value.is_nan() {
        true => (sum, count),
        false => (sum + value, count + 1),
    };
    let mut ends: Vec<(f64, u32)> = vec![(0.0, 0); values.len()];
    for at in (0..values.len()).rev() {
        let is_last = (at + 1) % steps == 0 || at + 1 == values.len();
        let after = if is_last { (0.0, 0) } else { ends[at + 1] };
        ends[at] = add(after, values[at]);
    }
    let mut beginning = (0.0, 0);
    let averages = (steps..values.len()).map(|at| {
        if at % steps == 0 {
            beginning = (0.0, 0);
        }
        let (sum, count) = ends[at - steps];
        let (sum, count) = (sum + beginning.0, count + beginning.1);
        beginning = add(beginning, values[at]);
        match count > 0 && f64::from(count) / steps as f64 >= least {
            true => sum / f64::from(count),
            false => f64::NAN,
        }
    });
    averages.collect()
}
