//! Which series and nodes there are: walks over the names of all series, a slice at a time.
//!
//! A walk sees the series that are there while it goes on. It takes no snapshot, so nothing has to be
//! noted of what changes meanwhile.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::mem;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;

use super::Failure;
use super::json::push_string;
use super::pattern::{Budget, Effort, Pattern, next_node};
use crate::config::Config;
use crate::http::{self, Pieces};
use crate::turn::Turn;

/// What a name that is found takes beside its text: its place in the set, and what an allocator adds.
const FOUND_BYTES: usize = size_of::<Found>() + 24;

/// How many of the last names are remembered, so that they are not looked up in the set again. It grows
/// with the set, between these bounds.
const RECENT_MIN: usize = 64;
const RECENT_MAX: usize = 4_096;

/// How many places a name may be remembered at.
const WAYS: usize = 4;

/// A walk over the keys of all series.
#[derive(Debug)]
struct Walk {
    /// The position of the next one.
    next: u64,
    /// The position after the last one.
    end: u64,
    /// What it takes to look at a key.
    effort: Effort,
}

impl Walk {
    fn new(turn: &Turn, effort: Effort) -> Walk {
        Walk {
            next: 0,
            end: turn.store.end_position(),
            effort,
        }
    }

    /// Gives keys to `look` until it breaks or the turn's time is up, which is a break, or all were
    /// given. The key by which it breaks is given again.
    ///
    /// # Errors
    ///
    /// If a key takes too great an effort, or `look` fails.
    fn go_on(
        &mut self,
        turn: &mut Turn,
        mut look: impl FnMut(&str, &mut Vec<u8>) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<ControlFlow<()>, Failure> {
        let mut left = (Effort::KEYS_PER_LOOK, Effort::PER_LOOK);
        for (position, key) in turn.store.keys_from(self.next) {
            if position >= self.end {
                break;
            }
            // Those that are hidden count too.
            let key = key.unwrap_or_default();
            let effort = self.effort.of(key.len())?;
            if !key.is_empty() && look(key, turn.replies)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.next = position + 1;
            left = (left.0 - 1, left.1.saturating_sub(effort));
            if left.0 == 0 || left.1 == 0 {
                left = (Effort::KEYS_PER_LOOK, Effort::PER_LOOK);
                turn.allowance.look_at_clock();
                if turn.allowance.time_is_up() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        self.next = self.end;
        Ok(ControlFlow::Continue(()))
    }
}

/// What a find is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Last nodes of what was found: branches, then leaves. A name that is both is a branch.
    Tree {
        /// With a first entry that stands for all of them.
        with_wildcard: bool,
    },
    /// Whole names. One that is both comes twice.
    Completer {
        /// With a last entry that stands for all of them.
        with_wildcard: bool,
    },
    /// Whole names, of all patterns together or of each.
    Expand {
        /// Each pattern has a list of its own.
        by_pattern: bool,
    },
}

/// A walk for what patterns stand for, then the answer: sorted, as that of graphite-web is.
#[derive(Debug)]
pub struct Find {
    walk: Walk,
    searches: Vec<Search>,
    shape: Shape,
    /// What each name begins with in a tree: the nodes of its pattern before the last one.
    base: String,
    leaves_only: bool,
    found: FoundSet,
    /// The walk is over, and the beginning of the answer written.
    is_writing: bool,
    /// Lists that were begun, where each pattern has one.
    lists: usize,
    /// What is written next is the first entry of its list.
    is_first: bool,
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
    fn parse(text: &str, budget: &mut Budget) -> Result<Search, Failure> {
        Ok(Search {
            text: text.into(),
            pattern: Pattern::parse(text, budget)?,
            used_up: String::new(),
        })
    }

    /// Calls `found` with each beginning of a key for which the pattern stands, its last node, and
    /// whether it is the whole key, unless it was called with the same for an earlier key.
    fn look(
        &mut self,
        key: &str,
        mut found: impl FnMut(&str, &str, bool) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.used_up.is_empty() && key.starts_with(&self.used_up) {
            return Ok(());
        }
        let mut positions = self.pattern.start();
        let mut rest = Some(key);
        while let Some(node) = next_node(&mut rest) {
            positions = self.pattern.advance(positions, node);
            let start = &key[..rest.map_or(key.len(), |rest| key.len() - rest.len() - 1)];
            if self.pattern.is_end(positions) {
                found(start, node, rest.is_none())?;
            }
            if self.pattern.is_final(positions) {
                if rest.is_some() {
                    self.used_up.clear();
                    self.used_up.push_str(&key[..start.len() + 1]);
                }
                break;
            }
        }
        Ok(())
    }
}

impl Find {
    /// A find for all of these patterns. A tree is of one.
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
        for text in patterns {
            if searches.iter().all(|search| search.text != text) {
                searches.push(Search::parse(text, &mut budget)?);
            }
        }
        let efforts = searches.iter().map(|search| search.pattern.effort());
        let effort = efforts.fold(Effort::default(), Effort::with);
        let pattern = searches.first().map_or("", |search| &search.text);
        let base = pattern.rfind('.').map_or("", |dot| &pattern[..=dot]).into();
        Ok(Find {
            walk: Walk::new(turn, effort),
            searches,
            shape,
            base,
            leaves_only,
            found: FoundSet {
                limit_bytes: turn.environment.query_limit_bytes,
                ..FoundSet::default()
            },
            is_writing: false,
            lists: 0,
            is_first: true,
        })
    }

    fn walk(&mut self, turn: &mut Turn) -> Result<ControlFlow<()>, Failure> {
        let (shape, leaves_only) = (self.shape, self.leaves_only);
        let (searches, found) = (&mut self.searches, &mut self.found);
        self.walk.go_on(turn, |key, _| {
            for (number, search) in searches.iter_mut().enumerate() {
                search.look(key, |name, node, is_leaf| match shape {
                    _ if leaves_only && !is_leaf => Ok(()),
                    Shape::Tree { .. } => found.add_to_tree(node, is_leaf),
                    Shape::Completer { .. } => found.add(0, name, is_leaf).map(drop),
                    Shape::Expand { by_pattern } => {
                        let list = if by_pattern { number } else { 0 };
                        found.add(list, name, true).map(drop)
                    }
                })?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn write_begin(&mut self, out: &mut Vec<u8>) {
        let is_several = self.found.set.len() > 1;
        match self.shape {
            Shape::Tree { with_wildcard } => {
                out.push(b'[');
                if with_wildcard && is_several {
                    let any_branch = self.found.set.first().is_some_and(|first| !first.is_leaf);
                    self.write_entry(out, "*", !any_branch);
                }
            }
            Shape::Completer { with_wildcard } => {
                out.extend_from_slice(br#"{"metrics": ["#);
                self.shape = Shape::Completer {
                    with_wildcard: with_wildcard && is_several,
                };
            }
            Shape::Expand { by_pattern } => {
                out.extend_from_slice(br#"{"results": "#);
                out.push(if by_pattern { b'{' } else { b'[' });
            }
        }
    }

    /// Ends the list that is written, and begins further ones, until so many were begun.
    fn begin_lists(&mut self, out: &mut Vec<u8>, count: usize) {
        while self.lists < count {
            out.extend_from_slice(if self.lists > 0 { b"], " } else { b"" });
            push_string(out, &self.searches[self.lists].text);
            out.extend_from_slice(b": [");
            self.is_first = true;
            self.lists += 1;
        }
    }

    fn write_found(&mut self, out: &mut Vec<u8>, found: &Found) {
        if let Shape::Expand { by_pattern: true } = self.shape {
            self.begin_lists(out, found.list + 1);
        }
        self.write_entry(out, &found.name, found.is_leaf);
    }

    fn write_entry(&mut self, out: &mut Vec<u8>, name: &str, is_leaf: bool) {
        if !mem::take(&mut self.is_first) {
            out.extend_from_slice(b", ");
        }
        match self.shape {
            Shape::Tree { .. } => {
                out.extend_from_slice(br#"{"text": "#);
                push_string(out, name);
                out.extend_from_slice(br#", "id": "#);
                push_string(out, &[&*self.base, name].concat());
                out.extend_from_slice(if is_leaf {
                    br#", "allowChildren": 0, "expandable": 0, "leaf": 1}"#
                } else {
                    br#", "allowChildren": 1, "expandable": 1, "leaf": 0}"#
                });
            }
            Shape::Completer { .. } => {
                let dot = if is_leaf { "" } else { "." };
                out.extend_from_slice(br#"{"path": "#);
                push_string(out, &[name, dot].concat());
                out.extend_from_slice(br#", "name": "#);
                push_string(out, last_node(name));
                out.extend_from_slice(br#", "is_leaf": ""#);
                out.extend_from_slice(if is_leaf { br#"1"}"# } else { br#"0"}"# });
            }
            Shape::Expand { .. } => push_string(out, name),
        }
    }

    fn write_end(&mut self, out: &mut Vec<u8>) {
        match self.shape {
            Shape::Tree { .. } => out.push(b']'),
            Shape::Completer { with_wildcard } => out.extend_from_slice(if with_wildcard {
                br#", {"name": "*"}]}"#
            } else {
                b"]}"
            }),
            Shape::Expand { by_pattern: false } => out.extend_from_slice(b"]}"),
            Shape::Expand { by_pattern: true } => {
                self.begin_lists(out, self.searches.len());
                out.extend_from_slice(if self.lists > 0 { b"]}}" } else { b"}}" });
            }
        }
    }
}

impl Pieces for Find {
    fn append(&mut self, turn: &mut Turn) -> Result<ControlFlow<()>, http::Failure> {
        let full_at = turn.replies.len() + turn.allowance.reply_bytes;
        if !self.is_writing {
            if self.walk(turn)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.write_begin(turn.replies);
            self.is_writing = true;
        }
        while let Some(found) = self.found.pop_first() {
            self.write_found(turn.replies, &found);
            turn.allowance.count_line();
            if turn.replies.len() >= full_at || turn.allowance.time_is_up() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.write_end(turn.replies);
        Ok(ControlFlow::Continue(()))
    }

    fn is_cut_off(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> usize {
        let searches = self.searches.iter();
        let of_searches = searches.map(|search| {
            let texts = search.text.capacity() + search.used_up.capacity();
            size_of::<Search>() + texts + search.pattern.allocated_bytes()
        });
        of_searches.sum::<usize>() + self.found.bytes
    }
}

/// The last node of a name.
fn last_node(name: &str) -> &str {
    let mut rest = Some(name);
    let mut last = name;
    while let Some(node) = next_node(&mut rest) {
        last = node;
    }
    last
}

/// Names that were found, in the order in which they are answered.
#[derive(Debug, Default)]
struct FoundSet {
    set: BTreeSet<Found>,
    /// Some of those that were added, after their hashes, which say near which place they are: so that
    /// what is found again and again is mostly not searched for in the set.
    recent: Vec<Option<(u64, Found)>>,
    hasher: RandomState,
    /// Of both.
    bytes: usize,
    /// What they may be.
    limit_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// The list to which it belongs.
    list: usize,
    name: Box<str>,
    is_leaf: bool,
}

impl FoundSet {
    /// Adds a name to a list. Whether it was not there.
    ///
    /// # Errors
    ///
    /// If there are too many.
    fn add(&mut self, list: usize, name: &str, is_leaf: bool) -> Result<bool, Failure> {
        self.make_room_for_recent();
        let hash = self.hasher.hash_one(name);
        // Their number is a power of two.
        let ways = hash as usize & (self.recent.len() - WAYS);
        let ways = &mut self.recent[ways..ways + WAYS];
        let is_known = ways.iter().flatten().any(|(other, found)| {
            *other == hash && *found.name == *name && (found.list, found.is_leaf) == (list, is_leaf)
        });
        if is_known {
            return Ok(false);
        }
        let found = Found {
            list,
            name: name.into(),
            is_leaf,
        };
        let vacant = ways.iter().position(Option::is_none);
        let way = vacant.unwrap_or(hash.leading_zeros() as usize % WAYS);
        let before = ways[way].replace((hash, found.clone()));
        self.bytes += name.len();
        self.bytes -= before.map_or(0, |(_, before)| before.name.len());
        let is_new = self.set.insert(found);
        if is_new {
            self.bytes += FOUND_BYTES + name.len();
        }
        if self.bytes > self.limit_bytes {
            let limit = self.limit_bytes;
            return Err(Failure::TooMuch(format!(
                "the names that are found take more than {limit} bytes"
            )));
        }
        Ok(is_new)
    }

    /// Adds to the list of branches, or to that of leaves if it is not among the branches.
    fn add_to_tree(&mut self, name: &str, is_leaf: bool) -> Result<(), Failure> {
        if self.add(usize::from(is_leaf), name, is_leaf)? {
            let other = Found {
                list: usize::from(!is_leaf),
                name: name.into(),
                is_leaf: !is_leaf,
            };
            if self.set.contains(&other) {
                self.remove(&Found {
                    list: 1,
                    is_leaf: true,
                    ..other
                });
            }
        }
        Ok(())
    }

    fn pop_first(&mut self) -> Option<Found> {
        let first = self.set.pop_first()?;
        self.bytes -= FOUND_BYTES + first.name.len();
        Some(first)
    }

    fn remove(&mut self, found: &Found) {
        if self.set.remove(found) {
            self.bytes -= FOUND_BYTES + found.name.len();
        }
    }

    fn make_room_for_recent(&mut self) {
        let wanted = (4 * self.set.len()).clamp(RECENT_MIN, RECENT_MAX);
        if self.recent.len() < wanted {
            let recent = self.recent.iter().flatten();
            let name_bytes: usize = recent.map(|(_, found)| found.name.len()).sum();
            self.bytes -= name_bytes + size_of_val(&*self.recent);
            self.recent = vec![None; wanted.next_power_of_two()];
            self.bytes += size_of_val(&*self.recent);
        }
    }
}

/// What lists series as it comes to them, in the order of their first put: in constant memory.
#[derive(Debug)]
pub struct Listing {
    walk: Walk,
    /// Those are listed in which all of these occur, letters of ASCII in either case. They are in lower
    /// case here.
    words: Vec<String>,
    /// How many more are listed at most.
    left: usize,
    /// Not names alone, but what [`Shape::Completer`] has of each.
    is_detailed: bool,
    is_begun: bool,
    is_first: bool,
}

impl Listing {
    /// All series: a list of names.
    pub fn all(turn: &Turn) -> Listing {
        Listing {
            walk: Walk::new(turn, Effort::default()),
            words: Vec::new(),
            left: usize::MAX,
            is_detailed: false,
            is_begun: false,
            is_first: true,
        }
    }

    /// At most so many series in whose names all of these words occur.
    ///
    /// # Errors
    ///
    /// If a word is too long.
    pub fn search(words: &str, most: usize, turn: &Turn) -> Result<Listing, Failure> {
        let words = words.split_whitespace().map(str::to_ascii_lowercase);
        let words: Vec<String> = words.collect();
        let limit = Config::WORDS_BYTES_MAX;
        if words.iter().map(String::len).sum::<usize>() > limit {
            return Err(format!("the words take more than {limit} bytes").into());
        }
        let effort = Effort {
            fixed: words.len(),
            for_each_byte: words.len(),
        };
        Ok(Listing {
            walk: Walk::new(turn, effort),
            words,
            left: most,
            is_detailed: true,
            ..Listing::all(turn)
        })
    }
}

impl Pieces for Listing {
    fn append(&mut self, turn: &mut Turn) -> Result<ControlFlow<()>, http::Failure> {
        let full_at = turn.replies.len() + turn.allowance.reply_bytes;
        let (begin, end): (&[u8], &[u8]) = match self.is_detailed {
            true => (br#"{"metrics": ["#, b"]}"),
            false => (b"[", b"]"),
        };
        if !mem::replace(&mut self.is_begun, true) {
            turn.replies.extend_from_slice(begin);
        }
        let walked = self.walk.go_on(turn, |key, out| {
            if self.left == 0 || out.len() >= full_at {
                return Ok(ControlFlow::Break(()));
            }
            if has_all(key, &self.words) {
                out.extend_from_slice(if mem::take(&mut self.is_first) {
                    b""
                } else {
                    b", "
                });
                if self.is_detailed {
                    out.extend_from_slice(br#"{"path": "#);
                    push_string(out, key);
                    out.extend_from_slice(br#", "is_leaf": true}"#);
                } else {
                    push_string(out, key);
                }
                self.left -= 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if walked.is_break() && self.left > 0 {
            return Ok(ControlFlow::Break(()));
        }
        turn.replies.extend_from_slice(end);
        Ok(ControlFlow::Continue(()))
    }

    fn is_cut_off(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> usize {
        let words = self
            .words
            .iter()
            .map(|word| size_of::<String>() + word.capacity());
        size_of::<Listing>() + words.sum::<usize>()
    }
}

/// Whether words in lower case occur in a key, whose letters of ASCII may be in either case. Takes time by
/// the length of the key for each.
fn has_all(key: &str, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let key = key.to_ascii_lowercase();
    words.iter().all(|word| {
        let mut windows = key.as_bytes().windows(word.len());
        windows.any(|window| window == word.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_names_that_are_kept() {
        let mut found = FoundSet {
            limit_bytes: usize::MAX,
            ..FoundSet::default()
        };
        let counted = |found: &FoundSet| {
            let set = found.set.iter().map(|found| FOUND_BYTES + found.name.len());
            let recent = found.recent.iter().flatten();
            let recent = recent.map(|(_, found)| found.name.len());
            set.sum::<usize>() + recent.sum::<usize>() + size_of_val(&*found.recent)
        };
        for number in 0..3_000 {
            let name = "a".repeat(number % 700);
            found.add_to_tree(&name, number % 3 == 0).expect("no limit");
            assert_eq!(found.bytes, counted(&found));
        }
        assert_eq!(found.set.len(), 700);
        while found.pop_first().is_some() {
            assert_eq!(found.bytes, counted(&found));
        }
    }
}
