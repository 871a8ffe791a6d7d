//! Functions of the values of one series, step by step.

use std::mem;

use super::{Context, Outcome};
use crate::config::Config;
use crate::query::number::{general, round_to_six_decimals, whole};
use crate::query::series::Series;

/// Replaces each value by what `next` makes of it, in order, and names the series after the call: with what
/// follows the series between the parentheses.
fn each(
    series: &mut Series,
    context: &Context,
    arguments: &str,
    mut next: impl FnMut(f64) -> f64,
) -> Outcome {
    for value in &mut series.values {
        *value = next(*value);
    }
    series.rename(context.function, arguments);
    Ok(true)
}

pub fn absolute(series: &mut Series, context: &Context) -> Outcome {
    each(series, context, "", f64::abs)
}

pub fn derivative(series: &mut Series, context: &Context) -> Outcome {
    let mut before = f64::NAN;
    each(series, context, "", |value| {
        value - mem::replace(&mut before, value)
    })
}

pub fn integral(series: &mut Series, context: &Context) -> Outcome {
    let mut sum = 0.0;
    each(series, context, "", |value| {
        sum += if value.is_nan() { 0.0 } else { value };
        if value.is_nan() { value } else { sum }
    })
}

pub fn keep_last_value(series: &mut Series, context: &Context) -> Outcome {
    let limit = context.arguments.number(1).unwrap_or(f64::INFINITY);
    let mut last = f64::NAN;
    let is_alike = |left: &f64, right: &f64| left.is_nan() == right.is_nan();
    for alike in series.values.chunk_by_mut(is_alike) {
        match alike {
            [.., value] if !value.is_nan() => last = *value,
            gap if gap.len() as f64 <= limit => gap.fill(last),
            _ => {}
        }
    }
    series.rename(context.function, "");
    Ok(true)
}

pub fn non_negative_derivative(series: &mut Series, context: &Context) -> Outcome {
    each(series, context, "", increases(context))
}

pub fn per_second(series: &mut Series, context: &Context) -> Outcome {
    let (step, mut increase) = (series.step as f64, increases(context));
    each(series, context, "", |value| {
        round_to_six_decimals(increase(value) / step)
    })
}

/// By how much a counter that may be reset, or wrap, has increased since the value before. NaN if this is
/// not known.
fn increases(context: &Context) -> impl FnMut(f64) -> f64 + use<> {
    let (greatest, least) = (context.arguments.number(1), context.arguments.number(2));
    let mut before = f64::NAN;
    move |value| {
        let is_beyond = greatest.is_some_and(|greatest| value > greatest)
            || least.is_some_and(|least| value < least);
        let value = if is_beyond { f64::NAN } else { value };
        let before = mem::replace(&mut before, value);
        match (greatest, least) {
            _ if before.is_nan() || value.is_nan() => f64::NAN,
            _ if value >= before => value - before,
            (Some(greatest), least) => greatest + 1.0 + value - before - least.unwrap_or(0.0),
            (None, Some(least)) => value - least,
            (None, None) => f64::NAN,
        }
    }
}

pub fn offset(series: &mut Series, context: &Context) -> Outcome {
    let added = context.arguments.number(1).unwrap_or(0.0);
    let shown = [",", &general(added)].concat();
    each(series, context, &shown, |value| value + added)
}

pub fn scale(series: &mut Series, context: &Context) -> Outcome {
    let factor = context.arguments.number(1).unwrap_or(1.0);
    let shown = [",", &general(factor)].concat();
    each(series, context, &shown, |value| value * factor)
}

pub fn scale_to_seconds(series: &mut Series, context: &Context) -> Outcome {
    let seconds = context.arguments.number(1).unwrap_or(1.0);
    let factor = seconds / series.step as f64;
    let shown = [",", &whole(seconds as i64)].concat();
    each(series, context, &shown, |value| {
        round_to_six_decimals(value * factor)
    })
}

pub fn transform_null(series: &mut Series, context: &Context) -> Outcome {
    let default = context.arguments.number(1).unwrap_or(0.0);
    let references = context.others;
    let lengths = references.iter().map(|reference| reference.values.len());
    let length = lengths.fold(series.values.len(), usize::max);
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
    let suffix = if references.is_empty() {
        ""
    } else {
        ",referenceSeries"
    };
    series.rename(context.function, &[",", &general(default), suffix].concat());
    Ok(true)
}
