//! Functions of time: which window is read, and how steps become others.

use super::{Context, Outcome, Results};
use crate::config::Config;
use crate::query::arguments::{Arguments, Value};
use crate::query::interval;
use crate::query::number::{shortest, whole};
use crate::query::series::{Series, bounded};
use crate::query::window::Window;

/// Consolidates points as the call says.
pub fn consolidated(window: &Window, arguments: &Arguments, _: i64) -> Option<Window> {
    let consolidation = arguments.aggregation(1);
    Some(Window {
        consolidation,
        ..*window
    })
}

/// Extends a window by what a moving average needs before it.
pub fn with_those_before(window: &Window, arguments: &Arguments, step: i64) -> Option<Window> {
    window.extended(span(arguments, step))
}

/// Shifts a window as the call says.
pub fn shifted(window: &Window, arguments: &Arguments, _: i64) -> Option<Window> {
    window.shifted(shift(arguments.text(1)))
}

pub fn consolidate_by(series: &mut Series, context: &Context) -> Outcome {
    series.consolidation = context.arguments.aggregation(1);
    let shown = [",\"", context.arguments.text(1), "\""].concat();
    series.rename(context.function, &shown);
    Ok(true)
}

/// Half of a window, which is the step of a line from its beginning to its end.
pub fn half(window: &Window) -> i64 {
    (window.until.saturating_sub(window.from) / 2).max(1)
}

pub fn constant_line(_: Vec<Vec<Series>>, context: &Context) -> Results {
    let value = context.arguments.number(0).unwrap_or(f64::NAN);
    let name = shortest(value);
    Ok(vec![Series {
        expression: format!("constantLine({name})"),
        name,
        start: context.window.from,
        step: half(context.window),
        values: vec![value; 3],
        ..Series::default()
    }])
}

/// Seconds before the first step over which a moving average is made.
fn span(arguments: &Arguments, step: i64) -> i64 {
    match *arguments.get(1) {
        Value::Interval(seconds, _) => seconds,
        _ => arguments.integer(1).saturating_mul(step),
    }
}

pub fn moving_average(series: &mut Series, context: &Context) -> Outcome {
    let arguments = context.arguments;
    let seconds = span(arguments, series.step);
    let steps = usize::try_from(seconds / series.step).unwrap_or(usize::MAX);
    let least = arguments.number(2).unwrap_or(0.0);
    series.values = moving_averages(&series.values, steps, least);
    series.start = series.start.saturating_add(seconds);
    let size = match arguments.get(1) {
        Value::Interval(_, text) => format!("\"{text}\""),
        Value::Integer(steps) => whole(*steps),
        _ => shortest(arguments.number(1).unwrap_or(0.0)),
    };
    series.rename(context.function, &[",", &size].concat());
    Ok(true)
}

/// For each value after the first `steps`, the average of the `steps` before it, if at least so large a
/// part of them are there. In linear time, and without the errors of a sum from which values are taken
/// again: a window is the end of one block of so many values and the beginning of the next, and the sums
/// of these are known (van Herk, "A fast algorithm for local minimum and maximum filters", 1992).
pub fn moving_averages(values: &[f64], steps: usize, least: f64) -> Vec<f64> {
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

pub fn summarize(series: &mut Series, context: &Context) -> Outcome {
    let arguments = context.arguments;
    let (interval, aggregation) = (arguments.integer(1), arguments.aggregation(2));
    let is_aligned_to_start = arguments.flag(3);
    let length = series.values.len();
    let end = series.time(length);
    let start = match is_aligned_to_start {
        true => series.start,
        false => series
            .start
            .saturating_sub(series.start.rem_euclid(interval)),
    };
    let seconds = end.saturating_sub(start);
    let last = seconds.saturating_sub(1).div_euclid(interval);
    // An interval that begins at the end counts, though it is empty.
    let is_one_more = !is_aligned_to_start && end.rem_euclid(interval) == 0;
    let count = (last + 1).saturating_add(is_one_more.into());
    if count > Config::STEPS_MAX {
        return Err(format!("summarize: more than {} steps", Config::STEPS_MAX).into());
    }
    // The index of the first value at or after a time.
    let place = |time: i64| {
        let since = time.saturating_sub(series.start).max(0);
        let steps = since.saturating_add(series.step - 1) / series.step;
        usize::try_from(steps).unwrap_or(length).min(length)
    };
    let row = |at: i64| {
        let time = start.saturating_add(at.saturating_mul(interval));
        aggregation.of(&series.values[place(time)..place(time.saturating_add(interval))])
    };
    let values = (0..count).map(row).collect();
    let suffix = if is_aligned_to_start { ", true" } else { "" };
    let (interval_text, function) = (arguments.text(1), arguments.text(2));
    let names = [", \"", interval_text, "\", \"", function, "\"", suffix].concat();
    series.rename(context.function, &names);
    (series.start, series.step, series.values) = (start, interval, values);
    Ok(true)
}

/// An interval with the sign that it has, or with a minus, as Graphite has it: into the past.
fn signed(text: &str) -> String {
    let is_signed = text.starts_with(['+', '-']);
    [if is_signed { "" } else { "-" }, text].concat()
}

/// Seconds by which a window is shifted.
fn shift(text: &str) -> i64 {
    interval::parse(&signed(text)).unwrap_or(0)
}

pub fn time_shift(series: &mut Series, context: &Context) -> Outcome {
    let text = context.arguments.text(1);
    let seconds = shift(text);
    // Where the steps begin does not change, even if the shift is not a multiple of them.
    series.start = match seconds % series.step {
        0 => series.start.saturating_sub(seconds),
        _ => Window {
            step: series.step,
            ..*context.window
        }
        .start(),
    };
    series.name = bounded(format!("timeShift({}, \"{}\")", series.name, signed(text)));
    Ok(true)
}
