//! The points of one key.

use std::rc::Rc;

use super::Point;

/// A key and its points.
pub struct Series {
    pub key: Rc<str>,
    /// By ascending timestamp, each timestamp once.
    points: Vec<Point>,
    /// The last [epoch](super::snapshot::Leases) in which a change of this series was noted.
    pub epoch: u64,
}

impl Series {
    pub fn new(key: Rc<str>, epoch: u64) -> Series {
        Series {
            key,
            points: Vec::new(),
            epoch,
        }
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Timestamp of the newest point.
    pub fn last_timestamp(&self) -> Option<i64> {
        self.points.last().map(|point| point.timestamp)
    }

    #[inline]
    pub fn put(&mut self, point: Point) {
        if self
            .last_timestamp()
            .is_none_or(|last| last < point.timestamp)
        {
            self.points.push(point);
        } else {
            self.put_late(point);
        }
    }

    #[cold]
    fn put_late(&mut self, point: Point) {
        match self
            .points
            .binary_search_by_key(&point.timestamp, |stored| stored.timestamp)
        {
            Ok(found) => self.points[found] = point,
            Err(between) => self.points.insert(between, point),
        }
    }
}
