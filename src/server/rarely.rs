//! What is logged at most once in a while.

use std::time::{Duration, Instant};

/// Says when something may be logged, so that a flood of it does not fill the log.
#[derive(Debug, Default)]
pub struct Rarely {
    last: Option<Instant>,
}

impl Rarely {
    /// Whether it was not logged within an `interval` before `now`. Then it is to be logged now.
    pub fn is_due(&mut self, now: Instant, interval: Duration) -> bool {
        let is_old = |last| now.saturating_duration_since(last) >= interval;
        let is_due = self.last.is_none_or(is_old);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_each_interval() {
        let (mut rarely, start) = (Rarely::default(), Instant::now());
        let interval = Duration::from_secs(10);
        for (after, expected) in [(0, true), (9, false), (10, true), (19, false), (25, true)] {
            let now = start + Duration::from_secs(after);
            assert_eq!(rarely.is_due(now, interval), expected, "{after}");
        }
    }
}
