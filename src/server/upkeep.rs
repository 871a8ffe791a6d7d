//! What the store needs though nobody asks for it: what is too old goes, and there is room for more.

use std::time::Instant;

use super::connection::Shared;
use super::rarely::Rarely;
use crate::config::Config;
use crate::retention::{Retention, WallClock};

/// Keeps the points of a store as old, and as many, as they may be.
pub struct Upkeep {
    /// What is too old, if anything ever is.
    retention: Option<Retention>,
    wall_clock: WallClock,
    /// When to look for points that are too old. None while that goes on.
    expire_at: Option<Instant>,
    has_limit: bool,
    /// There was no room for puts at the last look.
    is_full: bool,
    full_log: Rarely,
}

impl Upkeep {
    /// As `config` has it.
    pub fn new(config: &Config, wall_clock: WallClock) -> Upkeep {
        let unit = config.timestamp_unit;
        Upkeep {
            retention: config.retention.map(|age| Retention::new(age, unit)),
            wall_clock,
            expire_at: None,
            has_limit: config.memory_limit_bytes.is_some(),
            is_full: false,
            full_log: Rarely::default(),
        }
    }

    /// When to take a turn, event or not: never if nothing that is stored gets too old.
    pub fn wake_at(&self, shared: &Shared) -> Option<Instant> {
        let holds_points = shared.store.series_count() > 0;
        self.expire_at
            .filter(|_| self.retention.is_some() && holds_points)
    }

    /// To be called before requests are executed: hides what is too old, and says how many bytes are
    /// counted beside those of the store.
    pub fn begin_turn(&mut self, shared: &mut Shared, other_bytes: usize, now: Instant) {
        if let Some(retention) = &mut self.retention {
            let floors = retention.floors((self.wall_clock)(), now);
            shared
                .store
                .set_floors(floors.hidden_below, floors.removed_below);
        }
        if self.has_limit {
            shared.room.set_other_bytes(other_bytes, &shared.store);
        }
    }

    /// Does a slice of the work, and says whether there is more at once.
    pub fn clean_up(&mut self, shared: &mut Shared, config: &Config, now: Instant) -> bool {
        let expires = self.retention.is_some() && self.expire(shared, now);
        if self.has_limit {
            self.make_room(shared, config, now);
        }
        expires
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

    /// Makes room for what connections have come to keep, and logs when there is none for puts.
    fn make_room(&mut self, shared: &mut Shared, config: &Config, now: Instant) {
        let recorder = shared.recorder.as_mut();
        let has_room =
            shared.room.has(&shared.store) || shared.room.make(&mut shared.store, recorder);
        let was_full = std::mem::replace(&mut self.is_full, !has_room);
        if !has_room && !was_full && self.full_log.is_due(now, config.full_log_interval) {
            log::warn!(
                "puts are refused, there is no room: raise --memory-limit, shorten --retention, or \
                 set --when-full evict"
            );
        } else if has_room && was_full {
            log::info!("there is room for puts again");
        }
    }
}
