//! Who gets a turn, and in which order.

use std::collections::VecDeque;

use crate::config::Config;
use crate::turn::{Allowance, Clock};

/// The connections that are ready for a turn, by key, each once.
///
/// Those that an event has just made ready come first, each for a small share, so that a small
/// request waits for nobody's large ones. Those that have more to do than that queue up again as
/// busy, and take turns in what time is left.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    pub fresh: VecDeque<usize>,
    pub busy: VecDeque<usize>,
}

impl ReadyQueue {
    /// Queues a connection that an event has made ready and that keeps so many bytes, which it may
    /// have to go through at once.
    pub fn push(&mut self, key: usize, kept_bytes: usize) {
        let queue = if kept_bytes > Config::FRESH_READ_MIN_BYTES {
            &mut self.busy
        } else {
            &mut self.fresh
        };
        queue.push_back(key);
    }

    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.busy.is_empty()
    }

    /// The share of each who is fresh now; the least one, where `is_least`.
    pub fn fresh_share(&self, config: &Config, is_least: bool, clock: Clock) -> Allowance {
        let ready = self.fresh.len().max(1);
        let share = |all: usize, least: usize, most: usize| {
            let share = if is_least { 0 } else { all / ready };
            share.max(least).min(most)
        };
        Allowance::new(
            share(
                Config::FRESH_READ_BYTES,
                Config::FRESH_READ_MIN_BYTES,
                config.read_buffer_bytes,
            ),
            share(
                Config::FRESH_REPLY_BYTES,
                Config::FRESH_REPLY_MIN_BYTES,
                config.write_buffer_bytes,
            ),
            config.turn_time / u32::try_from(ready).unwrap_or(u32::MAX),
            clock,
        )
    }

    /// The share of each who is busy: one read, and one write buffer of replies.
    pub fn busy_share(&self, config: &Config, clock: Clock) -> Allowance {
        Allowance::new(
            config.read_buffer_bytes,
            config.write_buffer_bytes,
            config.turn_time / 4,
            clock,
        )
    }
}
