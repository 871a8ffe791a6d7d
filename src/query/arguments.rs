//! The arguments of a call, checked against what the function takes.

use std::fmt;

use super::aggregation::Aggregation;
use super::interval;
use super::regex::Regex;
use super::series::beginning;
use super::target::Expression;
use crate::config::Config;
use crate::protocol::{float, integer};

/// A parameter of a function.
pub struct Parameter {
    /// What it is called when an argument is named.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// A call must give it.
    pub is_required: bool,
    /// It takes all arguments that are left.
    pub is_multiple: bool,
    /// What it is if it is not given.
    pub default: Literal<'static>,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Series: a path or a call.
    Series,
    /// Series or a number.
    SeriesOrNumber,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// A whole number that is not negative.
    Count,
    /// A whole number or infinity.
    IntegerOrInfinity,
    /// True or false.
    Flag,
    /// Text.
    Text,
    /// A regular expression.
    Regex,
    /// An interval, of either sign.
    Interval,
    /// An interval that is not empty.
    Duration,
    /// The same, or how many steps.
    DurationOrSteps,
    /// Which node of a path, or which tag.
    Node,
    /// How values are aggregated.
    Aggregation,
    /// The same, also by the name of a function that does it to series.
    AggregationOfSeries,
    /// How steps are consolidated.
    Consolidation,
}

/// What a target says in the place of an argument, other than series.
#[derive(Clone, Copy)]
pub enum Literal<'text> {
    /// Nothing.
    None,
    /// True or false.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// What is between the quotes, as it is written.
    Text(&'text str),
}

/// An argument as it is given.
pub enum Given<'text> {
    /// A constant.
    Literal(Literal<'text>),
    /// Series.
    Series(Expression),
}

/// A checked argument.
#[cfg_attr(test, derive(Debug))]
pub enum Value {
    /// It is not given, and there is no default.
    None,
    /// It is the next of the inputs.
    Series,
    /// True or false.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Any number.
    Number(f64),
    /// Text.
    Text(String),
    /// A regular expression.
    Regex(Regex),
    /// An interval in seconds, and how it was written.
    Interval(i64, String),
    /// How values are aggregated, and what it was called.
    Aggregation(Aggregation, String),
}

/// The arguments of a call, all of which are checked: one for each parameter, and those that the last
/// parameter takes besides.
pub struct Arguments(Vec<Value>);

/// Does not print all that they hold: what is never printed would take room in the program.
impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Arguments")
    }
}

impl Arguments {
    /// The argument of a parameter.
    #[inline(never)]
    pub fn get(&self, at: usize) -> &Value {
        self.0.get(at).unwrap_or(&Value::None)
    }

    /// The number of a parameter that takes numbers or has none.
    pub fn number(&self, at: usize) -> Option<f64> {
        match *self.get(at) {
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The whole number of a parameter that takes these; otherwise 0.
    pub fn integer(&self, at: usize) -> i64 {
        match *self.get(at) {
            Value::Integer(number) => number,
            Value::Number(number) => number as i64,
            _ => 0,
        }
    }

    /// Whether a flag is set.
    pub fn flag(&self, at: usize) -> bool {
        matches!(self.get(at), Value::Flag(true))
    }

    /// The text of a parameter, also of an interval or an aggregation; otherwise nothing.
    pub fn text(&self, at: usize) -> &str {
        match self.get(at) {
            Value::Text(text) | Value::Interval(_, text) | Value::Aggregation(_, text) => text,
            _ => "",
        }
    }

    /// The seconds of an interval; otherwise 0.
    pub fn seconds(&self, at: usize) -> i64 {
        match *self.get(at) {
            Value::Interval(seconds, _) => seconds,
            _ => 0,
        }
    }

    /// How values are aggregated.
    pub fn aggregation(&self, at: usize) -> Aggregation {
        match *self.get(at) {
            Value::Aggregation(aggregation, _) => aggregation,
            _ => Aggregation::default(),
        }
    }

    /// Whether the regular expression of a parameter is found in a name, or, if this is very long, in
    /// its beginning.
    pub fn matches(&self, at: usize, name: &str) -> bool {
        let is_found = |regex: &Regex| {
            let most = regex.searched_bytes_max().min(Config::NAME_BYTES_MAX);
            regex.is_found(beginning(name, most))
        };
        matches!(self.get(at), Value::Regex(regex) if is_found(regex))
    }

    /// Bytes that they take.
    pub fn allocated_bytes(&self) -> usize {
        let of_value = |(at, value): (usize, &Value)| match value {
            Value::Regex(regex) => regex.allocated_bytes(),
            _ => self.text(at).len(),
        };
        let allocated = self.0.iter().enumerate().map(of_value);
        size_of_val(&*self.0) + allocated.sum::<usize>()
    }

    /// The argument of a parameter that takes all that are left, and those after it.
    pub fn rest(&self, from: usize) -> &[Value] {
        let rest = self.0.get(from..).unwrap_or_default();
        let is_given = |value: &&Value| !matches!(value, Value::None);
        &rest[..rest.iter().filter(is_given).count()]
    }
}

/// Why arguments are refused: which of those given, if it is one of them, and what is wrong.
pub type Refusal = (Option<usize>, String);

/// Checks what is given, each with its name if it has one, against `parameters`. Also returns the
/// series among them, in the order of their parameters.
///
/// # Errors
///
/// If there are too many or too few arguments, or one is not what its parameter takes.
pub fn check(
    parameters: &'static [Parameter],
    given: Vec<(Option<&str>, Given)>,
) -> Result<(Vec<Expression>, Arguments), Refusal> {
    let mut values: Vec<Value> = parameters.iter().map(|_| Value::None).collect();
    let mut is_given = vec![false; parameters.len()];
    // By the place of their parameter.
    let mut inputs: Vec<(usize, Expression)> = Vec::new();
    for (at, (name, argument)) in given.into_iter().enumerate() {
        let refused = |message| (Some(at), message);
        let place = place(parameters, at, name).map_err(refused)?;
        let parameter = &parameters[place.min(parameters.len() - 1)];
        let value = match argument {
            // As if it were not there.
            Given::Literal(Literal::None) if !parameter.is_required => continue,
            Given::Literal(literal) => parameter.kind.value(literal),
            Given::Series(series) => parameter.kind.takes_series().then(|| {
                let before = inputs.partition_point(|(other, _)| *other <= place);
                inputs.insert(before, (place, series));
                Value::Series
            }),
        };
        let wanted = || format!("'{}' must be {}", parameter.name, parameter.kind.wanted());
        let value = value.ok_or_else(|| refused(wanted()))?;
        if place >= parameters.len() {
            values.push(value);
        } else if std::mem::replace(&mut is_given[place], true) {
            return Err(refused(format!("'{}' is given twice", parameter.name)));
        } else {
            values[place] = value;
        }
    }
    for (at, parameter) in parameters
        .iter()
        .enumerate()
        .filter(|(at, _)| !is_given[*at])
    {
        if parameter.is_required {
            return Err((None, format!("'{}' is missing", parameter.name)));
        }
        values[at] = parameter
            .kind
            .value(parameter.default)
            .unwrap_or(Value::None);
    }
    let inputs = inputs.into_iter().map(|(_, series)| series).collect();
    Ok((inputs, Arguments(values)))
}

/// Where among the parameters an argument belongs; past the last one for more of that.
fn place(parameters: &[Parameter], at: usize, name: Option<&str>) -> Result<usize, String> {
    let Some(name) = name else {
        let takes_more = parameters.last().is_some_and(|last| last.is_multiple);
        let is_one_too_many = at >= parameters.len() && !takes_more;
        let message = || format!("at most {} arguments are taken", parameters.len());
        return if is_one_too_many {
            Err(message())
        } else {
            Ok(at)
        };
    };
    let is_named = |parameter: &Parameter| parameter.name == name && !parameter.is_multiple;
    let found = parameters.iter().position(is_named);
    found.ok_or_else(|| format!("no argument is called '{name}'"))
}

impl Kind {
    /// Whether a path or a call is taken.
    pub fn takes_series(self) -> bool {
        matches!(self, Kind::Series | Kind::SeriesOrNumber)
    }

    /// What Graphite calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Series => "seriesList",
            Kind::SeriesOrNumber => "any",
            Kind::Number => "float",
            Kind::Integer | Kind::Count => "integer",
            Kind::IntegerOrInfinity => "intOrInf",
            Kind::Flag => "boolean",
            Kind::Text | Kind::Regex | Kind::Consolidation => "string",
            Kind::Interval | Kind::Duration => "interval",
            Kind::DurationOrSteps => "intOrInterval",
            Kind::Node => "nodeOrTag",
            Kind::Aggregation => "aggFunc",
            Kind::AggregationOfSeries => "aggOrSeriesFunc",
        }
    }

    /// The names of all that it takes, in order, if these are few.
    pub fn options(self) -> impl Iterator<Item = (&'static str, Aggregation)> {
        let options: &[_] = match self {
            Kind::Aggregation | Kind::AggregationOfSeries => &Aggregation::NAMES,
            Kind::Consolidation => &Aggregation::CONSOLIDATIONS,
            _ => &[],
        };
        let is_taken = move |name: &str| self != Kind::Aggregation || !name.ends_with("Series");
        options
            .iter()
            .copied()
            .filter(move |(name, _)| is_taken(name))
    }

    /// What could be offered, in JSON.
    pub fn suggestions(self) -> &'static str {
        match self {
            Kind::Duration => r#""10min","1h","1d""#,
            Kind::DurationOrSteps => r#"5,7,10,"1min","5min","10min","30min","1hour""#,
            Kind::Interval => r#""1h","6h","12h","1d","2d","7d","14d","30d""#,
            _ => "",
        }
    }

    /// What it takes, for an error.
    fn wanted(self) -> &'static str {
        match self {
            Kind::Series => "a path or a call",
            Kind::SeriesOrNumber => "a path, a call or a number",
            Kind::Number => "a number",
            Kind::Integer => "a whole number",
            Kind::Count => "a whole number, not negative",
            Kind::IntegerOrInfinity => "a whole number or inf",
            Kind::Flag => "true or false",
            Kind::Text => "text in quotes",
            Kind::Regex => "a regular expression in quotes, of moderate size",
            Kind::Interval => "an interval in quotes, such as '1h' or '-7d'",
            Kind::Duration => "an interval in quotes, above zero, such as '10min'",
            Kind::DurationOrSteps => "a number above zero, or an interval such as '10min'",
            Kind::Node => "the number of a node, or a tag in quotes",
            Kind::Aggregation | Kind::AggregationOfSeries => {
                "the name of an aggregation, such as 'average', 'max' or 'sum'"
            }
            Kind::Consolidation => "'average', 'avg_zero', 'sum', 'min', 'max', 'first' or 'last'",
        }
    }

    /// What a constant is as an argument of this kind. `None` if it is none of this kind.
    fn value(self, literal: Literal) -> Option<Value> {
        match self {
            Kind::Series => None,
            Kind::SeriesOrNumber => match literal {
                Literal::Integer(number) => Some(Value::Integer(number)),
                Literal::Number(number) => Some(Value::Number(number)),
                _ => None,
            },
            Kind::Number => number(literal).map(Value::Number),
            Kind::Integer => whole(literal).map(Value::Integer),
            Kind::Count => whole(literal)
                .filter(|&count| count >= 0)
                .map(Value::Integer),
            Kind::IntegerOrInfinity => whole(literal).map(Value::Integer).or_else(|| {
                let infinity = number(literal).filter(|&number| number == f64::INFINITY);
                infinity.map(Value::Number)
            }),
            Kind::Flag => flag(literal).map(Value::Flag),
            Kind::Text => text(literal).map(Value::Text),
            Kind::Regex => Regex::new(&text(literal)?).map(Value::Regex),
            Kind::Interval => interval(literal),
            Kind::Duration => interval(literal).filter(|value| match value {
                Value::Interval(seconds, _) => *seconds > 0,
                _ => false,
            }),
            Kind::DurationOrSteps => steps(literal),
            Kind::Node => match literal {
                Literal::Text(tag) => Some(Value::Text(tag.into())),
                _ => whole(literal).map(Value::Integer),
            },
            Kind::Aggregation | Kind::AggregationOfSeries | Kind::Consolidation => {
                self.aggregation(literal)
            }
        }
    }

    fn aggregation(self, literal: Literal) -> Option<Value> {
        let Literal::Text(name) = literal else {
            return None;
        };
        let (_, aggregation) = self.options().find(|(known, _)| *known == name)?;
        Some(Value::Aggregation(aggregation, name.into()))
    }
}

fn number(literal: Literal) -> Option<f64> {
    match literal {
        Literal::None => None,
        Literal::Flag(flag) => Some(f64::from(u8::from(flag))),
        Literal::Integer(number) => Some(number as f64),
        Literal::Number(number) => Some(number),
        Literal::Text(text) => float::parse(text.as_bytes()),
    }
}

fn whole(literal: Literal) -> Option<i64> {
    match literal {
        Literal::None | Literal::Number(_) => None,
        Literal::Flag(flag) => Some(flag.into()),
        Literal::Integer(number) => Some(number),
        Literal::Text(text) => integer::parse(text.as_bytes()),
    }
}

fn flag(literal: Literal) -> Option<bool> {
    match literal {
        Literal::Flag(flag) => Some(flag),
        Literal::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Literal::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Literal::Integer(0) => Some(false),
        Literal::Integer(1) => Some(true),
        _ => None,
    }
}

/// A number will do as well.
fn text(literal: Literal) -> Option<String> {
    match literal {
        Literal::Text(text) => Some(text.into()),
        Literal::Integer(number) => Some(number.to_string()),
        Literal::Number(number) => Some(super::number::shortest(number)),
        _ => None,
    }
}

fn interval(literal: Literal) -> Option<Value> {
    let Literal::Text(text) = literal else {
        return None;
    };
    Some(Value::Interval(interval::parse(text)?, text.into()))
}

/// A number of steps, or an interval, whose sign does not count.
fn steps(literal: Literal) -> Option<Value> {
    match literal {
        Literal::Integer(steps) if steps > 0 => Some(Value::Integer(steps)),
        Literal::Number(steps) if steps >= 1.0 => Some(Value::Number(steps)),
        _ => match interval(literal)? {
            Value::Interval(0, _) => None,
            Value::Interval(seconds, text) => Some(Value::Interval(seconds.abs(), text)),
            _ => None,
        },
    }
}
