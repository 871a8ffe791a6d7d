//! A key and its points.

use std::hint::black_box;

use super::places::Places;
use super::timeline::Timeline;
use crate::key::Key;

/// A key and its points, at least one.
///
/// What a series costs beside its points: 16 bytes for the place of the key and as many as the
/// key has; 56 for the head, half of it what the next point is the difference to; 8 for the
/// history, once there is any; 8 for the note and the position; 4.5 in the order.
pub struct Series {
    pub key: Box<str>,
    pub timeline: Timeline,
    /// Index of the newest [note](super::notes::Notes) of how it was, if that is of this series.
    pub note: u32,
    /// The low bits of its position in the [order](super::order::Order).
    pub position: u32,
}

/// All series, by their places.
pub type SeriesList = Places<Series>;

impl Series {
    /// Whether this is its key.
    #[inline]
    pub fn has(&self, key: Key) -> bool {
        self.key.as_bytes() == key.as_bytes()
    }

    /// Whether it takes puts under this key: if that is its own, and not all of its points are removed, those up
    /// to this timestamp. Without a key it takes any.
    #[inline(always)]
    pub fn takes(&self, key: Option<Key>, removed_to: Option<i64>) -> bool {
        let is_kept = || removed_to.is_none_or(|to| self.timeline.last_timestamp() > to);
        key.is_none_or(|key| self.has(key) && is_kept())
    }

    /// Loads what a put at this timestamp needs into the processor's cache.
    #[inline]
    pub fn warm(&self, timestamp: i64) {
        black_box((
            self.key.as_bytes().first().copied(),
            self.timeline.byte_before(timestamp),
        ));
    }
}
