//! The arguments of a call, checked against what the function takes.

use std::mem;

use super::aggregation::Aggregation;
use super::number::integer;
use super::parameters::Parameter;
use super::regex::Regex;
use super::series::beginning;
use super::target::Expression;
use super::text::cut;
use crate::config::Config;
use crate::protocol::float;

/// An argument: as it is written, of one of the kinds up to `Text`; when it is checked, of that of its
/// parameter.
#[derive(Debug, Default)]
pub enum Value {
    /// It is not given, and there is no default, or it is one of the inputs.
    #[default]
    None,
    /// A path or a call.
    Series(Expression),
    /// True or false.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Any number.
    Number(f64),
    /// What is between the quotes, as it is written.
    Text(String),
    /// A regular expression.
    Regex(Regex),
    /// An interval in seconds, and how it was written.
    Interval(i64, String),
    /// How values are aggregated, and what it was called.
    Aggregation(Aggregation, String),
}

impl Value {
    /// The constant that a word is; `None` if it is a path.
    pub fn constant(word: &str) -> Option<Value> {
        let lower = word.to_ascii_lowercase();
        match &*lower {
            "true" => return Some(Value::Flag(true)),
            "false" => return Some(Value::Flag(false)),
            "none" => return Some(Value::None),
            "inf" => return Some(Value::Number(f64::INFINITY)),
            _ => {}
        }
        let (mantissa, _) = cut(&lower, 'e').unwrap_or((&lower, ""));
        let is_of_number = |byte| b"0123456789.e-".contains(&byte);
        if mantissa.ends_with('.') || !lower.bytes().all(is_of_number) {
            return None;
        }
        let number = || float::parse(word.as_bytes()).map(Value::Number);
        integer(word).map(Value::Integer).or_else(number)
    }
}

/// An argument as a call gives it.
pub struct Given<'text> {
    /// At which byte of the target it begins.
    pub at: usize,
    pub name: Option<&'text str>,
    pub value: Value,
}

/// The arguments of a call, all of which are checked: one for each parameter, and those that the last
/// parameter takes besides.
#[derive(Debug)]
pub struct Arguments(Vec<Value>);

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

    /// The whole number of a parameter that takes these, or the seconds of an interval; otherwise 0.
    pub fn integer(&self, at: usize) -> i64 {
        match *self.get(at) {
            Value::Integer(number) | Value::Interval(number, _) => number,
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

/// What is wrong with a target, and at which byte of it.
pub type Wrong = (usize, String);

/// Checks what is given in a call, which begins at `start`, against the parameters. Also returns the series
/// among them, in the order of their parameters.
///
/// # Errors
///
/// If there are too many or too few arguments, or one is not what its parameter takes.
pub fn check(
    parameters: &[Parameter],
    given: Vec<Given>,
    start: usize,
) -> Result<(Vec<Expression>, Arguments), Wrong> {
    let mut values: Vec<Value> = parameters.iter().map(|_| Value::None).collect();
    for (number, Given { at, name, value }) in given.into_iter().enumerate() {
        let place = place(parameters, number, name).map_err(|what| (at, what))?;
        // The last one takes what is past all.
        let parameter = &parameters[place.min(parameters.len() - 1)];
        let value = match value {
            // As if it were not there.
            Value::None if parameter.default.is_some() => continue,
            value => (parameter.kind.read)(value),
        };
        let name = parameter.name;
        let Some(value) = value else {
            return Err((at, format!("'{name}' must be {}", parameter.kind.wanted)));
        };
        match values.get_mut(place) {
            None => values.push(value),
            Some(vacant @ Value::None) => *vacant = value,
            Some(_) => return Err((at, format!("'{name}' is given twice"))),
        }
    }
    let mut inputs = Vec::new();
    for (place, value) in values.iter_mut().enumerate() {
        match (mem::take(value), parameters.get(place)) {
            (Value::Series(series), _) => inputs.push(series),
            (Value::None, Some(parameter)) => {
                let missing = || (start, format!("'{}' is missing", parameter.name));
                let default = parameter.default.ok_or_else(missing)?;
                let constant = Value::constant(default);
                let constant = constant.unwrap_or_else(|| Value::Text(default.into()));
                *value = (parameter.kind.read)(constant).unwrap_or_default();
            }
            (given, _) => *value = given,
        }
    }
    Ok((inputs, Arguments(values)))
}

/// Where among the parameters an argument belongs; past the last one for more of that.
fn place(parameters: &[Parameter], number: usize, name: Option<&str>) -> Result<usize, String> {
    let takes_more = parameters.last().is_some_and(|last| last.is_multiple);
    match name {
        None if number < parameters.len() || takes_more => Ok(number),
        None => Err(format!("at most {} arguments are taken", parameters.len())),
        Some(name) => {
            let is_named = |known: &Parameter| known.name == name && !known.is_multiple;
            let found = parameters.iter().position(is_named);
            found.ok_or_else(|| format!("no argument is called '{name}'"))
        }
    }
}
