//! Targets: what a query asks for, in Graphite's language.
//!
//! A target is a path of series (`palm.*.cpu`), or a call of a function (`sum(palm.*.cpu)`); with `|`
//! the left side is the first argument of the call on the right (`palm.*.cpu | sum()`). Other
//! arguments are numbers, text in quotes, `true`, `false`, `none` and `inf`, and come last if they
//! are named (`total=100`).

use super::arguments::{self, Arguments, Given, Value, Wrong};
use super::budget::Budget;
use super::functions::{self, Function};
use super::pattern::Pattern;
use super::series::beginning;
use crate::config::Config;

/// What a target asks for.
#[derive(Debug)]
pub enum Expression {
    /// Series by their keys.
    Path {
        /// What the target says, without escapes: what its series are made from, in their names.
        text: String,
        /// What it stands for.
        pattern: Pattern,
    },
    /// What a function makes.
    Call(Call),
}

/// A call of a function.
#[derive(Debug)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// Those arguments that are series, in order.
    pub inputs: Vec<Expression>,
    /// The other arguments.
    pub arguments: Arguments,
}

/// Reads a target, one of those that `budget` is for.
///
/// # Errors
///
/// If it is too long or takes more than is left of the budget, cannot be read, calls what is no
/// function, or gives arguments that the function does not take. The message names what it is, and where.
pub fn parse(text: &str, budget: &mut Budget) -> Result<Expression, String> {
    let most_bytes = Config::TARGET_BYTES_MAX;
    if text.len() > most_bytes {
        return Err(format!("a target is longer than {most_bytes} bytes"));
    }
    let mut parser = Parser::new(text, budget);
    let parsed = parser.expression().and_then(|expression| {
        parser.skip_space();
        match parser.peek() {
            None => Ok(expression),
            Some(_) => Err(parser.expected("the end or '|'")),
        }
    });
    parsed.map_err(|(at, what)| {
        let character = 1 + text[..at].chars().count();
        let quoted = beginning(text, QUOTED_BYTES_MAX);
        let cut = if quoted.len() < text.len() { "…" } else { "" };
        format!("{what} at character {character} of target '{quoted}{cut}'")
    })
}

/// What a backslash in a path may stand before.
const ESCAPED: [char; 11] = ['(', ')', '{', '}', ',', '.', '\'', '"', '\\', '|', '='];

/// How much of a target an error quotes.
const QUOTED_BYTES_MAX: usize = 200;

/// The path from which a series was made first, as far as its name tells: `a.b` of `scale(a.b,2)`.
pub fn first_path(name: &str) -> &str {
    let mut budget = Budget::default();
    let mut parser = Parser::new(name, &mut budget);
    while parser.name_before('(').is_some() {
        parser.at += 1;
    }
    parser.skip_space();
    let start = parser.at;
    match parser.path() {
        Some(_) => &name[start..parser.at],
        None => name,
    }
}

fn too_deep(start: usize) -> Wrong {
    let most = Config::CALL_DEPTH_MAX;
    (start, format!("more than {most} nested calls"))
}

/// Reads a text from left to right.
struct Parser<'text, 'budget> {
    text: &'text str,
    budget: &'budget mut Budget,
    /// How many arguments are read.
    arguments: usize,
    /// How many calls what comes next is within.
    depth: usize,
    /// What comes next. On the boundary of a character.
    at: usize,
}

impl<'text, 'budget> Parser<'text, 'budget> {
    fn new(text: &'text str, budget: &'budget mut Budget) -> Parser<'text, 'budget> {
        Parser {
            text,
            budget,
            arguments: 0,
            depth: 0,
            at: 0,
        }
    }

    fn rest(&self) -> &'text str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_ascii_start().len();
    }

    /// Whether this comes next, after white space; if so, goes past it.
    fn takes(&mut self, wanted: char) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(wanted);
        self.at += if is_next { wanted.len_utf8() } else { 0 };
        is_next
    }

    fn expected(&self, what: &str) -> Wrong {
        let what = match self.peek() {
            Some(next) => format!("expected {what}, not '{next}',"),
            None => format!("expected {what}"),
        };
        (self.at, what)
    }

    /// A name, if this follows; stands before that then. Otherwise does not move.
    fn name_before(&mut self, wanted: char) -> Option<&'text str> {
        let start = self.at;
        self.skip_space();
        let rest = self.rest();
        let is_other = |next: char| !next.is_ascii_alphanumeric() && next != '_';
        let name = &rest[..rest.find(is_other).unwrap_or(rest.len())];
        self.at += name.len();
        self.skip_space();
        if self.peek() == Some(wanted) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() {
            return Some(name);
        }
        self.at = start;
        None
    }

    /// A path or a call, and calls that it is the first argument of.
    fn expression(&mut self) -> Result<Expression, Wrong> {
        self.skip_space();
        let start = self.at;
        let mut expression = match self.name_before('(') {
            Some(name) => self.call(name, None)?,
            None => match self.path() {
                Some(text) => match Pattern::parse(&text, self.budget) {
                    Ok(pattern) => Expression::Path { text, pattern },
                    Err(what) => return Err((start, what.into())),
                },
                None => return Err(self.expected("a path or a function")),
            },
        };
        while self.takes('|') {
            let Some(name) = self.name_before('(') else {
                return Err(self.expected("a function"));
            };
            expression = self.call(name, Some(expression))?;
        }
        Ok(expression)
    }

    /// The call of a function whose name is before the parenthesis that is next.
    fn call(&mut self, name: &str, piped: Option<Expression>) -> Result<Expression, Wrong> {
        let start = self.text[..self.at].trim_ascii_end().len() - name.len();
        let Some(function) = functions::find(name) else {
            return Err((start, format!("unknown function '{name}'")));
        };
        if self.depth >= Config::CALL_DEPTH_MAX {
            return Err(too_deep(start));
        }
        let piped = piped.map(|piped| Given {
            at: start,
            name: None,
            value: Value::Series(piped),
        });
        self.depth += 1;
        let given = self.arguments(piped)?;
        self.depth -= 1;
        let checked = arguments::check(&function.parameters(), given, start);
        let (inputs, arguments) = checked.map_err(|(at, what)| (at, format!("{name}: {what},")))?;
        let effort = Budget::FOR_CALL + arguments.allocated_bytes() / 8;
        self.budget
            .take(effort)
            .map_err(|what| (start, what.into()))?;
        let call = Expression::Call(Call {
            function,
            inputs,
            arguments,
        });
        match call.depth() {
            ..=Config::CALL_DEPTH_MAX => Ok(call),
            _ => Err(too_deep(start)),
        }
    }

    /// What is between parentheses, after what is piped.
    fn arguments(&mut self, piped: Option<Given<'text>>) -> Result<Vec<Given<'text>>, Wrong> {
        let mut given = Vec::from_iter(piped);
        self.arguments += given.len();
        self.at += 1;
        if self.takes(')') {
            return Ok(given);
        }
        loop {
            self.skip_space();
            let at = self.at;
            self.arguments += 1;
            if self.arguments > Config::ARGUMENTS_MAX {
                return Err((at, format!("more than {} arguments", Config::ARGUMENTS_MAX)));
            }
            let name = self.name_before('=');
            match name {
                Some(_) => self.at += 1,
                None if given.last().is_some_and(|last| last.name.is_some()) => {
                    return Err(self.expected("an argument with a name"));
                }
                None => {}
            }
            let value = self.argument()?;
            given.push(Given { at, name, value });
            if self.takes(')') {
                return Ok(given);
            }
            if !self.takes(',') {
                return Err(self.expected("',' or ')'"));
            }
        }
    }

    fn argument(&mut self) -> Result<Value, Wrong> {
        self.skip_space();
        let start = self.at;
        if let Some(quote @ (b'"' | b'\'')) = self.rest().bytes().next() {
            return Ok(Value::Text(self.quoted(quote)?.into()));
        }
        if self.name_before('(').is_none() && self.path().is_some() {
            let word = &self.text[start..self.at];
            self.skip_space();
            if let (Some(constant), Some(',' | ')')) = (Value::constant(word), self.peek()) {
                return Ok(constant);
            }
        }
        self.at = start;
        self.expression().map(Value::Series)
    }

    /// What is between quotes, as it is written: a backslash keeps the next character from ending it,
    /// and two quotes do not end it either.
    fn quoted(&mut self, quote: u8) -> Result<&'text str, Wrong> {
        let (start, bytes) = (self.at + 1, self.text.as_bytes());
        let mut at = start;
        while let Some(&next) = bytes.get(at) {
            let is_doubled = next == quote && bytes.get(at + 1) == Some(&quote);
            if next == quote && !is_doubled {
                self.at = at + 1;
                return Ok(&self.text[start..at]);
            }
            at += if next == b'\\' || is_doubled { 2 } else { 1 };
        }
        Err((self.at, "text without a closing quote".into()))
    }

    /// The path that comes next, without its escapes. Within braces it may have commas. `None` if none
    /// comes next; does not move then.
    fn path(&mut self) -> Option<String> {
        let mut path = String::new();
        let mut is_in_braces = false;
        let mut characters = self.rest().char_indices();
        let length = loop {
            let Some((at, mut next)) = characters.next() else {
                break self.rest().len();
            };
            match next {
                '\\' => match characters.next() {
                    Some((_, escaped)) if ESCAPED.contains(&escaped) => next = escaped,
                    _ => break at,
                },
                '{' => is_in_braces = true,
                '}' => is_in_braces = false,
                ',' if is_in_braces => {}
                '(' | ')' | ',' | '\'' | '"' | '|' => break at,
                next if next.is_whitespace() || next.is_control() => break at,
                _ => {}
            }
            path.push(next);
        };
        self.at += length;
        (!path.is_empty()).then_some(path)
    }
}

impl Expression {
    /// How deep calls are nested in it.
    fn depth(&self) -> usize {
        let Expression::Call(call) = self else {
            return 0;
        };
        let depths = call.inputs.iter().map(Expression::depth);
        1 + depths.fold(0, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a target is read as, in one way of writing.
    fn read(text: &str) -> String {
        match parse(text, &mut Budget::default()) {
            Ok(expression) => shown(&expression),
            Err(message) => message,
        }
    }

    fn shown(expression: &Expression) -> String {
        match expression {
            Expression::Path { text, .. } => text.clone(),
            Expression::Call(call) => {
                let inputs: Vec<String> = call.inputs.iter().map(shown).collect();
                let arguments: Vec<String> = (0..call.function.parameters().len())
                    .map(|at| format!("{:?}", call.arguments.get(at)))
                    .collect();
                format!(
                    "{}({}; {})",
                    call.function.name,
                    inputs.join(", "),
                    arguments.join(", ")
                )
            }
        }
    }

    #[test]
    fn a_target_is_a_path_or_a_call_of_functions() {
        for (target, expected) in [
            ("a.b", "a.b"),
            (" a.{b,c}.*.[0-9]-x?;t=1 ", "a.{b,c}.*.[0-9]-x?;t=1"),
            ("a\\,b\\.c", "a,b.c"),
            ("5", "5"),
            ("sum( a , b.{c,d} )", "sumSeries(a, b.{c,d}; None)"),
            ("a|scale(2)", "scale(a; None, Number(2.0))"),
            (
                "a | scale( factor = -2.5e1 )",
                "scale(a; None, Number(-25.0))",
            ),
            (
                "divideSeries(divisorSeries=b,dividendSeriesList=a)",
                "divideSeries(a, b; None, None)",
            ),
            (
                "sum(a|absolute(),b)",
                "sumSeries(absolute(a; None), b; None)",
            ),
            ("alias(a,'it\\'s')", "alias(a; None, Text(\"it\\\\'s\"))"),
            ("alias(a,\"x, (y)\")", "alias(a; None, Text(\"x, (y)\"))"),
            (
                "scale(1,2)",
                "scale: 'seriesList' must be a path or a call, at character 7 of target 'scale(1,2)'",
            ),
            (
                "sum(foo(a))",
                "unknown function 'foo' at character 5 of target 'sum(foo(a))'",
            ),
            (
                "alias(é,b)",
                "alias: 'newName' must be text in quotes, at character 9 of target 'alias(é,b)'",
            ),
            (
                "scale(a)",
                "scale: 'factor' is missing, at character 1 of target 'scale(a)'",
            ),
            (
                "scale(a,1,2)",
                "scale: at most 2 arguments are taken, at character 11 of target 'scale(a,1,2)'",
            ),
            (
                "scale(a,1,factor=2)",
                "scale: 'factor' is given twice, at character 11 of target 'scale(a,1,factor=2)'",
            ),
            (
                "scale(a,by=2)",
                "scale: no argument is called 'by', at character 9 of target 'scale(a,by=2)'",
            ),
            (
                "scale(a",
                "expected ',' or ')' at character 8 of target 'scale(a'",
            ),
            (
                "a b",
                "expected the end or '|', not 'b', at character 3 of target 'a b'",
            ),
            (
                "",
                "expected a path or a function at character 1 of target ''",
            ),
            (
                "alias(a,'b",
                "text without a closing quote at character 9 of target 'alias(a,'b'",
            ),
        ] {
            assert_eq!(read(target), expected, "{target}");
        }
    }

    #[test]
    fn what_a_target_holds_is_bounded() {
        let nested = |depth: usize| "absolute(".repeat(depth) + "a" + &")".repeat(depth);
        let piped = |depth: usize| String::from("a") + &"|absolute()".repeat(depth);
        let listed = |count: usize| format!("sum({})", vec!["a"; count].join(","));
        for (fits, is_too_much, limit) in [
            (
                nested(Config::CALL_DEPTH_MAX),
                nested(Config::CALL_DEPTH_MAX + 1),
                "nested calls",
            ),
            (
                piped(Config::CALL_DEPTH_MAX),
                piped(Config::CALL_DEPTH_MAX + 1),
                "nested calls",
            ),
            (nested(1), nested(6_000), "nested calls"),
            (
                format!("sum({})", vec!["sum(a)"; 100].join(",")),
                nested(100),
                "nested calls",
            ),
            (
                listed(Config::ARGUMENTS_MAX),
                listed(Config::ARGUMENTS_MAX + 1),
                "arguments",
            ),
            (
                "a".repeat(Config::TARGET_BYTES_MAX),
                "a".repeat(Config::TARGET_BYTES_MAX + 1),
                "longer",
            ),
        ] {
            parse(&fits, &mut Budget::default()).expect("it fits");
            let message = parse(&is_too_much, &mut Budget::default()).expect_err("it does not fit");
            assert!(message.contains(limit), "{message}");
        }
    }

    #[test]
    fn the_first_path_is_found_in_a_name() {
        for (name, path) in [
            ("a.b.c", "a.b.c"),
            ("scale(a.b,2)", "a.b"),
            ("sum(scale( a.{b,c}.d ,2))", "a.{b,c}.d"),
            ("timeShift(a.b;t=v, \"-1d\")", "a.b;t=v"),
            ("()", "()"),
            ("f(", "f("),
            ("", ""),
        ] {
            assert_eq!(first_path(name), path, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", pieces in "([a-c.*{},()|=' \"\\\\é0-9-]|sum\\(|scale\\(|true|none|inf){0,40}") {
            for text in [text, pieces] {
                first_path(&text);
                if let Err(message) = parse(&text, &mut Budget::default()) {
                    prop_assert!(message.contains(" of target '"), "{}", message);
                }
            }
        }
    }
}
