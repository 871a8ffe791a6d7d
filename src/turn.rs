//! What a session is lent for one turn of the loop, and how much of it it may use.

use std::time::{Duration, Instant};

use crate::store::Store;

/// Where the time is taken from: [`Instant::now`], but for tests.
pub type Clock = fn() -> Instant;

/// What a session executes on, lent to it for its turn.
pub struct Turn<'turn> {
    /// Where points are kept.
    pub store: &'turn mut Store,
    /// Where replies are appended.
    pub replies: &'turn mut Vec<u8>,
    /// How much more may be done.
    pub allowance: &'turn mut Allowance,
    /// Whether a point was put, so that the replies must wait for the commit.
    pub has_put: bool,
}

/// How much one connection may do in one turn, so that all others get theirs soon.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Bytes to read at the most.
    pub read_bytes: usize,
    /// Bytes of replies after which no further line is executed, and after which a long reply is
    /// left for the next turn.
    pub reply_bytes: usize,
    time: Duration,
    clock: Clock,
    /// When the time is up; known from the first look at the clock on.
    ends_at: Option<Instant>,
    lines: u32,
    is_up: bool,
}

/// Ordinary lines that are executed between two looks at the clock: the work of a few microseconds,
/// of which the look itself is a hundredth.
const LINES_A_LOOK: u32 = 32;

impl Allowance {
    /// An allowance of so many bytes, and of `time` from the first look at the clock on.
    pub fn new(read_bytes: usize, reply_bytes: usize, time: Duration, clock: Clock) -> Allowance {
        Allowance {
            read_bytes,
            reply_bytes,
            time,
            clock,
            ends_at: None,
            lines: 0,
            is_up: false,
        }
    }

    /// How long it lasts from the first look at the clock on.
    #[cfg(test)]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Counts an ordinary line; looks at the clock now and then.
    #[inline]
    pub fn count_line(&mut self) {
        self.lines += 1;
        if self.lines.is_multiple_of(LINES_A_LOOK) {
            self.look_at_clock();
        }
    }

    /// Looks at the clock, after something that may have taken long.
    #[cold]
    pub fn look_at_clock(&mut self) {
        let now = (self.clock)();
        let ends_at = *self.ends_at.get_or_insert_with(|| now + self.time);
        self.is_up |= now >= ends_at;
    }

    /// Whether the time is up.
    pub fn is_up(&self) -> bool {
        self.is_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static START: Instant = Instant::now();
        static LATER: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn clock() -> Instant {
        START.with(|start| *start + LATER.get())
    }

    #[test]
    fn the_time_is_up_when_it_is_over() {
        let mut allowance = Allowance::new(1, 1, Duration::from_nanos(10), clock);
        allowance.look_at_clock();
        for (later, is_up) in [(9, false), (10, true), (11, true)] {
            LATER.set(Duration::from_nanos(later));
            allowance.look_at_clock();
            assert_eq!(allowance.is_up(), is_up, "{later} ns");
        }
    }

    #[test]
    fn ordinary_lines_look_at_the_clock_now_and_then() {
        let mut allowance = Allowance::new(1, 1, Duration::ZERO, clock);
        for line in 1..=LINES_A_LOOK {
            assert!(!allowance.is_up(), "line {line}");
            allowance.count_line();
        }
        assert!(allowance.is_up());
    }
}
