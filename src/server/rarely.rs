//! What is logged at most once in a while.

use std::time::{Duration, Instant};

/// Says when something may be logged, so that a flood of it does not fill the log.
#[derive(Debug)]
pub struct Rarely {
    interval: Duration,
    last: Option<Instant>,
}

impl Rarely {
    /// For what is logged at most once in an `interval`.
    pub fn new(interval: Duration) -> Rarely {
        let last = None;
        Rarely { interval, last }
    }

    /// Whether it was not logged within the interval before `now`. Then it is to be logged now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_old = |last| now.saturating_duration_since(last) >= self.interval;
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
        let (mut rarely, start) = (Rarely::new(Duration::from_secs(10)), Instant::now());
        for (after, expected) in [(0, true), (9, false), (10, true), (19, false), (25, true)] {
            let now = start + Duration::from_secs(after);
            assert_eq!(rarely.is_due(now), expected, "{after}");
        }
    }
}
