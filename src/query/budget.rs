//! What a request may take to read, and to compare keys with.

use super::too_much;
use crate::config::Config;
use crate::http::Failure;

/// How much more the targets or patterns of a request may take to read: see [`Config::READING_UNITS`].
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(Config::READING_UNITS)
    }
}

impl Budget {
    /// Besides its arguments, a unit for eight bytes of them.
    pub const FOR_CALL: usize = 48;
    /// A node of a pattern.
    pub const FOR_NODE: usize = 12;
    /// One of the texts that a node with braces stands for, besides what it takes to compare.
    pub const FOR_ALTERNATIVE: usize = 16;

    /// Takes so much of it.
    ///
    /// # Errors
    ///
    /// If that is not left: a sentence that says so.
    pub fn take(&mut self, units: usize) -> Result<(), &'static str> {
        let left = self.0.checked_sub(units);
        let too_many = "a query has too many calls, or patterns with too many alternatives";
        self.0 = left.ok_or(too_many)?;
        Ok(())
    }
}

/// How many characters are compared at the most, to say whether a key is one that is looked for. Each
/// takes one to three nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Whatever the key is.
    pub fixed: usize,
    /// For each byte of the key.
    pub for_each_byte: usize,
}

impl Effort {
    /// So many keys may be compared between two looks at the clock: some microseconds.
    pub const KEYS_PER_LOOK: usize = 64;

    /// So much effort may be made between two looks at the clock, if it is reached earlier.
    pub const PER_LOOK: usize = 8 << 10;

    /// For a key of so many bytes, with what it takes to come to it.
    ///
    /// # Errors
    ///
    /// If all would wait for it.
    pub fn of(self, key_bytes: usize) -> Result<usize, Failure> {
        let effort = self.for_each_byte.saturating_mul(key_bytes);
        let effort = effort.saturating_add(self.fixed);
        if effort > Config::KEY_EFFORT_MAX {
            return Err(too_much(format!(
                "a key of {key_bytes} bytes takes too long to compare: ask for fewer patterns, or for \
                 simpler ones"
            )));
        }
        Ok(effort.max(Effort::PER_LOOK / Effort::KEYS_PER_LOOK))
    }

    /// For this and something else.
    pub fn with(self, other: Effort) -> Effort {
        Effort {
            fixed: self.fixed + other.fixed,
            for_each_byte: self.for_each_byte + other.for_each_byte,
        }
    }
}
