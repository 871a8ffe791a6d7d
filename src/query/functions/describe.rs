//! What `/functions` says: all functions and their parameters, in JSON, as graphite-web describes its own.
//! Grafana completes targets by it.

use super::{Function, TABLE};
use crate::query::arguments::{Literal, Parameter};
use crate::query::number::shortest;

/// All functions, by name.
pub fn all() -> String {
    let mut text = String::from("{");
    for function in TABLE {
        for name in [Some(function.name), function.alias].into_iter().flatten() {
            let comma = separator(&text, "{", ",");
            push(&mut text, &[comma, "\"", name, "\":"]);
            describe(&mut text, name, function);
        }
    }
    text + "}"
}

/// The function of this name.
pub fn one(name: &str) -> Option<String> {
    let function = super::find(name)?;
    let mut text = String::new();
    describe(&mut text, name, function);
    Some(text)
}

/// A function, under one of its names. No text in the table has anything to escape.
fn describe(text: &mut String, name: &str, function: &Function) {
    push(
        text,
        &["{\"name\":\"", name, "\",\"function\":\"", name, "("],
    );
    for parameter in function.parameters {
        let star = if parameter.is_multiple { "*" } else { "" };
        let comma = separator(text, "(", ", ");
        push(text, &[comma, star, parameter.name]);
    }
    push(text, &[")\",\"description\":\"", function.description]);
    push(
        text,
        &["\",\"module\":\"graphite.render.functions\",\"group\":\""],
    );
    push(text, &[function.group, "\",\"params\":["]);
    for parameter in function.parameters {
        let comma = separator(text, "[", ",");
        push(text, &[comma]);
        describe_parameter(text, parameter);
    }
    push(text, &["]}"]);
}

fn describe_parameter(text: &mut String, parameter: &Parameter) {
    let kind = parameter.kind;
    push(
        text,
        &[
            "{\"name\":\"",
            parameter.name,
            "\",\"type\":\"",
            kind.name(),
            "\"",
        ],
    );
    if parameter.is_required {
        push(text, &[",\"required\":true"]);
    }
    match parameter.default {
        Literal::None => {}
        Literal::Flag(true) => push(text, &[",\"default\":true"]),
        Literal::Flag(false) => push(text, &[",\"default\":false"]),
        Literal::Integer(number) => push(text, &[",\"default\":", &number.to_string()]),
        // As JSON writes what is beyond all numbers.
        Literal::Number(f64::INFINITY) => push(text, &[",\"default\":1e9999"]),
        Literal::Number(number) => push(text, &[",\"default\":", &shortest(number)]),
        Literal::Text(default) => push(text, &[",\"default\":\"", default, "\""]),
    }
    if parameter.is_multiple {
        push(text, &[",\"multiple\":true"]);
    }
    for (at, (option, _)) in kind.options().enumerate() {
        let begin = if at == 0 { ",\"options\":[" } else { "," };
        push(text, &[begin, "\"", option, "\""]);
    }
    if kind.options().next().is_some() {
        push(text, &["]"]);
    }
    if !kind.suggestions().is_empty() {
        push(text, &[",\"suggestions\":[", kind.suggestions(), "]"]);
    }
    push(text, &["}"]);
}

/// What separates an entry of a list that opens so from those before it.
fn separator(text: &str, opening: &str, comma: &'static str) -> &'static str {
    if text.ends_with(opening) { "" } else { comma }
}

fn push(text: &mut String, pieces: &[&str]) {
    for piece in pieces {
        text.push_str(piece);
    }
}
