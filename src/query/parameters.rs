//! What functions take: the parameters of their signatures, and the kinds of arguments.

use super::aggregation::Aggregation;
use super::arguments::Value;
use super::interval;
use super::number::{shortest, whole as digits};
use super::regex::Regex;
use crate::protocol::{float, integer};

/// A parameter of a function.
pub struct Parameter {
    /// What it is called when an argument is named.
    pub name: &'static str,
    /// What it takes.
    pub kind: &'static Kind,
    /// It takes all arguments that are left.
    pub is_multiple: bool,
    /// The constant that it is if it is not given. `None` if a call must give it.
    pub default: Option<&'static str>,
}

/// The parameters of a signature: `name: kind`, separated by commas, with ` = default` if a call may leave
/// it out. One whose name has a star takes all arguments that are left.
pub fn parameters(signature: &'static str) -> Vec<Parameter> {
    let parameter = |text: &'static str| {
        // Searching for characters takes less code than searching for strings.
        let mut parts = text.split([':', '=']).map(str::trim_ascii);
        let starred = parts.next().unwrap_or("");
        let kind = parts.next();
        let name = starred.trim_start_matches('*');
        let known = KINDS.iter().find(|known| Some(known.name) == kind);
        Parameter {
            name,
            kind: known.unwrap_or(&KINDS[0]),
            is_multiple: name != starred,
            default: parts.next(),
        }
    };
    signature.split(',').map(parameter).collect()
}

/// A kind of arguments.
pub struct Kind {
    /// What signatures call it.
    pub name: &'static str,
    /// What Graphite calls it.
    pub type_name: &'static str,
    /// What it takes, for an error.
    pub wanted: &'static str,
    /// What is given, as an argument of this kind. `None` if it is none of this kind.
    pub read: fn(Value) -> Option<Value>,
}

macro_rules! kinds {
    ($($name:literal, $type_name:literal, $wanted:expr, $read:expr;)*) => {
        &[$(Kind { name: $name, type_name: $type_name, wanted: $wanted, read: $read }),*]
    };
}

const AN_AGGREGATION: &str = "the name of an aggregation, such as 'average', 'max' or 'sum'";

const KINDS: &[Kind] = kinds! {
    "series", "seriesList", "a path or a call",
        |value| matches!(value, Value::Series(_)).then_some(value);
    "seriesOrNumber", "any", "a path, a call or a number",
        |value| matches!(value, Value::Series(_) | Value::Integer(_) | Value::Number(_)).then_some(value);
    "number", "float", "a number", |value| number(&value).map(Value::Number);
    "integer", "integer", "a whole number", |value| whole(&value).map(Value::Integer);
    "count", "integer", "a whole number, not negative",
        |value| whole(&value).filter(|&count| count >= 0).map(Value::Integer);
    "integerOrInfinity", "intOrInf", "a whole number or inf",
        |value| match number(&value) {
            Some(f64::INFINITY) => Some(Value::Number(f64::INFINITY)),
            _ => whole(&value).map(Value::Integer),
        };
    "flag", "boolean", "true or false", |value| flag(value).map(Value::Flag);
    "text", "string", "text in quotes", |value| text(value).map(Value::Text);
    "regex", "string", "a regular expression in quotes, of moderate size",
        |value| Regex::new(&text(value)?).map(Value::Regex);
    "interval", "interval", "an interval in quotes, such as '1h' or '-7d'", interval;
    "duration", "interval", "an interval in quotes, above zero, such as '10min'",
        |value| interval(value).filter(|value| matches!(value, Value::Interval(1.., _)));
    "steps", "intOrInterval", "a number above zero, or an interval such as '10min'", steps;
    "node", "nodeOrTag", "the number of a node, or a tag in quotes", |value| match value {
        Value::Text(_) => Some(value),
        _ => whole(&value).map(Value::Integer),
    };
    "aggregation", "aggFunc", AN_AGGREGATION, |value| aggregation(value, "aggregation");
    "aggregationOfSeries", "aggOrSeriesFunc", AN_AGGREGATION,
        |value| aggregation(value, "aggregationOfSeries");
    "consolidation", "string", "'average', 'avg_zero', 'sum', 'min', 'max', 'first' or 'last'",
        |value| aggregation(value, "consolidation");
};

impl Kind {
    /// What could be offered, in JSON.
    pub fn suggestions(&self) -> &'static str {
        match self.name {
            "duration" => r#""10min","1h","1d""#,
            "steps" => r#"5,7,10,"1min","5min","10min","30min","1hour""#,
            "interval" => r#""1h","6h","12h","1d","2d","7d","14d","30d""#,
            _ => "",
        }
    }
}

/// The names of all that the kind of this name takes, in order, if these are few.
pub fn options(kind: &str) -> impl Iterator<Item = &'static (&'static str, Aggregation)> {
    let is_option = move |name: &str| match kind {
        "aggregation" => name != "first" && !name.ends_with("Series"),
        "aggregationOfSeries" => name != "first",
        "consolidation" => CONSOLIDATIONS.contains(&name),
        _ => false,
    };
    let names = Aggregation::NAMES.iter();
    names.filter(move |(name, _)| is_option(name))
}

/// What `consolidateBy` takes.
const CONSOLIDATIONS: [&str; 8] = [
    "average", "avg", "avg_zero", "first", "last", "max", "min", "sum",
];

fn aggregation(value: Value, kind: &str) -> Option<Value> {
    let name = text(value)?;
    let (_, aggregation) = options(kind).find(|(known, _)| *known == name)?;
    Some(Value::Aggregation(*aggregation, name))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => float::parse(text.as_bytes()),
        _ => whole(value).map(|number| number as f64),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Flag(flag) => Some((*flag).into()),
        Value::Integer(number) => Some(*number),
        Value::Text(text) => integer::parse(text.as_bytes()),
        _ => None,
    }
}

fn flag(value: Value) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(flag),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Value::Integer(flag @ 0..=1) => Some(flag == 1),
        _ => None,
    }
}

/// A number will do as well.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        Value::Integer(number) => Some(digits(number)),
        Value::Number(number) => Some(shortest(number)),
        _ => None,
    }
}

fn interval(value: Value) -> Option<Value> {
    match value {
        Value::Text(text) => Some(Value::Interval(interval::parse(&text)?, text)),
        _ => None,
    }
}

/// A number of steps, or an interval, whose sign does not count.
fn steps(value: Value) -> Option<Value> {
    match value {
        Value::Integer(1..) | Value::Number(1.0..) => Some(value),
        _ => match interval(value)? {
            Value::Interval(0, _) => None,
            Value::Interval(seconds, text) => Some(Value::Interval(seconds.abs(), text)),
            _ => None,
        },
    }
}
