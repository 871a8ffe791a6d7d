//! The names that a find has found, each once, in the order in which they are answered.

use std::collections::BTreeSet;

use super::recent::Recent;
use super::too_much;
use crate::http::Failure;

/// A name that was found.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The list to which it belongs.
    pub list: usize,
    pub name: Box<str>,
    pub is_leaf: bool,
}

impl Found {
    /// What it takes in the set: its text too, and what the set and an allocator add.
    fn bytes(&self) -> usize {
        size_of::<Found>() + 40 + self.name.len()
    }
}

/// Names that were found.
#[derive(Debug)]
pub struct Names {
    set: BTreeSet<Found>,
    /// Names that were added, so that one that is found again is mostly not searched for in the set.
    recent: Recent,
    set_bytes: usize,
    limit_bytes: usize,
}

impl Names {
    /// No names. They may take so many bytes.
    pub fn new(limit_bytes: usize) -> Names {
        Names {
            set: BTreeSet::new(),
            recent: Recent::default(),
            set_bytes: 0,
            limit_bytes,
        }
    }

    /// Whether a name was added to a list lately. Also says no to some that were.
    pub fn has_lately(&self, list: usize, name: &str, is_leaf: bool) -> bool {
        kind(list, is_leaf).is_some_and(|kind| self.recent.has(kind, name))
    }

    /// Adds a name to a list. Returns whether it was not there.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn add(&mut self, list: usize, name: &str, is_leaf: bool) -> Result<bool, Failure> {
        if self.has_lately(list, name, is_leaf) {
            return Ok(false);
        }
        if let Some(kind) = kind(list, is_leaf) {
            self.recent.add(kind, name);
        }
        let found = Found {
            list,
            name: name.into(),
            is_leaf,
        };
        let bytes = found.bytes();
        let is_new = self.set.insert(found);
        self.set_bytes += if is_new { bytes } else { 0 };
        if self.bytes() > self.limit_bytes {
            let limit = self.limit_bytes;
            let message = format!("the names that are found take more than {limit} bytes");
            return Err(too_much(message));
        }
        Ok(is_new)
    }

    /// Adds to the list of branches, or to that of leaves if it is not among the branches.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn add_to_tree(&mut self, name: &str, is_leaf: bool) -> Result<(), Failure> {
        if self.add(is_leaf.into(), name, is_leaf)? {
            let mut found = Found {
                list: usize::from(!is_leaf),
                name: name.into(),
                is_leaf: !is_leaf,
            };
            if self.set.contains(&found) {
                (found.list, found.is_leaf) = (1, true);
                self.set.remove(&found);
                self.set_bytes -= found.bytes();
            }
        }
        Ok(())
    }

    /// The first name.
    pub fn first(&self) -> Option<&Found> {
        self.set.first()
    }

    /// Takes the first name. No more are added.
    pub fn pop_first(&mut self) -> Option<Found> {
        let first = self.set.pop_first()?;
        self.set_bytes -= first.bytes();
        Some(first)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Bytes that they take, about.
    pub fn bytes(&self) -> usize {
        self.set_bytes + self.recent.bytes()
    }
}

/// What tells names of the same text apart, for the first lists.
fn kind(list: usize, is_leaf: bool) -> Option<u8> {
    u8::try_from(2 * list + usize::from(is_leaf)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_names_that_are_kept() {
        let mut found = Names::new(usize::MAX);
        let counted = |found: &Names| {
            let set = found.set.iter().map(Found::bytes);
            set.sum::<usize>() + found.recent.bytes()
        };
        for number in 0..3_000 {
            let name = "a".repeat(number % 700);
            found.add_to_tree(&name, number % 3 == 0).expect("no limit");
            assert_eq!(found.bytes(), counted(&found));
        }
        assert_eq!(found.set.len(), 700);
        while found.pop_first().is_some() {
            assert_eq!(found.bytes(), counted(&found));
        }
    }
}
