//! Which connections get a turn, and in which order.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Config;
use crate::turn::{Allowance, Clock};

/// The connections that are ready for a turn, by key, each once.
///
/// Those that an event has just made ready come first, each with a small share, so that small
/// requests do not wait for large ones. Those with more to do than that queue again as busy, and
/// take turns in the time that is left.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    pub fresh: VecDeque<usize>,
    pub busy: VecDeque<usize>,
}

impl ReadyQueue {
    /// Queues a connection that an event has made ready. If it keeps many bytes it counts as busy,
    /// since it may have to copy and execute all of them at once.
    pub fn push(&mut self, key: usize, kept_bytes: usize) {
        let queue = if kept_bytes > Config::FRESH_READ_MIN_BYTES {
            &mut self.busy
        } else {
            &mut self.fresh
        };
        queue.push_back(key);
    }

    /// Takes out the connections of which this is not true.
    pub fn retain(&mut self, is_kept: impl Fn(usize) -> bool) {
        for queue in [&mut self.fresh, &mut self.busy] {
            queue.retain(|&key| is_kept(key));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.busy.is_empty()
    }

    /// The share of each connection that is fresh now.
    pub fn fresh_share(&self, config: &Config, clock: Clock) -> Allowance {
        let ready = self.fresh.len().max(1);
        let time = config.turn_time / u32::try_from(ready).unwrap_or(u32::MAX);
        share(config, ready, time, clock)
    }

    /// The share of a busy connection: one full read and one write buffer of replies.
    pub fn busy_share(&self, config: &Config, clock: Clock) -> Allowance {
        share(config, 1, config.turn_time / 4, clock)
    }
}

fn share(config: &Config, ready: usize, time: Duration, clock: Clock) -> Allowance {
    let part = |all: usize, least: usize, most: usize| (all / ready).max(least).min(most);
    let read_bytes = part(
        Config::FRESH_READ_BYTES,
        Config::FRESH_READ_MIN_BYTES,
        config.read_buffer_bytes,
    );
    let reply_bytes = part(
        Config::FRESH_REPLY_BYTES,
        Config::FRESH_REPLY_MIN_BYTES,
        config.write_buffer_bytes,
    );
    Allowance::new(read_bytes, reply_bytes, time, clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn shares_are_small_if_many_are_fresh() {
        let config = Config::default();
        let share = |fresh: usize| {
            let mut queue = ReadyQueue::default();
            (0..fresh).for_each(|key| queue.push(key, 0));
            let share = queue.fresh_share(&config, Instant::now);
            (share.read_bytes, share.reply_bytes, share.time)
        };
        let (kib, time) = (1 << 10, config.turn_time);
        assert_eq!(share(1), (64 * kib, 64 * kib, time));
        assert_eq!(share(8), (64 * kib, 64 * kib, time / 8));
        assert_eq!(share(32), (16 * kib, 64 * kib, time / 32));
        assert_eq!(share(256), (2 * kib, 16 * kib, time / 256));
        assert_eq!(share(10_000), (512, 4 * kib, time / 10_000));
        let busy = ReadyQueue::default().busy_share(&config, Instant::now);
        assert_eq!((busy.read_bytes, busy.reply_bytes), (64 * kib, 64 * kib));
        assert!((Duration::from_micros(100)..=time).contains(&busy.time));
    }

    #[test]
    fn a_connection_that_keeps_much_is_busy() {
        let mut queue = ReadyQueue::default();
        assert!(queue.is_empty());
        for kept_bytes in [0, 512, 513] {
            queue.push(kept_bytes, kept_bytes);
        }
        assert_eq!((queue.fresh, queue.busy), ([0, 512].into(), [513].into()));
    }
}
