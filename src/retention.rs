//! How long points are kept, by the clock of the system.
//!
//! That clock may be wrong for a while: a board starts without a time, or somebody sets it to another
//! year. What it hides is there again when it is set right; what it removes is gone. So when it has
//! jumped forward, it is believed at once for what is shown, and only after a while for what is
//! removed. So it is at a start, if all that is stored is too old by it. When it goes back it is
//! believed at once, since that removes nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::{Config, TimestampUnit};

/// Tells the time of day: [`SystemTime::now`], except in tests.
pub type WallClock = fn() -> SystemTime;

/// Finds what is too old, by a clock that may jump.
pub struct Retention {
    age: Duration,
    unit: TimestampUnit,
    /// The time of day that is believed for what is removed, and when that was.
    believed: Option<(SystemTime, Instant)>,
    /// When the clock jumped forward, if it is not believed yet.
    jumped_at: Option<Instant>,
}

impl Retention {
    /// Keeps points until they have this age; their timestamps count this unit.
    pub fn new(age: Duration, unit: TimestampUnit) -> Retention {
        Retention {
            age,
            unit,
            believed: None,
            jumped_at: None,
        }
    }

    /// Says what the newest point is that is stored at the start. If even that is too old by the clock,
    /// the clock counts as one that has jumped since that point.
    pub fn compare_with(&mut self, newest: i64, time_of_day: SystemTime, now: Instant) {
        if newest < self.floor(time_of_day) {
            let seconds = newest.max(0) / self.unit.per_second();
            let since_1970 = Duration::from_secs(seconds as u64);
            self.believed = UNIX_EPOCH.checked_add(since_1970).map(|time| (time, now));
        }
    }

    /// Below which timestamps points are too old to be shown, and below which they are to be removed, which is
    /// no later, at this time of day, which is `now` by a clock that never jumps. To be asked often: a jump is
    /// seen by comparing the two.
    pub fn floors(&mut self, time_of_day: SystemTime, now: Instant) -> (i64, i64) {
        let believed = self.believe(time_of_day, now);
        self.believed = Some((believed, now));
        let removed_below = self.floor(believed.min(time_of_day));
        (self.floor(time_of_day), removed_below)
    }

    /// The time of day that is believed for what is removed.
    fn believe(&mut self, time_of_day: SystemTime, now: Instant) -> SystemTime {
        let Some((before, at)) = self.believed else {
            return time_of_day;
        };
        let expected = before + now.saturating_duration_since(at);
        let ahead = time_of_day.duration_since(expected).unwrap_or_default();
        if ahead <= Config::CLOCK_JUMP {
            if self.jumped_at.take().is_some() {
                info!("the clock of the system is where it was before it jumped");
            }
            return time_of_day;
        }
        let jumped_at = *self.jumped_at.get_or_insert_with(|| {
            warn!(
                "the clock of the system jumped forward by {} s: what is too old by it is hidden, \
                 and removed in {} s if the clock is not set back",
                ahead.as_secs(),
                Config::CLOCK_TRIAL.as_secs()
            );
            now
        });
        if now.saturating_duration_since(jumped_at) >= Config::CLOCK_TRIAL {
            self.jumped_at = None;
            return time_of_day;
        }
        expected
    }

    /// The first timestamp that is not too old at this time of day.
    fn floor(&self, time_of_day: SystemTime) -> i64 {
        let floor = nanoseconds_since_1970(time_of_day) - self.age.as_nanos() as i128;
        // Rounded up: a point of exactly this age is kept.
        saturate(-(-floor).div_euclid(nanoseconds_of(self.unit)))
    }
}

/// A time of day in whole units since 1970: as far as 64 bits hold it.
pub fn in_units(time_of_day: SystemTime, unit: TimestampUnit) -> i64 {
    let nanoseconds = nanoseconds_since_1970(time_of_day);
    saturate(nanoseconds.div_euclid(nanoseconds_of(unit)))
}

fn nanoseconds_of(unit: TimestampUnit) -> i128 {
    1_000_000_000 / i128::from(unit.per_second())
}

fn nanoseconds_since_1970(time_of_day: SystemTime) -> i128 {
    match time_of_day.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(until) => -(until.duration().as_nanos() as i128),
    }
}

fn saturate(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    /// A retention of an hour in seconds, and a clock that says how far the floors are from where
    /// they were at the beginning, after so much time, if the time of day is so far ahead.
    fn hour() -> impl FnMut(Duration, Duration) -> (i64, i64) {
        let mut retention = Retention::new(HOUR, TimestampUnit::Seconds);
        let (start, begin) = (UNIX_EPOCH + 50 * YEAR, Instant::now());
        move |passed, ahead| {
            let (hidden, removed) = retention.floors(start + passed + ahead, begin + passed);
            let since = |floor: i64| floor - (50 * YEAR - HOUR).as_secs() as i64;
            (since(hidden), since(removed))
        }
    }

    #[test]
    fn the_floors_follow_the_clock() {
        let mut floors = hour();
        for seconds in [0, 1, 2, 1_000, 100_000, 100_000_000] {
            let passed = Duration::from_secs(seconds);
            let expected = seconds as i64;
            assert_eq!(floors(passed, Duration::ZERO), (expected, expected));
        }
    }

    #[test]
    fn a_jump_hides_at_once_and_removes_after_a_while() {
        let (trial, second) = (Config::CLOCK_TRIAL, Duration::from_secs(1));
        let year = YEAR.as_secs() as i64;
        let mut floors = hour();
        assert_eq!(floors(Duration::ZERO, Duration::ZERO), (0, 0));
        assert_eq!(floors(second, YEAR), (1 + year, 1));
        let last = (trial.as_secs()) as i64;
        assert_eq!(floors(trial, YEAR), (last + year, last));
        // It goes back in time.
        assert_eq!(floors(trial, Duration::ZERO), (last, last));
        assert_eq!(floors(trial + second, YEAR), (last + 1 + year, last + 1));
        // It does not, this time.
        let (passed, last) = (2 * trial + second, 2 * last + 1);
        assert_eq!(floors(passed, YEAR), (last + year, last + year));
        assert_eq!(floors(passed + second, YEAR).1, last + 1 + year);
    }

    #[test]
    fn small_steps_and_steps_back_are_believed() {
        for (ahead, removed) in [(Config::CLOCK_JUMP, 60), (Config::CLOCK_JUMP * 2, 0)] {
            let mut floors = hour();
            floors(Duration::ZERO, Duration::ZERO);
            assert_eq!(
                floors(Duration::ZERO, ahead),
                (ahead.as_secs() as i64, removed)
            );
        }
        let mut floors = hour();
        floors(Duration::ZERO, YEAR);
        assert_eq!(floors(Duration::ZERO, Duration::ZERO), (0, 0));
    }

    #[test]
    fn a_clock_by_which_all_is_too_old_at_the_start_removes_nothing_for_a_while() {
        let (time, begin) = (UNIX_EPOCH + 50 * YEAR, Instant::now());
        let seconds = |duration: Duration| duration.as_secs() as i64;
        let floor = seconds(50 * YEAR - HOUR);
        for (newest, removed_below) in [
            (floor, floor),
            (floor - 1, floor - 1 - seconds(HOUR)),
            (0, -seconds(HOUR)),
            (-5, -seconds(HOUR)),
            (i64::MAX, floor),
        ] {
            let mut retention = Retention::new(HOUR, TimestampUnit::Seconds);
            retention.compare_with(newest, time, begin);
            let floors = retention.floors(time, begin);
            assert_eq!(floors, (floor, removed_below), "{newest}");
            let trial = Config::CLOCK_TRIAL;
            let floors = retention.floors(time + trial, begin + trial);
            assert_eq!(floors.1, floor + seconds(trial));
        }
    }

    #[test]
    fn floors_count_the_unit_of_the_timestamps() {
        let time = UNIX_EPOCH + Duration::new(3_600, 1);
        for (unit, age, floor) in [
            (TimestampUnit::Seconds, 3_600, 1),
            (TimestampUnit::Seconds, 3_601, 0),
            (TimestampUnit::Seconds, 3_602, -1),
            (TimestampUnit::Milliseconds, 3_599, 1_001),
            (TimestampUnit::Microseconds, 3_599, 1_000_001),
            (TimestampUnit::Nanoseconds, 3_599, 1_000_000_001),
            (TimestampUnit::Nanoseconds, u64::MAX, i64::MIN),
        ] {
            let mut retention = Retention::new(Duration::from_secs(age), unit);
            let floors = retention.floors(time, Instant::now());
            assert_eq!(floors, (floor, floor), "{unit:?} {age}");
        }
    }
}
