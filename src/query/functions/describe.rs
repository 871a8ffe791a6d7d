//! What `/functions` says: all functions and their parameters, in JSON, as graphite-web describes its own.
//! Grafana completes targets by it. No text in the table has anything to escape.

use super::{Function, TABLE};
use crate::query::arguments::Value;
use crate::query::parameters::{Parameter, options};

/// All functions, by name.
pub fn all() -> Vec<u8> {
    let names = |function: &'static Function| [Some(function.name), function.alias];
    let named = |name: &str| one(name).map(|described| format!("\"{name}\":{described}"));
    let mut all = TABLE.iter().flat_map(names).flatten().filter_map(named);
    format!("{{{}}}", joined(&mut all, ",")).into()
}

/// The function of this name.
pub fn one(name: &str) -> Option<String> {
    let function = super::find(name)?;
    let starred = |parameter: Parameter| {
        [if parameter.is_multiple { "*" } else { "" }, parameter.name].concat()
    };
    let starred = joined(&mut function.parameters().map(starred), ", ");
    let described = joined(&mut function.parameters().map(describe), ",");
    let (description, group) = (function.description, function.group);
    Some(format!(
        r#"{{"name":"{name}","function":"{name}({starred})","description":"{description}","module":"graphite.render.functions","group":"{group}","params":[{described}]}}"#
    ))
}

fn describe(parameter: Parameter) -> String {
    let default = match parameter.default.map(|text| (text, Value::constant(text))) {
        None => r#","required":true"#.into(),
        Some((_, Some(Value::None))) => String::new(),
        // As JSON writes what is beyond all numbers.
        Some((_, Some(Value::Number(_)))) => r#","default":1e9999"#.into(),
        Some((default, Some(_))) => format!(r#","default":{default}"#),
        Some((default, None)) => format!(r#","default":"{default}""#),
    };
    let multiple = if parameter.is_multiple {
        r#","multiple":true"#
    } else {
        ""
    };
    let listed = |what, list: &str| match list {
        "" => String::new(),
        _ => format!(r#","{what}":[{list}]"#),
    };
    let mut options = options(parameter.kind.name).map(|(name, _)| format!("\"{name}\""));
    let options = listed("options", &joined(&mut options, ","));
    let suggestions = listed("suggestions", parameter.kind.suggestions());
    let (name, kind) = (parameter.name, parameter.kind.type_name);
    format!(r#"{{"name":"{name}","type":"{kind}"{default}{multiple}{options}{suggestions}}}"#)
}

/// Texts in one. One copy of this is enough.
fn joined(texts: &mut dyn Iterator<Item = String>, separator: &str) -> String {
    let mut joined = String::new();
    for text in texts {
        joined += if joined.is_empty() { "" } else { separator };
        joined += &text;
    }
    joined
}
