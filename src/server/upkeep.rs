//! What the store needs though nobody asks for it: what is too old goes, and there is room for more.

use std::mem;
use std::time::Instant;

use super::commit::Admission;
use super::rarely::Rarely;
use super::shared::Shared;
use crate::config::Config;
use crate::retention::Retention;

/// Keeps the points of a store as old, and as many, as they may be.
pub struct Upkeep {
    /// What is too old, if anything ever is.
    retention: Option<Retention>,
    /// When to look for points that are too old. None while that goes on, or if no point
    /// ever gets too old.
    expire_at: Option<Instant>,
    /// It was logged that there is no room for puts, and not yet that there is some again.
    says_full: bool,
    full_log: Rarely,
}

impl Upkeep {
    /// As `config` has it, of a store that may hold points already.
    pub fn new(config: &Config, shared: &Shared, now: Instant) -> Upkeep {
        let unit = config.timestamp_unit;
        let mut retention = config.retention.map(|age| Retention::new(age, unit));
        if let Some(retention) = &mut retention
            && let Some(newest) = shared.store.newest_timestamp()
        {
            retention.compare_with(newest, (shared.environment.wall_clock)(), now);
        }
        Upkeep {
            retention,
            expire_at: None,
            says_full: false,
            full_log: Rarely::new(config.full_log_interval),
        }
    }

    /// When to take a turn, event or not: never if nothing that is stored gets too old.
    pub fn wake_at(&self, shared: &Shared) -> Option<Instant> {
        self.expire_at.filter(|_| shared.store.series_count() > 0)
    }

    /// To be called before requests are executed: hides what is too old, and says how many bytes are
    /// counted beside those of the store.
    pub fn begin_turn(&mut self, shared: &mut Shared, other_bytes: usize, now: Instant) {
        if let Some(retention) = &mut self.retention {
            let time_of_day = (shared.environment.wall_clock)();
            let (hidden_below, removed_below) = retention.floors(time_of_day, now);
            shared.store.set_floors(hidden_below, removed_below);
        }
        shared.room.set_other_bytes(other_bytes, &shared.store);
    }

    /// Does a slice of the work, and says whether there is more at once.
    pub fn clean_up(
        &mut self,
        shared: &mut Shared,
        admission: Admission,
        config: &Config,
        now: Instant,
    ) -> bool {
        let expires = self.retention.is_some() && self.expire(shared, now);
        // What is evicted leaves no room before it is on the disk.
        let evicts = admission == Admission::Open && self.make_room(shared, config, now);
        expires || evicts
    }

    fn expire(&mut self, shared: &mut Shared, now: Instant) -> bool {
        if self.expire_at.is_some_and(|at| now < at) {
            return false;
        }
        let goes_on = shared.store.expire(Config::EXPIRY_STEPS);
        let next = now.checked_add(Config::EXPIRY_INTERVAL);
        self.expire_at = next.filter(|_| !goes_on);
        goes_on
    }

    /// Makes room for what connections have come to keep, and logs when there is none for puts. Says
    /// whether that is to go on.
    fn make_room(&mut self, shared: &mut Shared, config: &Config, now: Instant) -> bool {
        if shared.kept_bytes > config.connections_part_bytes() {
            // Connections that keep much are closed before points go. One that waits for a commit is closed in the
            // turn after it, and that turn comes by itself.
            return false;
        }
        if !shared.room.has(&shared.store) {
            let (store, recorder) = (&mut shared.store, shared.recorder.as_mut());
            shared.room.make(Config::EVICTION_BYTES, store, recorder);
        }
        let has_room = shared.room.has(&shared.store);
        let evicts = shared.room.may_make(&shared.store);
        self.say_whether_full(!has_room && !evicts, now);
        evicts && !has_room
    }

    /// Logs that there is no room, and later that there is some again: both at most once in an
    /// interval, however often it changes.
    fn say_whether_full(&mut self, is_full: bool, now: Instant) {
        if is_full && !self.says_full && self.full_log.is_due(now) {
            self.says_full = true;
            warn!(
                "puts are refused, there is no room: raise --memory-limit, shorten --retention, or \
                 set --when-full evict"
            );
        } else if !is_full && mem::take(&mut self.says_full) {
            info!("there is room for puts again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WhenFull;
    use crate::store::{Snapshot, Store};
    use std::cell::Cell;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    thread_local! {
        /// Seconds since 1970.
        static WALL: Cell<u64> = const { Cell::new(0) };
    }

    fn wall_clock() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(WALL.get())
    }

    /// A store and its upkeep, with clocks that the test sets.
    struct Kept {
        upkeep: Upkeep,
        shared: Shared,
        config: Config,
        start: Instant,
    }

    impl Kept {
        fn new(config: Config) -> Kept {
            WALL.set(1_000_000);
            let mut shared = Shared::new(Store::new(), None, &config);
            shared.environment.wall_clock = wall_clock;
            Kept {
                upkeep: Upkeep::new(&config, &shared, Instant::now()),
                shared,
                config,
                start: Instant::now(),
            }
        }

        /// The turns of a loop after so many seconds by both clocks, until there is no more to do.
        fn turns(&mut self, seconds: u64) -> usize {
            WALL.set(1_000_000 + seconds);
            let now = self.start + Duration::from_secs(seconds);
            let mut count = 0;
            loop {
                self.upkeep.begin_turn(&mut self.shared, 0, now);
                count += 1;
                assert!(count < 1_000, "there is always more to do");
                if !self
                    .upkeep
                    .clean_up(&mut self.shared, Admission::Open, &self.config, now)
                {
                    return count;
                }
            }
        }

        fn timestamps(&self, key: &str) -> Vec<i64> {
            let points = self.shared.store.range(key, ..);
            points.map(|point| point.timestamp - 1_000_000).collect()
        }
    }

    fn kept_for(seconds: u64) -> Kept {
        Kept::new(Config {
            retention: Some(Duration::from_secs(seconds)),
            ..Config::default()
        })
    }

    #[test]
    fn a_point_is_hidden_as_soon_as_it_is_too_old() {
        let mut kept = kept_for(10);
        for timestamp in 0..5 {
            kept.shared.store.put("k", 1_000_000 + timestamp, 1.0);
        }
        for (passed, expected) in [
            (10, &[0, 1, 2, 3, 4][..]),
            (11, &[1, 2, 3, 4]),
            (14, &[4]),
            (15, &[]),
        ] {
            kept.turns(passed);
            assert_eq!(kept.timestamps("k"), expected, "{passed}");
        }
    }

    #[test]
    fn points_are_removed_a_few_seconds_after_they_got_too_old() {
        let mut kept = kept_for(10);
        assert_eq!(kept.upkeep.wake_at(&kept.shared), None);
        kept.shared.store.put("k", 1_000_000, 1.0);
        kept.turns(0);
        let interval = Config::EXPIRY_INTERVAL;
        assert_eq!(
            kept.upkeep.wake_at(&kept.shared),
            Some(kept.start + interval)
        );
        for (passed, series) in [(10, 1), (11, 1), (14, 1), (15, 0)] {
            kept.turns(passed);
            assert_eq!(kept.shared.store.series_count(), series, "{passed}");
        }
        assert_eq!(kept.shared.store.expired_points(), 1);
        // There is nothing to wake up for.
        assert_eq!(kept.upkeep.wake_at(&kept.shared), None);
    }

    #[test]
    fn many_points_are_removed_in_slices() {
        let mut kept = kept_for(10);
        for number in 0..5 * Config::EXPIRY_STEPS {
            kept.shared.store.put(&format!("k{number}"), 1_000_000, 1.0);
        }
        kept.turns(0);
        assert!(kept.turns(100) >= 5);
        assert_eq!(kept.shared.store.series_count(), 0);
    }

    #[test]
    fn a_clock_that_is_wrong_for_a_while_loses_nothing() {
        let mut kept = kept_for(10);
        kept.shared.store.put("k", 1_000_000, 1.0);
        kept.turns(1);
        let now = kept.start + Duration::from_secs(9);
        WALL.set(2_000_000);
        kept.upkeep.begin_turn(&mut kept.shared, 0, now);
        kept.upkeep
            .clean_up(&mut kept.shared, Admission::Open, &kept.config, now);
        assert_eq!(kept.timestamps("k"), [0i64; 0]);
        kept.shared.store.put("k", 1_000_001, 1.0);
        kept.turns(9);
        assert_eq!(kept.timestamps("k"), [0, 1]);
    }

    #[test]
    fn without_limits_there_is_nothing_to_do() {
        let mut kept = Kept::new(Config::default());
        kept.shared.store.put("k", i64::MIN, 1.0);
        assert_eq!(kept.turns(100), 1);
        assert_eq!(kept.shared.store.range("k", ..).count(), 1);
        assert_eq!(kept.upkeep.wake_at(&kept.shared), None);
    }

    #[test]
    fn it_is_logged_now_and_then_that_there_is_no_room_and_as_often_that_there_is() {
        let mut kept = Kept::new(Config {
            full_log_interval: Duration::from_secs(10),
            ..Config::default()
        });
        for (seconds, is_full, says_full) in [
            (0, true, true),
            (1, true, true),
            (2, false, false),
            // Too soon.
            (3, true, false),
            (4, false, false),
            (5, true, false),
            // It lasts.
            (10, true, true),
            (11, false, false),
        ] {
            let now = kept.start + Duration::from_secs(seconds);
            let upkeep = &mut kept.upkeep;
            upkeep.say_whether_full(is_full, now);
            assert_eq!(upkeep.says_full, says_full, "{seconds}");
        }
    }

    /// A store of 20,000 series in a process that may take so much.
    fn limited(memory_limit_bytes: usize, when_full: WhenFull) -> Kept {
        let mut kept = Kept::new(Config {
            memory_limit_bytes: Some(memory_limit_bytes),
            when_full,
            ..Config::default()
        });
        for number in 0..20_000 {
            kept.shared.store.put(&format!("k{number}"), number, 1.0);
        }
        kept
    }

    /// Less than the process takes.
    const TOO_LITTLE: usize = 1 << 10;

    #[test]
    fn it_is_logged_that_there_is_no_room_if_nothing_makes_some() {
        for (memory_limit_bytes, when_full, says_full) in [
            (TOO_LITTLE, WhenFull::Refuse, true),
            (TOO_LITTLE, WhenFull::Evict, false),
            (usize::MAX, WhenFull::Refuse, false),
        ] {
            let mut kept = limited(memory_limit_bytes, when_full);
            let (shared, now) = (&mut kept.shared, kept.start);
            let goes_on = kept
                .upkeep
                .clean_up(shared, Admission::Open, &kept.config, now);
            assert_eq!(goes_on, when_full == WhenFull::Evict);
            assert_eq!(kept.upkeep.says_full, says_full);
        }
    }

    #[test]
    fn what_connections_keep_leaves_less_room_for_points() {
        let mut kept = Kept::new(Config {
            memory_limit_bytes: Some(TOO_LITTLE),
            when_full: WhenFull::Evict,
            ..Config::default()
        });
        // A store as small as this may grow while they keep little.
        for (other_bytes, has_room) in [(TOO_LITTLE / 8, true), (TOO_LITTLE / 8 + 1, false)] {
            let shared = &mut kept.shared;
            kept.upkeep.begin_turn(shared, other_bytes, kept.start);
            assert_eq!(shared.room.has(&shared.store), has_room, "{other_bytes}");
        }
    }

    #[test]
    fn the_oldest_points_make_room() {
        let mut kept = limited(TOO_LITTLE, WhenFull::Evict);
        let snapshot: Snapshot = kept.shared.store.snapshot_all();
        let part = kept.config.connections_part_bytes();
        for (kept_bytes, admission) in [
            (0, Admission::Full),
            (0, Admission::Refused),
            // Connections that keep much go first.
            (part + 1, Admission::Open),
            (part, Admission::Full),
        ] {
            kept.shared.kept_bytes = kept_bytes;
            let upkeep = &mut kept.upkeep;
            let more = upkeep.clean_up(&mut kept.shared, admission, &kept.config, kept.start);
            assert!(!more, "{kept_bytes} {admission:?}");
        }
        assert_eq!(kept.shared.store.evicted_points(), 0);
        kept.turns(0);
        drop(snapshot);
        assert_eq!(kept.shared.store.series_count(), 0);
        assert_eq!(kept.shared.store.evicted_points(), 20_000);
    }
}
