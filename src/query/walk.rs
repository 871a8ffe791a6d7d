//! A walk over the keys of all series, a slice at a time.
//!
//! It sees the series that are there while it goes on. It takes no snapshot, so nothing has to be noted of
//! what changes meanwhile.

use super::budget::Effort;
use super::look_at_clock;
use crate::http::Halt;
use crate::turn::Turn;

/// A walk over the keys of all series.
#[derive(Debug)]
pub struct Walk {
    /// The position of the next one.
    next: u64,
    /// The position after the last one.
    end: u64,
    /// What it takes to look at a key.
    effort: Effort,
}

impl Walk {
    /// Before the first key. To look at one takes this effort.
    pub fn new(turn: &Turn, effort: Effort) -> Walk {
        Walk {
            next: 0,
            end: turn.store.end_position(),
            effort,
        }
    }

    /// Gives keys, and where replies are appended, to `look`, until all were given. A key by which it halts
    /// is given again.
    ///
    /// # Errors
    ///
    /// If the time is up, a key takes too great an effort, or `look` halts.
    pub fn go_on(
        &mut self,
        turn: &mut Turn,
        mut look: impl FnMut(&str, &mut Vec<u8>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let mut left = Effort::PER_LOOK;
        for (position, key) in turn.store.keys_from(self.next) {
            if position >= self.end {
                break;
            }
            // Those that are hidden count too.
            let key = key.unwrap_or_default();
            let effort = self.effort.of(key.len())?;
            if !key.is_empty() {
                look(key, turn.replies)?;
            }
            self.next = position + 1;
            left = left.saturating_sub(effort);
            if left == 0 {
                left = Effort::PER_LOOK;
                look_at_clock(turn.allowance)?;
            }
        }
        self.next = self.end;
        Ok(())
    }
}
