//! The names that a find has found, each once, in the order in which they are answered.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::too_much;
use crate::http::Failure;

/// A name that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The list to which it belongs.
    pub list: usize,
    pub name: Rc<str>,
    pub is_leaf: bool,
}

impl Found {
    /// What it takes in the set: its text too, the counts of that, and what an allocator adds.
    fn bytes(&self) -> usize {
        size_of::<Found>() + 40 + self.name.len()
    }
}

/// Names that were found.
#[derive(Debug)]
pub struct Names {
    set: BTreeSet<Found>,
    /// Some of those that were added, after their hashes, which say near which place they are: so that
    /// what is found again and again is mostly not searched for in the set. Their number is a power of two.
    recent: Vec<Option<(u64, Found)>>,
    hasher: RandomState,
    set_bytes: usize,
    limit_bytes: usize,
}

/// How many names are remembered. It grows with the set, between these bounds.
const RECENT_MIN: usize = 64;
const RECENT_MAX: usize = 4_096;

/// How many places a name may be remembered at.
const WAYS: usize = 4;

impl Names {
    /// No names. They may take so many bytes.
    pub fn new(limit_bytes: usize) -> Names {
        Names {
            set: BTreeSet::new(),
            recent: vec![None; RECENT_MIN],
            hasher: RandomState::default(),
            set_bytes: 0,
            limit_bytes,
        }
    }

    /// Adds a name to a list. Returns whether it was not there.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn add(&mut self, list: usize, name: &str, is_leaf: bool) -> Result<bool, Failure> {
        if 4 * self.set.len() > self.recent.len() && self.recent.len() < RECENT_MAX {
            self.recent = vec![None; 4 * self.recent.len()];
        }
        let hash = self.hasher.hash_one(name);
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
        ways[way] = Some((hash, found.clone()));
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
        self.recent = Vec::new();
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
        self.set_bytes + size_of_val(&*self.recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_names_that_are_kept() {
        let mut found = Names::new(usize::MAX);
        let counted = |found: &Names| {
            let set = found.set.iter().map(Found::bytes);
            set.sum::<usize>() + size_of_val(&*found.recent)
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
