//! What a session borrows for one turn of the loop, and how much it may do.

use std::time::{Duration, Instant, SystemTime};

use crate::config::{Config, TimestampUnit};
use crate::counters::{Counters, Counts};
use crate::memory::Room;
use crate::retention::{self, WallClock};
use crate::server::{Admission, Recorder};
use crate::store::Store;

/// Tells the time: [`Instant::now`], except in tests.
pub type Clock = fn() -> Instant;

/// What is the same for all turns.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Tells the time of day.
    pub wall_clock: WallClock,
    /// What timestamps count.
    pub timestamp_unit: TimestampUnit,
    /// What the server counts.
    pub counters: Counters,
    /// See [`Config::query_limit_bytes`].
    pub query_limit_bytes: usize,
}

impl Default for Environment {
    fn default() -> Environment {
        Environment {
            wall_clock: SystemTime::now,
            timestamp_unit: TimestampUnit::default(),
            counters: Counters::default(),
            query_limit_bytes: Config::default().query_limit_bytes,
        }
    }
}

impl Environment {
    /// The time of day as a timestamp.
    pub fn now(&self) -> i64 {
        retention::in_units((self.wall_clock)(), self.timestamp_unit)
    }
}

/// What a session borrows for its turn.
pub struct Turn<'turn> {
    /// Where points are kept.
    pub store: &'turn mut Store,
    /// Where replies are appended.
    pub replies: &'turn mut Vec<u8>,
    /// Length of the replies at which no further line is executed.
    pub full_at: usize,
    /// How much may be done.
    pub allowance: &'turn mut Allowance,
    /// Replies reach the client. If not, only puts are executed.
    pub is_answered: bool,
    /// Where puts are recorded, if they must be, and whether they may be executed.
    pub recorder: Option<&'turn mut Recorder>,
    /// The room for puts.
    pub room: &'turn mut Room,
    /// Where requests are counted.
    pub counts: &'turn mut Counts,
    /// Bytes that the session may keep for a query after the turn: queries make all together keep no more
    /// than half of their limit, so that others are served as usual.
    pub kept_room_bytes: usize,
    /// What is the same for all turns.
    pub environment: &'turn Environment,
    /// The next line is a put that may not be executed yet.
    pub is_postponed: bool,
}

impl Turn<'_> {
    /// Whether puts may be executed.
    pub fn admission(&self) -> Admission {
        let recorder = self.recorder.as_ref();
        recorder.map_or(Admission::Open, |recorder| recorder.admission)
    }
}

#[cfg(test)]
impl<'turn> Turn<'turn> {
    /// A turn in which nothing is recorded, and no room or reply has a limit but by the allowance.
    pub fn unlimited(
        store: &'turn mut Store,
        replies: &'turn mut Vec<u8>,
        allowance: &'turn mut Allowance,
        (room, counts): &'turn mut (Room, Counts),
        environment: &'turn Environment,
    ) -> Turn<'turn> {
        Turn {
            store,
            replies,
            full_at: usize::MAX,
            allowance,
            is_answered: true,
            recorder: None,
            room,
            counts,
            kept_room_bytes: usize::MAX,
            environment,
            is_postponed: false,
        }
    }
}

/// How much one connection may do in one turn, so that the others do not wait long for theirs.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// The most bytes to read.
    pub read_bytes: usize,
    /// Bytes of replies after which no further line is executed, and bytes of any one reply after
    /// which its rest is left for the next turn.
    pub reply_bytes: usize,
    /// How long it lasts after the first look at the clock.
    pub time: Duration,
    clock: Clock,
    /// When the time is up; set by the first look at the clock.
    ends_at: Option<Instant>,
    lines: u32,
    time_is_up: bool,
}

/// Ordinary lines executed between two looks at the clock, or up to fifteen more: a few microseconds of work,
/// of which the look itself is a hundredth.
const LINES_PER_LOOK: u32 = 32;

impl Allowance {
    /// An allowance of so many bytes, and of `time`, which starts with the first look at the clock.
    pub fn new(read_bytes: usize, reply_bytes: usize, time: Duration, clock: Clock) -> Allowance {
        Allowance {
            read_bytes,
            reply_bytes,
            time,
            clock,
            ends_at: None,
            lines: 0,
            time_is_up: false,
        }
    }

    /// Lowers its bytes to the least that a connection gets.
    pub fn lower_to_least(&mut self) {
        self.read_bytes = self.read_bytes.min(Config::FRESH_READ_MIN_BYTES);
        self.reply_bytes = self.reply_bytes.min(Config::FRESH_REPLY_MIN_BYTES);
    }

    /// Counts ordinary lines, and looks at the clock after every few dozen of them.
    #[inline]
    pub fn count_lines(&mut self, count: usize) {
        self.lines += count as u32;
        if self.lines >= LINES_PER_LOOK {
            self.lines = 0;
            self.look_at_clock();
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Looks at the clock, after something that may have taken long.
    #[cold]
    pub fn look_at_clock(&mut self) {
        let now = self.now();
        let ends_at = *self.ends_at.get_or_insert_with(|| now + self.time);
        self.time_is_up |= now >= ends_at;
    }

    /// Takes the rest of the time.
    pub fn end(&mut self) {
        self.time_is_up = true;
    }

    /// Whether the time is up.
    pub fn time_is_up(&self) -> bool {
        self.time_is_up
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
        for (later, time_is_up) in [(9, false), (10, true), (11, true)] {
            LATER.set(Duration::from_nanos(later));
            allowance.look_at_clock();
            assert_eq!(allowance.time_is_up(), time_is_up, "{later} ns");
        }
    }

    #[test]
    fn ordinary_lines_look_at_the_clock_now_and_then() {
        let mut allowance = Allowance::new(1, 1, Duration::ZERO, clock);
        for line in 1..=LINES_PER_LOOK {
            assert!(!allowance.time_is_up(), "line {line}");
            allowance.count_lines(1);
        }
        assert!(allowance.time_is_up());
    }
}
