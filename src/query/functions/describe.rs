//! What `/functions` says: all functions and their parameters, in JSON, as graphite-web describes its own.
//! Grafana completes targets by it.

use super::{Function, TABLE};
use crate::query::arguments::{Literal, Parameter};
use crate::query::number::shortest;

/// All functions, by name.
pub fn all() -> String {
    let described = TABLE.iter().flat_map(|function| {
        let names = std::iter::once(function.name).chain(function.alias);
        names.map(|name| format!("\"{name}\":{}", describe(name, function)))
    });
    format!("{{{}}}", described.collect::<Vec<String>>().join(","))
}

/// The function of this name.
pub fn one(name: &str) -> Option<String> {
    super::find(name).map(|function| describe(name, function))
}

/// A function, under one of its names. No text in the table has anything to escape.
fn describe(name: &str, function: &Function) -> String {
    let names = function.parameters.iter().map(|parameter| {
        let star = if parameter.is_multiple { "*" } else { "" };
        format!("{star}{}", parameter.name)
    });
    let names: Vec<String> = names.collect();
    let parameters: Vec<String> = function.parameters.iter().map(describe_parameter).collect();
    format!(
        "{{\"name\":\"{name}\",\"function\":\"{name}({})\",\"description\":\"{}\",\
         \"module\":\"graphite.render.functions\",\"group\":\"{}\",\"params\":[{}]}}",
        names.join(", "),
        function.description,
        function.group,
        parameters.join(",")
    )
}

fn describe_parameter(parameter: &Parameter) -> String {
    let (name, kind) = (parameter.name, parameter.kind);
    let mut text = format!("{{\"name\":\"{name}\",\"type\":\"{}\"", kind.name());
    if parameter.is_required {
        text += ",\"required\":true";
    }
    let default = match parameter.default {
        Literal::None => String::new(),
        Literal::Flag(flag) => flag.to_string(),
        Literal::Integer(number) => number.to_string(),
        // As JSON writes what is beyond all numbers.
        Literal::Number(number) if number.is_infinite() => "1e9999".into(),
        Literal::Number(number) => shortest(number),
        Literal::Text(text) => format!("\"{text}\""),
    };
    if !default.is_empty() {
        text += &format!(",\"default\":{default}");
    }
    if parameter.is_multiple {
        text += ",\"multiple\":true";
    }
    let options: Vec<&str> = kind.options().map(|(option, _)| option).collect();
    if !options.is_empty() {
        text += &format!(",\"options\":[\"{}\"]", options.join("\",\""));
    }
    if !kind.suggestions().is_empty() {
        text += &format!(",\"suggestions\":[{}]", kind.suggestions());
    }
    text + "}"
}
