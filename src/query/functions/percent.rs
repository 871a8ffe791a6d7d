//! Functions that divide series by others.

use super::alias::key;
use super::combine::{Group, Places};
use super::filter::sorted_by_name;
use super::{Context, Outcome, Results, common_step};
use crate::config::Config;
use crate::query::aggregation::Aggregation;
use crate::query::arguments::Value;
use crate::query::number::shortest;
use crate::query::series::Series;

/// `dividend` divided by `divisor` and multiplied by `factor`, under the name of the function. There is
/// no value where the divisor has none or zero.
fn divide(dividend: &mut Series, divisor: &Series, factor: f64, function: &str) {
    let step = common_step(dividend.step, divisor.step);
    let coarser;
    let divisor = match divisor.step == step {
        true => divisor,
        false => {
            coarser = {
                let mut divisor = divisor.clone();
                divisor.consolidate(step);
                divisor
            };
            &coarser
        }
    };
    dividend.consolidate(step);
    let length = dividend.values.len().max(divisor.values.len());
    dividend.values.resize(length, f64::NAN);
    for (at, value) in dividend.values.iter_mut().enumerate() {
        *value = match divisor.values.get(at) {
            Some(&divisor) if divisor != 0.0 => *value / divisor * factor,
            _ => f64::NAN,
        };
    }
    dividend.start = dividend.start.min(divisor.start);
    dividend.consolidation = Aggregation::default();
    dividend.rename(format!("{function}({},{})", dividend.name, divisor.name));
}

/// What a series is of a total that there is not, or the other way round: nothing.
fn missing(series: &mut Series, name: String) {
    series.values.fill(f64::NAN);
    series.rename(name);
}

pub fn divide_series(series: &mut Series, context: &Context) -> Outcome {
    match context.others.first().map_or(&[][..], Vec::as_slice) {
        [] => missing(series, format!("divideSeries({},MISSING)", series.name)),
        [divisor] => divide(series, divisor, 1.0, "divideSeries"),
        several => {
            return Err(format!(
                "divideSeries: the divisor is {} series, not one",
                several.len()
            ));
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
    let series = lists.next().unwrap_or_default();
    let totals = lists.next();
    let nodes = context.arguments.rest(2);
    let number = context.arguments.number(1);
    match (series.is_empty(), nodes.is_empty()) {
        (true, _) => Ok(Vec::new()),
        (false, true) => of_totals(series, totals, context),
        (false, false) if number.is_some() => {
            Err("asPercent: nodes need no total, or series".into())
        }
        (false, false) => of_groups(series, totals, context),
    }
}

/// Without nodes.
fn of_totals(mut series: Vec<Series>, totals: Option<Vec<Series>>, context: &Context) -> Results {
    let total = match (totals, context.arguments.get(1)) {
        (Some(totals), _) if totals.len() == series.len() => {
            // They match in the order of their names.
            series = sorted_by_name(series);
            for (series, total) in series.iter_mut().zip(sorted_by_name(totals)) {
                divide(series, &total, 100.0, "asPercent");
            }
            return Ok(series);
        }
        (Some(mut totals), _) => match totals.pop() {
            Some(total) if totals.is_empty() => total,
            _ => return Err("asPercent: the total is neither one series nor as many".into()),
        },
        (None, Value::None) => sum(&series),
        (None, total) => constant(&series[0], total),
    };
    let mut room = context.room_bytes;
    for series in &mut series {
        let before = series.kept_bytes();
        divide(series, &total, 100.0, "asPercent");
        take_room(&mut room, series.kept_bytes().saturating_sub(before))?;
    }
    Ok(series)
}

/// With nodes: series and totals that have the same text in them belong together.
fn of_groups(series: Vec<Series>, totals: Option<Vec<Series>>, context: &Context) -> Results {
    let nodes = context.arguments.rest(2);
    let mut groups = Parts::default();
    for series in series {
        groups.of(&key(&series.name, nodes)).0.push(series);
    }
    let is_total_given = totals.is_some();
    for total in totals.into_iter().flatten() {
        groups.of(&key(&total.name, nodes)).1.push(total);
    }
    let mut room = context.room_bytes;
    let mut results = Vec::new();
    for (series, totals) in groups.parts {
        let total = match if is_total_given {
            &totals[..]
        } else {
            &series[..]
        } {
            [] => None,
            [total] => Some(total.clone()),
            several => Some(sum(several)),
        };
        if let (true, Some(total)) = (series.is_empty(), &total) {
            let mut result = total.clone();
            missing(&mut result, format!("asPercent(MISSING,{})", total.name));
            results.push(result);
        }
        for mut series in series {
            let before = series.kept_bytes();
            match &total {
                Some(total) => divide(&mut series, total, 100.0, "asPercent"),
                None => {
                    let name = format!("asPercent({},MISSING)", series.name);
                    missing(&mut series, name);
                }
            }
            take_room(&mut room, series.kept_bytes().saturating_sub(before))?;
            results.push(series);
        }
    }
    Ok(results)
}

/// Series and totals by what they have in common, in the order in which this came first.
#[derive(Default)]
struct Parts {
    places: Places,
    parts: Vec<(Vec<Series>, Vec<Series>)>,
}

impl Parts {
    fn of(&mut self, name: &str) -> &mut (Vec<Series>, Vec<Series>) {
        let place = self.places.of(name);
        if place == self.parts.len() {
            self.parts.push(Default::default());
        }
        &mut self.parts[place]
    }
}

/// The sum of series of the same step.
fn sum(series: &[Series]) -> Series {
    let mut group = Group::default();
    for series in series {
        group.add(Aggregation::Sum, series);
    }
    group.series(Aggregation::Sum, "sum", None)
}

/// A number as a series like another one.
fn constant(like: &Series, number: &Value) -> Series {
    let (name, value) = match *number {
        Value::Integer(number) => (number.to_string(), number as f64),
        Value::Number(number) => (shortest(number), number),
        _ => (String::new(), f64::NAN),
    };
    let values = vec![value; like.values.len()];
    Series {
        name,
        values,
        ..like.clone()
    }
}

/// Takes `bytes` out of the room that is left for results.
fn take_room(room: &mut usize, bytes: usize) -> Result<(), String> {
    let left = room.checked_sub(bytes);
    *room = left.ok_or("asPercent: the result takes more memory than a query may")?;
    Ok(())
}
