//! Functions that name series.

use super::{Context, Outcome, Reason};
use crate::config::Config;
use crate::query::arguments::Value;
use crate::query::regex::{Found, Regex};
use crate::query::series::{Series, bounded};
use crate::query::target::first_path;
use crate::query::text::cut;

pub fn alias(series: &mut Series, context: &Context) -> Outcome {
    series.alias(context.arguments.text(1).into());
    Ok(true)
}

pub fn by_metric(series: &mut Series, _: &Context) -> Outcome {
    series.alias(metric(&series.name).into());
    Ok(true)
}

pub fn by_node(series: &mut Series, context: &Context) -> Outcome {
    series.alias(key(&series.name, context.arguments.rest(1)));
    Ok(true)
}

pub fn sub(series: &mut Series, context: &Context) -> Outcome {
    if let Value::Regex(search) = context.arguments.get(1) {
        series.alias(substitute(search, context.arguments.text(2), &series.name)?);
    }
    Ok(true)
}

/// The last node of a name; if it names what a function made, of the path in the innermost parentheses.
fn metric(name: &str) -> &str {
    let start = name.rfind('(').map_or(0, |at| at + 1);
    let end = name.find(')').unwrap_or(name.len());
    let path = name.get(start..end).unwrap_or("");
    let node = path.rsplit('.').next().unwrap_or(path);
    node.split(',').next().unwrap_or(node)
}

/// `name` with all that `search` finds replaced, as Python's `re.sub` does it.
fn substitute(search: &Regex, replacement: &str, name: &str) -> Result<String, Reason> {
    let mut replaced = String::new();
    let (mut done, mut searched, mut was_empty) = (0, 0, false);
    loop {
        searched += name.len() - done + 1;
        if searched > search.searched_bytes_max() {
            return Err("aliasSub: a name is too long for so many replacements".into());
        }
        let Some(found) = search.find(name, done, was_empty) else {
            break;
        };
        let all = found.group(0).unwrap_or(done..done);
        replaced.push_str(&name[done..all.start]);
        expand(search, &found, replacement, name, &mut replaced)?;
        (done, was_empty) = (all.end, all.is_empty());
        if replaced.len() > Config::NAME_BYTES_MAX {
            break;
        }
    }
    replaced.push_str(&name[done..]);
    Ok(replaced)
}

/// Appends a replacement, with what was found in the place of the groups in it: `\1`, `\g<1>`, `\g<name>`.
fn expand(
    search: &Regex,
    found: &Found,
    replacement: &str,
    name: &str,
    replaced: &mut String,
) -> Result<(), Reason> {
    let mut rest = replacement;
    while let Some((before, after)) = cut(rest, '\\') {
        let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let named = after.strip_prefix("g<").and_then(|named| cut(named, '>'));
        let (group, after) = named.unwrap_or_else(|| after.split_at(digits));
        if group.is_empty() {
            // Another backslash stands for itself, and so does one before anything else.
            replaced.extend([before, "\\"]);
            rest = after.strip_prefix('\\').unwrap_or(after);
            continue;
        }
        let number = search.group(group);
        let number = number.ok_or_else(|| format!("aliasSub: there is no group {group}"))?;
        let found = found.group(number).map_or("", |place| &name[place]);
        replaced.extend([before, found]);
        rest = after;
    }
    replaced.push_str(rest);
    Ok(())
}

/// The nodes and tags of a name, with dots between them. If it names what a function made, they are
/// those of the path that this was made from.
pub fn key(name: &str, nodes: &[Value]) -> String {
    let path = if name.ends_with(')') {
        first_path(name)
    } else {
        name
    };
    let mut key = String::new();
    for (at, node) in nodes.iter().enumerate() {
        let dot = if at == 0 { "" } else { "." };
        key.extend([dot, part(path, node)]);
        if key.len() > Config::NAME_BYTES_MAX {
            break;
        }
    }
    bounded(key)
}

/// A node, from the front or, if it is negative, from the end, or a tag; empty if there is none.
fn part<'path>(path: &'path str, node: &Value) -> &'path str {
    let (nodes, tags) = cut(path, ';').unwrap_or((path, ""));
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
            let mut pairs = tags.split(';').filter_map(|pair| cut(pair, '='));
            let found = pairs.find(|(name, _)| name == tag);
            found.map_or("", |(_, value)| value)
        }
        _ => "",
    }
}
