//! A key and its points.

use std::hint::black_box;

use super::Point;
use super::timeline::Timeline;
use crate::key::Key;

/// A key and its points, at least one.
///
/// What a series costs beside its points: 16 bytes for the place of the key and as many as the
/// key has; 56 for the head, half of it what the next point is the difference to; 8 for the
/// history, once there is any; 8 for the epoch.
pub struct Series {
    pub key: Box<str>,
    pub timeline: Timeline,
    /// The last [epoch](super::snapshot::Notes) in which a change of this series was noted.
    pub epoch: u64,
}

impl Series {
    pub fn new(key: Key, place: usize, epoch: u64, point: Point) -> Series {
        Series {
            key: key.into(),
            timeline: Timeline::new(point, place),
            epoch,
        }
    }

    /// Whether this is its key.
    #[inline]
    pub fn has(&self, key: Key) -> bool {
        self.key.as_bytes() == key.as_bytes()
    }

    /// Loads what a put needs, if its point is the newest, into the processor's cache.
    #[inline]
    pub fn warm(&self) {
        black_box((
            self.key.as_bytes().first().copied(),
            self.timeline.newest_byte(),
        ));
    }

    /// Bytes that the series has allocated, blocks that it shares with snapshots included.
    pub fn allocated_bytes(&self) -> usize {
        self.key.len() + self.timeline.allocated_bytes()
    }
}
