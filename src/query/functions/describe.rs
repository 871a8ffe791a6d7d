//! What `/functions` says: all functions and their parameters, in JSON, as graphite-web describes its own.
//! Grafana completes targets by it.

use super::{Function, TABLE};
use crate::http::{push, push_all};
use crate::query::arguments::Value;
use crate::query::parameters::{Parameter, options};

/// All functions, by name.
pub fn all() -> Vec<u8> {
    let mut out = Vec::from(b"{");
    for function in TABLE {
        for name in [Some(function.name), function.alias].into_iter().flatten() {
            let comma = separator(&out, ",");
            push_all(&mut out, &[comma, "\"", name, "\":"]);
            describe(&mut out, name, function);
        }
    }
    out.push(b'}');
    out
}

/// The function of this name.
pub fn one(name: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    describe(&mut out, name, super::find(name)?);
    Some(out)
}

/// A function, under one of its names. No text in the table has anything to escape.
fn describe(out: &mut Vec<u8>, name: &str, function: &Function) {
    push_all(out, &[r#"{"name":""#, name, r#"","function":""#]);
    push_all(out, &[name, "("]);
    for parameter in function.parameters() {
        let star = if parameter.is_multiple { "*" } else { "" };
        push_all(out, &[separator(out, ", "), star, parameter.name]);
    }
    push_all(out, &[r#")","description":""#, function.description]);
    push(out, r#"","module":"graphite.render.functions","group":""#);
    push_all(out, &[function.group, r#"","params":["#]);
    for parameter in function.parameters() {
        push(out, separator(out, ","));
        describe_parameter(out, &parameter);
    }
    push(out, "]}");
}

fn describe_parameter(out: &mut Vec<u8>, parameter: &Parameter) {
    let kind = parameter.kind;
    push_all(out, &[r#"{"name":""#, parameter.name]);
    push_all(out, &[r#"","type":""#, kind.type_name, "\""]);
    let constant = parameter.default.and_then(Value::constant);
    match (parameter.default, constant) {
        (None, _) => push(out, r#","required":true"#),
        (_, Some(Value::None)) => {}
        // As JSON writes what is beyond all numbers.
        (_, Some(Value::Number(_))) => push(out, r#","default":1e9999"#),
        (Some(default), Some(_)) => push_all(out, &[r#","default":"#, default]),
        (Some(default), None) => push_all(out, &[r#","default":""#, default, "\""]),
    }
    if parameter.is_multiple {
        push(out, r#","multiple":true"#);
    }
    let mut begin = r#","options":[""#;
    for (option, _) in options(kind.name) {
        push_all(out, &[begin, option, "\""]);
        begin = ",\"";
    }
    if options(kind.name).next().is_some() {
        push(out, "]");
    }
    if !kind.suggestions().is_empty() {
        push_all(out, &[r#","suggestions":["#, kind.suggestions(), "]"]);
    }
    push(out, "}");
}

/// What separates an entry of a list from those before it.
fn separator(out: &[u8], comma: &'static str) -> &'static str {
    let is_first = out.last().is_some_and(|last| b"([{".contains(last));
    if is_first { "" } else { comma }
}
