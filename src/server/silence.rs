//! A disk that does not answer.

use std::mem;
use std::ops::Range;
use std::time::Instant;

use crate::config::Config;

/// Notices that a commit takes very long, and says so in the log, once each time.
#[derive(Debug, Default)]
pub struct Silence {
    /// Number of the oldest commit that is pending, and since when it is the oldest.
    waiting: Option<(u64, Instant)>,
    /// A commit takes very long.
    pub is_long: bool,
}

impl Silence {
    /// Says which commits are pending.
    pub fn note(&mut self, pending: Range<u64>, now: Instant) {
        let oldest = (!pending.is_empty()).then_some(pending.start);
        if self.waiting.map(|(oldest, _)| oldest) != oldest {
            self.waiting = oldest.map(|oldest| (oldest, now));
            if mem::take(&mut self.is_long) {
                warn!("the disk of --data has answered");
            }
        }
        if self.due().is_some_and(|due| due <= now) {
            self.is_long = true;
            warn!("the disk of --data does not answer: puts wait");
        }
    }

    /// When [`note`](Self::note) is to be called, even if nothing happens before.
    pub fn due(&self) -> Option<Instant> {
        let (_, since) = self.waiting.filter(|_| !self.is_long)?;
        since.checked_add(Config::DISK_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_commit_that_takes_long_is_noticed_once_and_until_it_is_done() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let patience = Config::DISK_PATIENCE;
        let tick = Duration::from_nanos(1);
        for (pending, after, is_long, due) in [
            (0..0, tick, false, None),
            (1..2, tick * 2, false, Some(tick * 2)),
            (1..9, tick + patience, false, Some(tick * 2)),
            // Another one since.
            (2..9, tick + patience, false, Some(tick + patience)),
            (2..9, patience * 2, false, Some(tick + patience)),
            (2..9, tick + patience * 2, true, None),
            (2..10, patience * 3, true, None),
            (3..10, patience * 3, false, Some(patience * 3)),
            (10..10, patience * 9, false, None),
            (10..10, patience * 19, false, None),
        ] {
            silence.note(pending.clone(), start + after);
            let due = due.map(|since| start + since + patience);
            let expected = (is_long, due);
            assert_eq!((silence.is_long, silence.due()), expected, "{pending:?}");
        }
    }
}
