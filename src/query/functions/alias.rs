//! Functions that name series.

use super::{Function, Operation, SERIES, multiple, required};
use crate::query::arguments::{Kind, Value};
use crate::query::series::bounded;
use crate::query::target::first_path;

pub const TABLE: &[Function] = &[
    Function::new(
        "alias",
        "Alias",
        Operation::Each(|series, context| {
            series.name = context.arguments.text(1).into();
            Ok(true)
        }),
        &[SERIES, required("newName", Kind::Text)],
        "Gives series another name.",
    ),
    Function::new(
        "aliasByNode",
        "Alias",
        Operation::Each(|series, context| {
            series.name = bounded(key(&series.name, context.arguments.rest(1)));
            Ok(true)
        }),
        &[SERIES, multiple(required("nodes", Kind::Node))],
        "Names series after nodes or tags of the path that they were made from.",
    ),
];

/// The nodes and tags of a name, with dots between them. If it names what a function made, they are
/// those of the path that this was made from.
pub fn key(name: &str, nodes: &[Value]) -> String {
    let path = if name.ends_with(')') {
        first_path(name)
    } else {
        name
    };
    let parts: Vec<&str> = nodes.iter().map(|node| part(path, node)).collect();
    parts.join(".")
}

/// A node, from the front or, if it is negative, from the end, or a tag; empty if there is none.
fn part<'path>(path: &'path str, node: &Value) -> &'path str {
    let (nodes, tags) = path.split_once(';').unwrap_or((path, ""));
    match node {
        Value::Integer(node) => {
            let at = usize::try_from(node.unsigned_abs()).unwrap_or(usize::MAX);
            let found = match node {
                0.. => nodes.split('.').nth(at),
                _ => nodes.rsplit('.').nth(at - 1),
            };
            found.unwrap_or("")
        }
        Value::Text(tag) if tag == "name" => nodes,
        Value::Text(tag) => {
            let mut pairs = tags.split(';').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| name == tag)
                .map_or("", |(_, value)| value)
        }
        _ => "",
    }
}
