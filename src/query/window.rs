//! The range of time of a query, in steps.

use super::aggregation::Aggregation;
use crate::config::Config;

/// A range of time, and the step of the series that are read over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Seconds since 1970 after which values count.
    pub from: i64,
    /// Seconds since 1970 up to which values count; not before `from`.
    pub until: i64,
    /// Seconds of a step, at least 1.
    pub step: i64,
    /// How the points of a step become its value.
    pub consolidation: Aggregation,
}

impl Window {
    /// When the first step begins: as in Graphite's files, the first that begins after `from`.
    pub fn start(&self) -> i64 {
        next_step(self.from, self.step)
    }

    /// When the last step ends.
    pub fn end(&self) -> i64 {
        let least = self.start().saturating_add(self.step);
        next_step(self.until, self.step).max(least)
    }

    /// How many steps there are, at least one.
    pub fn steps(&self) -> i64 {
        self.end().saturating_sub(self.start()) / self.step
    }

    /// The same `seconds` later, or, if these are negative, earlier. `None` if there is no such time.
    pub fn shifted(&self, seconds: i64) -> Option<Window> {
        Some(Window {
            from: self.from.checked_add(seconds)?,
            until: self.until.checked_add(seconds)?,
            ..*self
        })
    }

    /// The same, and `seconds` before. `None` if these are more steps than a series may have.
    pub fn extended(&self, seconds: i64) -> Option<Window> {
        let from = self.from.checked_sub(seconds)?;
        let window = Window { from, ..*self };
        (window.steps() <= Config::STEPS_MAX).then_some(window)
    }
}

/// When the first step begins after a time.
fn next_step(time: i64, step: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(step))
        .saturating_add(step)
}
