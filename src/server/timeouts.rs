//! How long connections may be still, and when to look for those that are for too long.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::config::Config;

/// What a connection that is still waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stillness {
    /// Its client is to send a request.
    Idle,
    /// Its client is to take replies.
    Stalled,
    /// Its client is to close, since the server has.
    Lingering,
    /// Its client is to send the rest of a request, or to close. To send more of it gives no more time.
    Awaited,
}

/// The timeouts, the time, and when to look at the connections next.
///
/// Times are seconds since the server began to run, since each connection keeps one.
pub struct Timeouts {
    started: Instant,
    idle: Option<u32>,
    stall: Option<u32>,
    request: u32,
    /// What time it is, as of the last event.
    pub now: Instant,
    /// No connection is to be looked at earlier.
    next: Option<u32>,
    /// Keys from here on are still to be looked at.
    unseen: Option<usize>,
}

/// Keys that are looked at in one turn. To close as many takes about a millisecond.
const KEYS_AT_ONCE: usize = 256;

impl Timeouts {
    /// Those of `config`, and none is armed.
    pub fn new(config: &Config, now: Instant) -> Timeouts {
        Timeouts {
            started: now,
            idle: config.idle_timeout.map(whole_seconds),
            stall: config.stall_timeout.map(whole_seconds),
            request: whole_seconds(config.request_timeout),
            now,
            next: None,
            unseen: None,
        }
    }

    fn seconds(&self) -> u32 {
        let passed = self.now.saturating_duration_since(self.started);
        u32::try_from(passed.as_secs()).unwrap_or(u32::MAX)
    }

    /// To be called when a connection begins to be still; returns since when it is, rounded up, so
    /// that no timeout ends early. One that is awaited is so since `awaited_since`.
    #[inline]
    pub fn arm(&mut self, stillness: Stillness, awaited_since: Option<Instant>) -> u32 {
        if self.timeout(stillness).is_none() {
            return 0;
        }
        let awaited_since = awaited_since.filter(|_| stillness == Stillness::Awaited);
        let since = awaited_since.unwrap_or(self.now);
        let since = whole_seconds(since.saturating_duration_since(self.started));
        self.look_later(stillness, since);
        since
    }

    fn timeout(&self, stillness: Stillness) -> Option<u32> {
        match stillness {
            Stillness::Idle => self.idle,
            Stillness::Stalled | Stillness::Lingering => self.stall,
            Stillness::Awaited => Some(self.request),
        }
    }

    /// Sees to it that a connection is looked at when it is due. One that stalls is looked at before:
    /// soon, and then as often as its timeout is coarse, since it may take bytes without an event.
    fn look_later(&mut self, stillness: Stillness, since: u32) {
        let Some(due) = self.due(stillness, since) else {
            return;
        };
        let mut look = due;
        if stillness == Stillness::Stalled {
            let most = ((due - since) / 16).max(1);
            let now = self.seconds().max(since);
            look = due.min(now.saturating_add((now - since).clamp(1, most)));
        }
        self.next = Some(self.next.map_or(look, |next| next.min(look)));
    }

    fn due(&self, stillness: Stillness, since: u32) -> Option<u32> {
        Some(since.saturating_add(self.timeout(stillness)?))
    }

    /// When to take a turn, event or not.
    pub fn wake_at(&self) -> Option<Instant> {
        let after = Duration::from_secs(self.next?.into());
        self.started.checked_add(after)
    }

    /// Whether there are keys to look at without waiting for an event.
    pub fn is_looking(&self) -> bool {
        self.unseen.is_some()
    }

    /// The keys below `end` that are to be looked at in this turn. Once all of them were, those that
    /// are still have armed the timeout again.
    pub fn keys_to_look_at(&mut self, end: usize) -> Range<usize> {
        if self.unseen.is_none() && self.next.is_some_and(|next| next <= self.seconds()) {
            (self.unseen, self.next) = (Some(0), None);
        }
        let first = self.unseen.unwrap_or(end);
        let past = end.min(first + KEYS_AT_ONCE);
        self.unseen = (past < end).then_some(past);
        first..past
    }

    /// Whether a connection that is still has been so for too long. If not, it is looked at later.
    pub fn is_over(&mut self, stillness: Stillness, since: u32) -> bool {
        let due = self.due(stillness, since);
        let is_over = due.is_some_and(|due| due <= self.seconds());
        if !is_over {
            self.look_later(stillness, since);
        }
        is_over
    }
}

/// Rounded up.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration
        .as_secs()
        .saturating_add((duration.subsec_nanos() > 0).into());
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_timeout_is_over_when_it_is_and_never_early() {
        let start = Instant::now();
        let config = Config {
            idle_timeout: Some(Duration::from_millis(9_500)),
            stall_timeout: None,
            ..Config::default()
        };
        for (since_ms, over_ms) in [(0, 10_000), (1, 11_000), (999, 11_000), (1_000, 11_000)] {
            let mut timeouts = Timeouts::new(&config, start);
            timeouts.now = start + Duration::from_millis(since_ms);
            let since = timeouts.arm(Stillness::Idle, None);
            assert_eq!(
                timeouts.wake_at(),
                Some(start + Duration::from_millis(over_ms))
            );
            for (later_ms, is_over) in [
                (over_ms - 1, false),
                (over_ms, true),
                (over_ms + 1, true),
                // More seconds than are counted.
                (over_ms + (1_000 << 32), true),
            ] {
                timeouts.now = start + Duration::from_millis(later_ms);
                assert_eq!(
                    timeouts.is_over(Stillness::Idle, since),
                    is_over,
                    "{later_ms} ms"
                );
                assert!(!timeouts.is_over(Stillness::Stalled, since));
            }
        }
    }

    #[test]
    fn one_that_stalls_is_looked_at_soon_and_then_now_and_then() {
        for (stall, expected) in [
            (1, vec![1]),
            (4, vec![1, 2, 3, 4]),
            (
                35,
                vec![
                    1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 35,
                ],
            ),
            (
                160,
                vec![
                    1, 2, 4, 8, 16, 26, 36, 46, 56, 66, 76, 86, 96, 106, 116, 126, 136, 146, 156,
                    160,
                ],
            ),
        ] {
            assert_eq!(looks_of_one_that_stalls(stall), expected);
        }
    }

    /// How many seconds after it began to be still it is looked at, until it is cut off.
    fn looks_of_one_that_stalls(stall: u64) -> Vec<u64> {
        let start = Instant::now();
        let config = Config {
            stall_timeout: Some(Duration::from_secs(stall)),
            ..Config::default()
        };
        let mut timeouts = Timeouts::new(&config, start);
        timeouts.now = start + Duration::from_secs(100);
        let since = timeouts.arm(Stillness::Stalled, None);
        let mut looks = Vec::new();
        loop {
            let look = timeouts.wake_at().expect("a look") - start;
            looks.push(look.as_secs() - 100);
            timeouts.now = start + look;
            while timeouts.keys_to_look_at(1).is_empty() {}
            if timeouts.is_over(Stillness::Stalled, since) {
                return looks;
            }
        }
    }

    #[test]
    fn the_longest_timeouts_never_end() {
        let start = Instant::now();
        let config = Config {
            idle_timeout: Some(Duration::MAX),
            ..Config::default()
        };
        let mut timeouts = Timeouts::new(&config, start);
        timeouts.now = start + Duration::from_secs(1 << 31);
        let since = timeouts.arm(Stillness::Idle, None);
        assert!(!timeouts.is_over(Stillness::Idle, since));
        assert!(timeouts.wake_at() > Some(start + Duration::from_secs(1 << 31)));
    }

    #[test]
    fn what_never_ends_arms_nothing() {
        let config = Config {
            stall_timeout: None,
            ..Config::default()
        };
        let start = Instant::now();
        let mut timeouts = Timeouts::new(&config, start);
        for stillness in [Stillness::Idle, Stillness::Stalled] {
            timeouts.arm(stillness, None);
            timeouts.now = start + Duration::from_secs(1 << 33);
            assert_eq!(
                (timeouts.wake_at(), timeouts.keys_to_look_at(10)),
                (None, 10..10)
            );
        }
    }

    proptest! {
        /// Connections that begin to be still, and go on, at any time are each found in the second in
        /// which they are due, and there is no look when none can be due.
        #[test]
        fn each_is_found_when_it_is_due(
            steps in prop::collection::vec((0..1_000usize, any::<bool>(), 0..4u32), 1..200)
        ) {
            let config = Config {
                idle_timeout: Some(Duration::from_secs(7)),
                stall_timeout: Some(Duration::from_secs(3)),
                ..Config::default()
            };
            let start = Instant::now();
            let mut timeouts = Timeouts::new(&config, start);
            let (mut still, mut now) = (BTreeMap::new(), 0);
            for (key, is_idle, seconds) in steps {
                for _ in 0..seconds {
                    now += 1;
                    timeouts.now = start + Duration::from_secs(now);
                    while {
                        let keys = timeouts.keys_to_look_at(1_000);
                        still.retain(|key, &mut (stillness, since)| {
                            !keys.contains(key) || !timeouts.is_over(stillness, since)
                        });
                        timeouts.is_looking()
                    } {}
                    for &(stillness, since) in still.values() {
                        let timeout = if stillness == Stillness::Idle { 7 } else { 3 };
                        prop_assert!(u64::from(since) + timeout > now);
                    }
                    prop_assert!(timeouts.wake_at().is_some() >= !still.is_empty());
                }
                let stillness = if is_idle { Stillness::Idle } else { Stillness::Stalled };
                still.insert(key, (stillness, timeouts.arm(stillness, None)));
            }
        }
    }
}
