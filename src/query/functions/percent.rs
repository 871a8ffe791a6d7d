//! Functions that divide series by others.

use std::{iter, mem};

use super::alias::key;
use super::combine::{Group, Places};
use super::filter::sorted_by_name;
use super::{Context, Outcome, Reason, Results, common_step};
use crate::config::Config;
use crate::query::aggregation::Aggregation;
use crate::query::arguments::Value;
use crate::query::number::{shortest, whole};
use crate::query::series::Series;

/// `dividend` divided by `divisor` and multiplied by `factor`, under the name of the function. There is
/// no value where the divisor has none or zero.
fn divide(dividend: &mut Series, divisor: &Series, factor: f64, function: &str) {
    let step = common_step(dividend.step, divisor.step);
    let consolidated = divisor.consolidated(step);
    let divisors = consolidated.as_ref().unwrap_or(&divisor.values);
    dividend.consolidate(step);
    let length = dividend.values.len().max(divisors.len());
    dividend.values.resize(length, f64::NAN);
    let divisors = divisors.iter().chain(iter::repeat(&f64::NAN));
    for (value, &divisor) in dividend.values.iter_mut().zip(divisors) {
        *value = if divisor == 0.0 {
            f64::NAN
        } else {
            *value / divisor * factor
        };
    }
    dividend.start = dividend.start.min(divisor.start);
    dividend.consolidation = Aggregation::default();
    dividend.rename(function, &[",", &divisor.name].concat());
}

/// Divides a series by one that is missing: no value is left.
fn missing(dividend: &mut Series, function: &str) {
    dividend.values.fill(f64::NAN);
    dividend.rename(function, ",MISSING");
}

pub fn divide_series(series: &mut Series, context: &Context) -> Outcome {
    match context.others {
        [] => missing(series, context.function),
        [divisor] => divide(series, divisor, 1.0, context.function),
        several => {
            let count = several.len();
            let message = format!("divideSeries: the divisor is {count} series, not one");
            return Err(message.into());
        }
    }
    Ok(true)
}

pub fn as_percent(lists: Vec<Vec<Series>>, context: &Context) -> Results {
    let kept_bytes: usize = lists.iter().flatten().map(Series::kept_bytes).sum();
    if kept_bytes > Config::PERCENT_BYTES_MAX {
        return Err("asPercent: the series have too many values".into());
    }
    let mut lists = lists.into_iter();
    let mut series = lists.next().unwrap_or_default();
    let totals = lists.next();
    let total = context.arguments.get(1);
    if series.is_empty() {
        return Ok(series);
    }
    if !context.arguments.rest(2).is_empty() {
        return match context.arguments.number(1) {
            Some(_) => Err("asPercent: nodes need no total, or series".into()),
            None => of_groups(series, totals, context),
        };
    }
    let totals = match (totals, total) {
        // They match in the order of their names.
        (Some(totals), _) if totals.len() == series.len() => {
            series = sorted_by_name(series);
            sorted_by_name(totals)
        }
        (Some(totals), _) if totals.len() == 1 => totals,
        (Some(_), _) => return Err("asPercent: the total is neither one series nor as many".into()),
        (None, Value::None) => vec![sum(&series)],
        (None, total) => vec![constant(&series[0], total)],
    };
    let mut room = context.room_bytes;
    for (series, total) in series.iter_mut().zip(totals.iter().cycle()) {
        percent(series, Some(total), &mut room)?;
    }
    Ok(series)
}

/// With nodes: series and totals that have the same text in them belong together.
fn of_groups(series: Vec<Series>, totals: Option<Vec<Series>>, context: &Context) -> Results {
    let is_total_given = totals.is_some();
    let mut places = Places::default();
    let mut groups: Vec<[Vec<Series>; 2]> = Vec::new();
    for (which, list) in [series, totals.unwrap_or_default()].into_iter().enumerate() {
        for series in list {
            let name = key(&series.name, context.arguments.rest(2));
            let place = *places.entry(name).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Default::default());
            }
            groups[place][which].push(series);
        }
    }
    let mut room = context.room_bytes;
    let mut results = Vec::new();
    for [series, totals] in groups {
        let total = match if is_total_given { &totals } else { &series }[..] {
            [] => None,
            [ref total] => Some(total.clone()),
            ref several => Some(sum(several)),
        };
        match total {
            Some(mut total) if series.is_empty() => {
                total.values.fill(f64::NAN);
                let name = mem::replace(&mut total.name, "MISSING".into());
                total.rename("asPercent", &[",", &name].concat());
                results.push(total);
            }
            total => {
                for mut series in series {
                    percent(&mut series, total.as_ref(), &mut room)?;
                    results.push(series);
                }
            }
        }
    }
    Ok(results)
}

/// Divides a series by a total, in percent, and takes the memory that this adds out of `room`.
fn percent(series: &mut Series, total: Option<&Series>, room: &mut usize) -> Result<(), Reason> {
    let before = series.kept_bytes();
    match total {
        Some(total) => divide(series, total, 100.0, "asPercent"),
        None => missing(series, "asPercent"),
    }
    let left = room.checked_sub(series.kept_bytes().saturating_sub(before));
    *room = left.ok_or("asPercent: the result takes more memory than a query may")?;
    Ok(())
}

/// The sum of series of the same step.
fn sum(series: &[Series]) -> Series {
    let mut group = Group::default();
    for series in series {
        group.add(Aggregation::Sum, series);
    }
    group.series(Aggregation::Sum, "sum", None)
}

/// A series of one number, with the steps of another series.
fn constant(like: &Series, number: &Value) -> Series {
    let (name, value) = match *number {
        Value::Integer(number) => (whole(number), number as f64),
        Value::Number(number) => (shortest(number), number),
        _ => (String::new(), f64::NAN),
    };
    let mut constant = like.clone();
    constant.name = name;
    constant.values.fill(value);
    constant
}
