//! Functions of the values of one series, step by step.

use super::{Context, Outcome};
use crate::config::Config;
use crate::query::number::{general, round_to_six_decimals, whole};
use crate::query::series::Series;

/// Replaces each value by what `next` makes of it, in order, and names the series after the function.
fn each(series: &mut Series, function: &str, next: impl FnMut(f64) -> f64) -> Outcome {
    each_with(series, function, None, next)
}

/// The same with a number, which becomes a part of the name.
fn each_with(
    series: &mut Series,
    function: &str,
    number: Option<String>,
    mut next: impl FnMut(f64) -> f64,
) -> Outcome {
    for value in &mut series.values {
        *value = next(*value);
    }
    series.rename(
        function,
        &number.map_or(String::new(), |number| format!(",{number}")),
    );
    Ok(true)
}

pub fn absolute(series: &mut Series, _: &Context) -> Outcome {
    each(series, "absolute", f64::abs)
}

pub fn derivative(series: &mut Series, _: &Context) -> Outcome {
    let mut before = f64::NAN;
    each(series, "derivative", |value| {
        value - std::mem::replace(&mut before, value)
    })
}

pub fn integral(series: &mut Series, _: &Context) -> Outcome {
    let mut sum = 0.0;
    each(series, "integral", |value| {
        sum += if value.is_nan() { 0.0 } else { value };
        if value.is_nan() { value } else { sum }
    })
}

pub fn keep_last_value(series: &mut Series, context: &Context) -> Outcome {
    let limit = context.arguments.number(1).unwrap_or(f64::INFINITY);
    let values = &mut series.values;
    let mut last = None;
    for at in 0..=values.len() {
        if at < values.len() && values[at].is_nan() {
            continue;
        }
        // All from the last value on are missing.
        let gap = last.map_or(0..0, |last| last + 1..at);
        if let Some(last) = last.filter(|_| gap.len() as f64 <= limit) {
            let value: f64 = values[last];
            values[gap].fill(value);
        }
        last = Some(at);
    }
    series.rename("keepLastValue", "");
    Ok(true)
}

pub fn non_negative_derivative(series: &mut Series, context: &Context) -> Outcome {
    let mut counter = Counter::new(context);
    each(series, "nonNegativeDerivative", |value| {
        counter.increase(value)
    })
}

pub fn per_second(series: &mut Series, context: &Context) -> Outcome {
    let mut counter = Counter::new(context);
    let step = series.step as f64;
    each(series, "perSecond", |value| {
        round_to_six_decimals(counter.increase(value) / step)
    })
}

/// A counter that may be reset, or wrap.
struct Counter {
    before: f64,
    greatest: Option<f64>,
    least: Option<f64>,
}

impl Counter {
    fn new(context: &Context) -> Counter {
        Counter {
            before: f64::NAN,
            greatest: context.arguments.number(1),
            least: context.arguments.number(2),
        }
    }

    /// By how much it has increased. NaN if this is not known.
    fn increase(&mut self, value: f64) -> f64 {
        let is_beyond = self.greatest.is_some_and(|greatest| value > greatest)
            || self.least.is_some_and(|least| value < least);
        let value = if is_beyond { f64::NAN } else { value };
        let before = std::mem::replace(&mut self.before, value);
        if before.is_nan() || value.is_nan() {
            return f64::NAN;
        }
        match (self.greatest, self.least) {
            _ if value >= before => value - before,
            (Some(greatest), least) => greatest + 1.0 + value - before - least.unwrap_or(0.0),
            (None, Some(least)) => value - least,
            (None, None) => f64::NAN,
        }
    }
}

pub fn offset(series: &mut Series, context: &Context) -> Outcome {
    let factor = context.arguments.number(1).unwrap_or(0.0);
    each_with(series, "offset", Some(general(factor)), |value| {
        value + factor
    })
}

pub fn scale(series: &mut Series, context: &Context) -> Outcome {
    let factor = context.arguments.number(1).unwrap_or(1.0);
    each_with(series, "scale", Some(general(factor)), |value| {
        value * factor
    })
}

pub fn scale_to_seconds(series: &mut Series, context: &Context) -> Outcome {
    let seconds = context.arguments.number(1).unwrap_or(1.0);
    let factor = seconds / series.step as f64;
    each_with(
        series,
        "scaleToSeconds",
        Some(whole(seconds as i64)),
        |value| round_to_six_decimals(value * factor),
    )
}

pub fn transform_null(series: &mut Series, context: &Context) -> Outcome {
    let default = context.arguments.number(1).unwrap_or(0.0);
    let references = context.others.first().map_or(&[][..], Vec::as_slice);
    let longest = references.iter().map(|reference| reference.values.len());
    let length = longest.max().unwrap_or(0).max(series.values.len());
    if length * references.len() > Config::REFERENCE_VALUES_MAX {
        return Err("transformNull: the reference series have too many values".into());
    }
    series.values.resize(length, f64::NAN);
    for (at, value) in series.values.iter_mut().enumerate() {
        let has_value = |reference: &Series| !reference.values.get(at).is_none_or(|it| it.is_nan());
        if value.is_nan() && (references.is_empty() || references.iter().any(has_value)) {
            *value = default;
        }
    }
    let suffix = match references.is_empty() {
        true => "",
        false => ",referenceSeries",
    };
    let arguments = [",", &general(default), suffix].concat();
    series.rename("transformNull", &arguments);
    Ok(true)
}
