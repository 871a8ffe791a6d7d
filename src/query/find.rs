//! Which series and nodes there are: a walk over the names of all series for what patterns stand for,
//! then the answer, sorted, as that of graphite-web is.

use super::budget::{Budget, Effort};
use super::json::push_string;
use super::names::Names;
use super::pattern::{Pattern, next_node};
use super::text::cut;
use super::walk::Walk;
use crate::http::{Failure, Halt, Pieces, push, push_all};
use crate::turn::Turn;

/// What a find is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Last nodes of what was found by one pattern: branches, then leaves. A name that is both is a branch.
    Tree,
    /// Whole names. One that is both comes twice.
    Completer,
    /// Whole names of all patterns together.
    Expand,
    /// The same, with a list for each pattern.
    ExpandByPattern,
}

impl Shape {
    /// The list to which a name belongs that is found by the pattern of this number, and whether it is a leaf there.
    fn place(self, pattern: usize, is_leaf: bool) -> (usize, bool) {
        match self {
            Shape::Tree => (is_leaf.into(), is_leaf),
            Shape::Completer => (0, is_leaf),
            Shape::Expand => (0, true),
            Shape::ExpandByPattern => (pattern, true),
        }
    }
}

/// A find, as far as it is done.
#[derive(Debug)]
pub struct Find {
    shape: Shape,
    /// If there are several names, one more stands for all of them: in a tree the first, for a completer the last.
    pub with_wildcard: bool,
    /// Only series are looked for.
    leaves_only: bool,
    walk: Walk,
    searches: Vec<Search>,
    found: Names,
    /// What each name begins with in a tree: the nodes of its pattern before the last one.
    base: String,
    /// The walk is over, and the beginning of the answer written.
    is_writing: bool,
    /// Lists that were begun, where each pattern has one.
    lists: usize,
}

/// A pattern that is looked for.
#[derive(Debug)]
struct Search {
    text: String,
    pattern: Pattern,
    /// Keys that begin so are of no more use: what they can bring is found.
    used_up: String,
}

impl Search {
    /// Whether a key brings nothing that earlier ones have not brought.
    fn is_used_up(&self, key: &str) -> bool {
        !self.used_up.is_empty() && key.starts_with(&self.used_up)
    }

    /// The only beginning of a key that can be found, and whether it is the whole key, if the pattern has one node.
    fn only_name<'key>(&self, key: &'key str) -> Option<(&'key str, bool)> {
        let mut rest = Some(key);
        let name = self
            .pattern
            .has_one_node()
            .then(|| next_node(&mut rest))??;
        Some((name, rest.is_none()))
    }

    /// Calls `found` with each beginning of a key for which the pattern stands, its last node, and
    /// whether it is the whole key, unless it was called with the same for an earlier key.
    fn look(
        &mut self,
        key: &str,
        mut found: impl FnMut(&str, &str, bool) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut positions = self.pattern.start();
        let mut rest = Some(key);
        while let Some(node) = next_node(&mut rest)
            && !self.pattern.is_final(positions)
        {
            positions = self.pattern.advance(positions, node);
            let end = key.len() - rest.map_or(0, |rest| rest.len() + 1);
            if self.pattern.is_end(positions) {
                found(&key[..end], node, rest.is_none())?;
            }
            if self.pattern.is_final(positions) && rest.is_some() {
                self.used_up.clear();
                self.used_up.push_str(&key[..=end]);
            }
        }
        Ok(())
    }
}

impl Find {
    /// A find for all of these patterns, of series alone if `leaves_only`.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read.
    pub fn new(
        patterns: &mut dyn Iterator<Item = &str>,
        shape: Shape,
        leaves_only: bool,
        turn: &Turn,
    ) -> Result<Find, Failure> {
        let mut searches: Vec<Search> = Vec::new();
        let mut budget = Budget::default();
        let mut effort = Effort::default();
        for text in patterns {
            if searches.iter().all(|search| search.text != text) {
                let pattern = Pattern::parse(text, &mut budget)?;
                effort = effort.with(pattern.effort);
                searches.push(Search {
                    text: text.into(),
                    pattern,
                    used_up: String::new(),
                });
            }
        }
        let pattern = searches.first().map_or("", |search| &search.text);
        let base = pattern.rfind('.').map_or("", |dot| &pattern[..=dot]).into();
        Ok(Find {
            shape,
            with_wildcard: false,
            leaves_only,
            base,
            walk: Walk::new(turn, effort),
            searches,
            found: Names::new(turn.environment.query_limit_bytes),
            is_writing: false,
            lists: 0,
        })
    }

    fn walk(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let (shape, leaves_only) = (self.shape, self.leaves_only);
        self.walk.go_on(turn, |key, _| {
            for (list, search) in self.searches.iter_mut().enumerate() {
                if search.is_used_up(key) {
                    continue;
                }
                if let Some((name, is_leaf)) = search.only_name(key) {
                    let (list, is_leaf) = shape.place(list, is_leaf);
                    if self.found.has_lately(list, name, is_leaf) {
                        continue;
                    }
                }
                search.look(key, |name, node, is_leaf| match shape {
                    _ if leaves_only && !is_leaf => Ok(()),
                    Shape::Tree => self.found.add_to_tree(node, is_leaf),
                    _ => {
                        let (list, is_leaf) = shape.place(list, is_leaf);
                        self.found.add(list, name, is_leaf).map(drop)
                    }
                })?;
            }
            Ok(())
        })
    }

    fn write_begin(&mut self, out: &mut Vec<u8>) {
        self.with_wildcard &= self.found.len() > 1;
        let begin = match self.shape {
            Shape::Tree => "[",
            Shape::Completer => r#"{"metrics": ["#,
            Shape::Expand => r#"{"results": ["#,
            Shape::ExpandByPattern => r#"{"results": {"#,
        };
        push(out, begin);
        if self.shape == Shape::Tree && self.with_wildcard {
            let any_branch = self.found.first().is_some_and(|first| !first.is_leaf);
            self.write_entry(out, "*", !any_branch);
        }
    }

    /// Ends the list of a pattern that is written, and begins further ones, until so many were begun.
    fn begin_lists(&mut self, out: &mut Vec<u8>, count: usize) {
        while self.lists < count {
            push(out, if self.lists > 0 { "], " } else { "" });
            push_string(out, &self.searches[self.lists].text);
            push(out, ": [");
            self.lists += 1;
        }
    }

    fn write_entry(&self, out: &mut Vec<u8>, name: &str, is_leaf: bool) {
        // The first one is written with the bracket before it.
        push(out, if out.ends_with(b"[") { "" } else { ", " });
        let [dot, branch, leaf] = match is_leaf {
            true => ["", "0", "1"],
            false => [".", "1", "0"],
        };
        match self.shape {
            Shape::Tree => {
                push(out, r#"{"text": "#);
                push_string(out, name);
                push(out, r#", "id": "#);
                push_string(out, &[&*self.base, name].concat());
                push_all(out, &[r#", "allowChildren": "#, branch]);
                push_all(out, &[r#", "expandable": "#, branch]);
                push_all(out, &[r#", "leaf": "#, leaf, "}"]);
            }
            Shape::Completer => {
                push(out, r#"{"path": "#);
                push_string(out, &[name, dot].concat());
                push(out, r#", "name": "#);
                push_string(out, last_node(name));
                push_all(out, &[r#", "is_leaf": ""#, leaf, r#""}"#]);
            }
            Shape::Expand | Shape::ExpandByPattern => push_string(out, name),
        }
    }

    fn write_end(&mut self, out: &mut Vec<u8>) {
        if self.shape == Shape::ExpandByPattern {
            self.begin_lists(out, self.searches.len());
        }
        let end = match self.shape {
            Shape::Tree => "]",
            Shape::Completer if self.with_wildcard => r#", {"name": "*"}]}"#,
            Shape::Completer | Shape::Expand => "]}",
            Shape::ExpandByPattern if self.lists > 0 => "]}}",
            Shape::ExpandByPattern => "}}",
        };
        push(out, end);
    }
}

impl Pieces for Find {
    fn append(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let full_at = turn.replies.len() + turn.allowance.reply_bytes;
        if !self.is_writing {
            self.walk(turn)?;
            self.write_begin(turn.replies);
            self.is_writing = true;
        }
        while let Some(found) = self.found.pop_first() {
            if self.shape == Shape::ExpandByPattern {
                self.begin_lists(turn.replies, found.list + 1);
            }
            self.write_entry(turn.replies, &found.name, found.is_leaf);
            turn.allowance.count_lines(1);
            if turn.replies.len() >= full_at || turn.allowance.time_is_up() {
                return Err(Halt::Pause);
            }
        }
        self.write_end(turn.replies);
        Ok(())
    }

    fn kept_bytes(&self) -> usize {
        let searches = self.searches.iter();
        let of_searches = searches.map(|search| {
            let texts = search.text.capacity() + search.used_up.capacity();
            size_of::<Search>() + texts + search.pattern.allocated_bytes
        });
        of_searches.sum::<usize>() + self.found.bytes()
    }
}

/// The last node of a name.
fn last_node(name: &str) -> &str {
    let (nodes, _) = cut(name, ';').unwrap_or((name, ""));
    nodes.rfind('.').map_or(name, |dot| &name[dot + 1..])
}
