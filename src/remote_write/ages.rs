//! How long ago frames were written.

use std::time::{Duration, Instant};

/// The most frames whose times are noted. A frame between two of them counts as old as the later one.
const NOTES: usize = 64;

/// The times when some of the frames of a journal were written, or first seen.
#[derive(Debug, Default)]
pub struct Ages {
    /// Numbers of frames and their times, both ascending.
    notes: Vec<(u64, Instant)>,
}

impl Ages {
    /// Notes that frames up to `newest` were written by now, unless this was noted before.
    pub fn note(&mut self, newest: u64, now: Instant) {
        if self.notes.last().is_some_and(|&(noted, _)| noted >= newest) {
            return;
        }
        if self.notes.len() == NOTES {
            // Removes every other one, so that the rest cover the same time.
            let mut index = 0;
            self.notes.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.notes.push((newest, now));
    }

    /// How long ago a frame was written, as far as it was noted. Zero if it is not written yet. Forgets the frames
    /// before it.
    pub fn of(&mut self, frame: u64, now: Instant) -> Duration {
        let before = self.notes.partition_point(|&(noted, _)| noted < frame);
        self.notes.drain(..before);
        let written = self.notes.first();
        written.map_or(Duration::ZERO, |&(_, at)| now.saturating_duration_since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_first_note_that_covers_the_frame() {
        let (mut ages, start) = (Ages::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (newest, seconds) in [(10, 0), (10, 3), (20, 5), (30, 9)] {
            ages.note(newest, at(seconds));
        }
        for (frame, seconds) in [(1, 12), (10, 12), (11, 7), (20, 7), (30, 3), (31, 0)] {
            assert_eq!(ages.of(frame, at(12)).as_secs(), seconds, "{frame}");
        }
        ages.note(31, at(20));
        assert_eq!(ages.of(31, at(21)).as_secs(), 1);
    }

    #[test]
    fn few_notes_are_kept_and_they_cover_all_the_time() {
        let (mut ages, start) = (Ages::default(), Instant::now());
        for second in 0..10_000 {
            ages.note(second + 1, start + Duration::from_secs(second));
        }
        assert!(ages.notes.len() <= NOTES);
        assert_eq!(
            ages.of(1, start + Duration::from_secs(10_000)).as_secs(),
            10_000
        );
    }
}
